#!/usr/bin/env bash
# binance-api-node answers a refused keep-alive with a DELETE of the listenKey, which ends the stream of each other bot.
#
# Expected: the listenKey is kept alive every half hour. A keep-alive that is refused with 429 is tried again later: the key
#           is good for an hour, and the open stream goes on.
# Happens:  binance-api-node sends the first keep-alive at once and then one every 50 seconds, 72 an hour for each bot. If one of
#           them fails, whatever the reason, it deletes the listenKey, closes its stream and asks for a new one.
#           An account has one listenKey, so bots that share it lose their streams with the same DELETE, and there is no
#           error for the caller. After half a minute, or at once if it was not the first, it goes round again, with three
#           requests each time where there was one: in the minute in which the quota is used up.
#           node-binance-api and python-binance leave the stream alone; python-binance sends a POST before each keep-alive.
# Seen with: binance-api-node 0.13.10, node-binance-api 1.0.33 on Node 20; python-binance 1.0.37 on CPython 3.11. The streams are
#           those of the futures, which have listenKeys still. The half hour of the other two is set to one second.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" python-binance==1.0.37 aiohttp==3.14.5
npm install --silent --no-audit --no-fund --prefix "$work" binance-api-node@0.13.10 node-binance-api@1.0.33
cat > "$work/stream.cjs" <<'JS'
const [name, url] = process.argv.slice(2), stream = url.replace("http", "ws")
if (name === "binance-api-node") {
  const client = require("binance-api-node").default({ apiKey: "k", apiSecret: "s", httpFutures: url, wsFutures: stream })
  client.ws.futuresUser(() => {})
} else {
  const Client = require("node-binance-api")
  const client = new Client({ APIKEY: "k", APISECRET: "s", urls: { fapi: url + "/fapi/" } })
  client.getFapiUrl = () => url + "/fapi/"
  client.getFStreamUrl = client.getFStreamPrivateUrl = client.getFStreamSingleUrl = () => stream + "/ws/"
  client.futuresListenKeyKeepAlive = 1000
  client.userFutureData(() => {})
}
JS
cat > "$work/stream.py" <<'PY'
import asyncio, sys
from binance import AsyncClient, BinanceSocketManager

url = sys.argv[2]


async def read():
    client = AsyncClient("k", "s")
    client.FUTURES_URL = url + "/fapi"
    manager = BinanceSocketManager(client, user_timeout=1)
    manager.FSTREAM_URL = url.replace("http", "ws") + "/"
    async with manager.futures_user_socket() as stream:
        await stream.recv()

asyncio.run(read())
PY
cd "$work"
timeout 50 python3 - <<'PY'
import base64, contextlib, hashlib, os, signal, socketserver, subprocess, sys, threading, time

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Binance(socketserver.StreamRequestHandler):
    """Refuses each keep-alive, and holds each stream open until its client ends it."""

    def handle(self):
        with contextlib.suppress(OSError):
            while line := self.rfile.readline():
                heads = {}
                while head := self.rfile.readline().decode().strip():
                    name, _, value = head.partition(":")
                    heads[name.lower()] = value.strip()
                self.rfile.read(int(heads.get("content-length", 0)))
                if "sec-websocket-key" in heads:
                    self.stream(heads["sec-websocket-key"])
                    return
                method = line.split()[0].decode()
                seen.append(method)
                if method == "PUT":
                    time.sleep(0.5)  # so that the stream is open by then
                status = "429 Too Many Requests" if method == "PUT" else "200 OK"
                body = {"PUT": b'{"code":-1003,"msg":"Too many requests"}', "POST": b'{"listenKey":"one"}'}.get(method, b"{}")
                self.wfile.write(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                                 .encode() + body)

    def stream(self, key):
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        self.wfile.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        seen.append("open")
        self.connection.recv(4096)
        seen.append("close")


EXPECTED = {"binance-api-node": ({"POST": 1, "PUT": 1, "DELETE": 1, "close": 1}, ["node", "stream.cjs"]),
            "node-binance-api": ({"POST": 1, "PUT": 1, "DELETE": 0, "close": 0}, ["node", "stream.cjs"]),
            "python-binance": ({"POST": 3, "PUT": 2, "DELETE": 0, "close": 0}, [sys.executable, "-W", "ignore", "stream.py"])}
seen, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
for name, (expected, command) in EXPECTED.items():
    seen.clear()
    client = subprocess.Popen([*command, name, url], env=dict(os.environ, PYTHONPATH="lib"), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    end = time.monotonic() + 15
    while "open" not in seen and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(3.5)
    events = list(seen)
    client.kill()
    client.wait()
    counts = {what: events.count(what) for what in expected}
    good = "open" in events and counts == expected
    changed += not good
    print(f"{name:16} {', '.join(events)} {'' if good else 'CHANGED'}")
sys.exit(changed > 0)
PY
