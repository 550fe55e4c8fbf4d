#!/usr/bin/env bash
# Ten Binance clients, five of Binance's own among them, send the price 0.00001 as 1e-05, which Binance refuses.
#
# Expected: a client made for Binance writes numbers as Binance reads them, digits with a point (-1100, "legal range is
#           '^([0-9]{1,20})(\.[0-9]{1,20})?$'"). Prices of 0.00001 and less are those of SHIB and PEPE.
# Happens:  whoever passes a number gets the text of the language: in Python 1e-05 below 0.0001 and in
#           JavaScript 1e-7 below 0.000001. Only @binance/spot writes it out. The Python SDK of the same make does
#           not. A bot works for years and fails with the first cheap coin; pass strings.
# Seen with: binance-sdk-spot 13.3.0, binance-connector 3.13.0, binance-futures-connector 4.2.0, python-binance 1.0.37,
#           pybotters 1.11.2, @binance/spot 32.0.4, @binance/connector 3.6.1, @binance/connector-typescript 0.3.16,
#           binance 3.6.5, binance-api-node 0.13.10, node-binance-api 1.0.33 on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# binance-connector and python-binance share the name of their package.
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" binance-sdk-spot==13.3.0 \
    python-binance==1.0.37 pybotters==1.11.2
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/old" binance-connector==3.13.0 \
    binance-futures-connector==4.2.0
npm install --silent --no-audit --no-fund --prefix "$work" @binance/spot@32.0.4 @binance/connector@3.6.1 \
    @binance/connector-typescript@0.3.16 binance@3.6.5 binance-api-node@0.13.10 node-binance-api@1.0.33
cd "$work"
timeout 50 python3 - "$work" <<'PY'
import contextlib, os, signal, socketserver, subprocess, sys, threading
from urllib.parse import parse_qs

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                length = 0
                while header := self.rfile.readline().strip().lower():
                    if header.startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                sent = line.split()[1].partition(b"?")[2] + b"&" + self.rfile.read(length)
                prices.extend(parse_qs(sent.decode()).get("price", []))
                body = b'{"symbol": "PEPEUSDT", "orderId": 1, "serverTime": 1}'
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                                 % (len(body), body))


ORDER = 'dict(symbol="PEPEUSDT", side="BUY", type="LIMIT", quantity=1000000, price=0.00001)'
FIELDS = '{symbol: "PEPEUSDT", side: "BUY", type: "LIMIT", timeInForce: "GTC", quantity: 1000000, price: 0.0000001}'
KEYS = '{apiKey: "k", apiSecret: "s"'
PYTHON = {
    "binance-sdk-spot": ("lib", "1e-05", f"""from binance_sdk_spot.spot import ConfigurationRestAPI, Spot
Spot(config_rest_api=ConfigurationRestAPI(api_key="k", api_secret="s", base_path=URL)).rest_api.new_order(**{ORDER})"""),
    "python-binance": ("lib", "1e-05", f"""from binance.client import Client
client = Client("k", "s", ping=False); client.API_URL = URL + "/api"; client.create_order(**{ORDER})"""),
    "pybotters": ("lib", "1e-05", f"""import asyncio, pybotters
async def order():
    async with pybotters.Client(apis={{"binance": ["k", "s"]}}, base_url=URL) as client:
        await client.post("/api/v3/order", data={ORDER})
asyncio.run(order())"""),
    "binance-connector": ("old", "1e-05", f"""from binance.spot import Spot
Spot("k", "s", base_url=URL).new_order(**{ORDER})"""),
    "binance-futures-connector": ("old", "1e-05", f"""from binance.um_futures import UMFutures
UMFutures("k", "s", base_url=URL).new_order(**{ORDER})"""),
}
NODE = {
    "@binance/spot": ("0.0000001", f"""const {{Spot}} = require("@binance/spot");
return new Spot({{configurationRestAPI: {KEYS}, basePath: GATEWAY}}}}).restAPI.newOrder({FIELDS})"""),
    "@binance/connector": ("1e-7", f"""const {{Spot}} = require("@binance/connector");
return new Spot("k", "s", {{baseURL: GATEWAY}}).newOrder("PEPEUSDT", "BUY", "LIMIT", {FIELDS})"""),
    "@binance/connector-typescript": ("1e-7", f"""const {{Spot}} = require("@binance/connector-typescript");
return new Spot("k", "s", {{baseURL: GATEWAY}}).newOrder("PEPEUSDT", "BUY", "LIMIT", {FIELDS})"""),
    "binance": ("1e-7", f"""const {{MainClient}} = require("binance");
return new MainClient({{api_key: "k", api_secret: "s", baseUrl: GATEWAY, disableTimeSync: true}}).submitNewOrder({FIELDS})"""),
    "binance-api-node": ("1e-7", f"""const client = require("binance-api-node").default;
return client({KEYS}, httpBase: GATEWAY}}).order({FIELDS})"""),
    "node-binance-api": ("1e-7", """const Client = require("node-binance-api");
const client = new Client({APIKEY: "k", APISECRET: "s", urls: {base: GATEWAY + "/api/"}});
return client.order("LIMIT", "BUY", "PEPEUSDT", 1000000, 0.0000001)"""),
}
prices, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
runs = [(name, "0.00001", expected, [sys.executable, "-W", "ignore", "-c", f"URL = {url!r}\n{code}"], folder)
        for name, (folder, expected, code) in PYTHON.items()]
runs += [(name, "0.0000001", expected, ["node", "-e", f"const GATEWAY = '{url}'; (async () => {{ {code} }})().then("
                                        "() => process.exit())"], "")
         for name, (expected, code) in NODE.items()]
for name, price, expected, command, folder in runs:
    prices.clear()
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30,
                           env=dict(os.environ, PYTHONPATH=f"{sys.argv[1]}/{folder}"))
    good = prices == [expected]
    changed += not good
    print(f"{name:29} price {price:9} sent as {', '.join(prices) or ended.stderr[-200:]} {'' if good else 'CHANGED'}")
sys.exit(changed > 0)
PY
