#!/usr/bin/env bash
# Five Binance clients give each order an id that begins with the broker code of the client's authors.
#
# Expected: an order without newClientOrderId is sent without it, and Binance makes one up. What is signed is what was asked for.
# Happens:  python-binance, binance, binance-api-node, node-binance-api and ccxt add newClientOrderId=x-HNA2TXFJ..., x-U5D79M5B...
#           or x-TKT5PX2F..., another one for each attempt, so that two attempts at one order are never seen as one, and a log
#           of the gateway shows orders of a "broker" that nobody knows. The caller's own id is kept. binance-connector,
#           pybotters and Binance's SDKs add none.
# Seen with: python-binance 1.0.37, binance-connector 3.13.0, binance-sdk-spot 13.3.0, pybotters 1.11.2; binance 3.6.5,
#           binance-api-node 0.13.10, node-binance-api 1.0.33, ccxt 4.5.84, @binance/spot 32.0.4, @binance/connector 3.6.1 on
#           Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" binance-sdk-spot==13.3.0 \
    python-binance==1.0.37 pybotters==1.11.2
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/old" binance-connector==3.13.0
npm install --silent --no-audit --no-fund --prefix "$work" @binance/spot@32.0.4 @binance/connector@3.6.1 binance@3.6.5 \
    binance-api-node@0.13.10 node-binance-api@1.0.33 ccxt@4.5.84
cat > "$work/clients.cjs" <<'JS'
const url = process.argv[2], keys = { apiKey: "k", apiSecret: "s" }
const order = { symbol: "BTCUSDT", side: "BUY", type: "MARKET", quantity: "1" }
const clients = {
  "@binance/spot": id => {
    const { Spot } = require("@binance/spot")
    return new Spot({ configurationRestAPI: { ...keys, basePath: url } }).restAPI.newOrder({ ...order, ...id })
  },
  "@binance/connector": id => {
    const { Spot } = require("@binance/connector")
    return new Spot("k", "s", { baseURL: url }).newOrder("BTCUSDT", "BUY", "MARKET", { ...order, ...id })
  },
  "binance": id => {
    const { MainClient } = require("binance")
    return new MainClient({ api_key: "k", api_secret: "s", baseUrl: url, disableTimeSync: true })
      .submitNewOrder({ ...order, ...id })
  },
  "binance-api-node": id => require("binance-api-node").default({ ...keys, httpBase: url }).order({ ...order, ...id }),
  "node-binance-api": id => {
    const Client = require("node-binance-api")
    return new Client({ APIKEY: "k", APISECRET: "s", urls: { base: url + "/api/" } }).marketBuy("BTCUSDT", 1, id)
  },
  "ccxt": id => {
    const { binance } = require("ccxt")
    const client = new binance({ apiKey: "k", secret: "s" })
    client.urls.api.private = url + "/api/v3"
    return client.privatePostOrder({ ...order, ...id })
  },
};
(async () => {
  for (const [name, send] of Object.entries(clients)) for (const id of [{}, {}, { newClientOrderId: "mine-1" }]) {
    try { await send(id) } catch {}
    await fetch(`${url}/next?${encodeURIComponent(name)}`)
  }
  process.exit()
})()
JS
cat > "$work/client.py" <<'PY'
import asyncio, sys
from urllib.parse import quote
from urllib.request import urlopen

url, *names = sys.argv[1:]
order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}


def by_sdk(name):
    from binance_sdk_spot.spot import ConfigurationRestAPI, Spot
    more = {"new_client_order_id": name} if name else {}
    Spot(config_rest_api=ConfigurationRestAPI(api_key="k", api_secret="s", base_path=url)).rest_api.new_order(
        symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1, **more)


def by_python_binance(name):
    from binance.client import Client
    Client.API_URL = url + "/api"
    Client("k", "s", ping=False).create_order(**order, **({"newClientOrderId": name} if name else {}))


def by_connector(name):
    from binance.spot import Spot
    Spot("k", "s", base_url=url).new_order(**order, **({"newClientOrderId": name} if name else {}))


def by_pybotters(name):
    import pybotters

    async def send():
        async with pybotters.Client(apis={"binance": ["k", "s"]}, base_url=url) as client:
            await client.post("/api/v3/order", data=order | ({"newClientOrderId": name} if name else {}))
    asyncio.run(send())


clients = {"binance-sdk-spot": by_sdk, "python-binance": by_python_binance, "binance-connector": by_connector,
           "pybotters": by_pybotters}
for client in names:
    for one in (None, None, "mine-1"):
        clients[client](one)
        urlopen(f"{url}/next?{quote(client)}").read()
PY
cd "$work"
timeout 50 python3 - <<'PY'
import contextlib, os, re, signal, socketserver, subprocess, sys, threading
from collections import defaultdict
from urllib.parse import unquote

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
current, sent = [], defaultdict(list)


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                length = 0
                while head := self.rfile.readline().strip().lower():
                    length = int(head.split(b":")[1]) if head.startswith(b"content-length") else length
                path, body = line.split()[1].decode(), self.rfile.read(length).decode()
                if path.startswith("/next?"):
                    sent[unquote(path[6:])].append(current.pop() if current else "nothing")
                elif line.startswith(b"POST"):
                    found = re.search(r"newClientOrderId=([^&]*)", f"{path}&{body}")
                    current[:] = [found[1] if found else "none"]
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"
                                 b'{"serverTime":1}')


EXPECTED = {"binance-sdk-spot": "none", "python-binance": "x-HNA2TXFJ", "pybotters": "none", "binance-connector": "none",
            "@binance/spot": "none", "@binance/connector": "none", "binance": "x-U5D79M5B",
            "binance-api-node": "x-TKT5PX2F", "node-binance-api": "x-TKT5PX2F", "ccxt": "x-TKT5PX2F"}
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
for folder, *names in (("lib", "binance-sdk-spot", "python-binance", "pybotters"), ("old", "binance-connector")):
    subprocess.run([sys.executable, "-W", "ignore", "client.py", url, *names], timeout=30,
                   env=dict(os.environ, PYTHONPATH=folder))
subprocess.run(["node", "clients.cjs", url], timeout=30, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
changed = 0
for name, expected in EXPECTED.items():
    first, second, own = (sent[name] + ["nothing"] * 3)[:3]
    good = own == "mine-1" and (first == second == "none" if expected == "none" else
                                first.startswith(expected) and second.startswith(expected) and first != second)
    changed += not good
    print(f"{name:18} {first}, {second}, {own} {'' if good else 'CHANGED'}")
sys.exit(changed > 0)
PY
