#!/usr/bin/env bash
# Deno's fetch sends a POST again by itself if the connection breaks, and Bun's a DELETE; Node's fetch does not.
#
# Expected: the three take the same program. A POST that has been sent in full on a kept connection, which then closes without
#           an answer, raises: whether the order was carried out is unknown.
# Happens:  Deno sends the POST again on a new connection and returns the second answer as if it were the first; DELETE and GET
#           too. Bun raises for POST and repeats DELETE and GET. Node raises for all three. So a bot that was moved from Node
#           to Deno places an order twice when a gateway restarts. On a new connection all three raise.
# Seen with: Deno 2.9.6, Bun 1.4.4 (both from npm), Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-audit --no-fund --prefix "$work" deno@2.9.6 bun@1.4.4
cat > "$work/client.mjs" <<'JS'
const url = globalThis.Deno ? Deno.args[0] : process.argv[2]
for (const method of ["POST", "DELETE", "GET"]) for (const kind of ["kept", "new"]) {
  let seen
  if (kind === "kept") await (await fetch(`${url}/first`)).text()
  try {
    const answer = await fetch(`${url}/${kind}/${method}`, { method, body: method === "POST" ? "side=BUY" : undefined })
    seen = `${answer.status} ${await answer.text()}`
  } catch { seen = "raises" }
  console.log(method, kind, seen)
}
JS
cd "$work"
DENO_DIR="$work/deno" DENO_NO_UPDATE_CHECK=1 timeout 50 python3 - <<'PY'
import contextlib, signal, socketserver, subprocess, sys, threading
from collections import Counter

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
received = Counter()


class Gateway(socketserver.StreamRequestHandler):
    """Closes without an answer to the first request of each path that says so, once it has read it whole."""

    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline().decode():
                length = 0
                while head := self.rfile.readline().strip().lower():
                    length = int(head.split(b":")[1]) if head.startswith(b"content-length") else length
                self.rfile.read(length)
                path = line.split()[1]
                received[path] += 1
                if path != "/first" and received[path] == 1:
                    return
                body = f"answer to number {received[path]}"
                self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                if "/new/" in path or path != "/first":
                    return


AGAIN = (2, "200 answer to number 2")
RAISES = (1, "raises")
EXPECTED = {
    "node": {"POST": RAISES, "DELETE": RAISES, "GET": RAISES}, "bun": {"POST": RAISES, "DELETE": AGAIN, "GET": AGAIN},
    "deno": {"POST": AGAIN, "DELETE": AGAIN, "GET": AGAIN},
}
COMMANDS = {"node": ["node"], "bun": ["node_modules/.bin/bun"],
            "deno": ["node_modules/.bin/deno", "run", "--allow-net", "--no-lock", "--no-config"]}
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
changed = 0
for name, expected in EXPECTED.items():
    received.clear()
    run = subprocess.run([*COMMANDS[name], "client.mjs", f"http://127.0.0.1:{server.server_address[1]}"],
                         capture_output=True, text=True, timeout=30)
    seen = {}
    for line in run.stdout.splitlines():
        method, kind, answer = line.split(" ", 2)
        seen[method, kind] = (received[f"/{kind}/{method}"], answer)
    for method, wanted in expected.items():
        kept, new = seen.get((method, "kept")), seen.get((method, "new"))
        print(f"{name:4} {method:6} on a kept connection: {kept} {'' if kept == wanted else 'CHANGED'}; on a new one: {new}")
        changed += kept != wanted or new != RAISES
    if not seen:
        print(run.stderr[-500:])
sys.exit(changed > 0)
PY
