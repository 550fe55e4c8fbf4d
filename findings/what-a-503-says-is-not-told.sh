#!/usr/bin/env bash
# Binance's SDKs drop what a 503 says: whether the order may have been carried out. And status_code is three things.
#
# Expected: a 503 of Binance's may mean that an order has perhaps been carried out ("Unknown error"), or that it has not
#           ("Service Unavailable", -1008). The error has the code and the text, as it has for a 400.
# Happens:  for each 5xx both SDKs raise ServerError "Server error: 503" without code, text or body. In the Python SDK
#           status_code is Binance's code for 400, 401, 403, 404, 418 and 429 (-1003), None for each other 4xx (408,
#           409), and the HTTP status for 5xx: "status_code == 429" is never true. python-binance, binance-connector,
#           @binance/connector, binance, binance-api-node and node-binance-api hand over the code and the text.
# Seen with: binance-sdk-spot 13.3.0 (binance-common 4.7.0), python-binance 1.0.37, binance-connector 3.13.0; @binance/spot
#           32.0.4 (@binance/common 2.4.9), @binance/connector 3.6.1, binance 3.6.5, binance-api-node 0.13.10, node-binance-api
#           1.0.33 on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" binance-sdk-spot==13.3.0 \
    binance-common==4.7.0 python-binance==1.0.37
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/old" binance-connector==3.13.0
npm install --silent --no-audit --no-fund --prefix "$work" @binance/spot@32.0.4 @binance/common@2.4.9 \
    @binance/connector@3.6.1 binance@3.6.5 binance-api-node@0.13.10 node-binance-api@1.0.33
cat > "$work/clients.cjs" <<'JS'
const url = process.argv[2], keys = { apiKey: "k", apiSecret: "s" }
const order = { symbol: "BTCUSDT", side: "BUY", type: "MARKET", quantity: "1" }
const clients = {
  "@binance/spot": () => {
    const { Spot } = require("@binance/spot")
    return new Spot({ configurationRestAPI: { ...keys, basePath: url } }).restAPI.newOrder(order)
  },
  "@binance/connector": () => {
    const { Spot } = require("@binance/connector")
    return new Spot("k", "s", { baseURL: url }).newOrder("BTCUSDT", "BUY", "MARKET", order)
  },
  "binance": () => {
    const { MainClient } = require("binance")
    return new MainClient({ api_key: "k", api_secret: "s", baseUrl: url, disableTimeSync: true }).submitNewOrder(order)
  },
  "binance-api-node": () => require("binance-api-node").default({ ...keys, httpBase: url }).order(order),
  "node-binance-api": () => {
    const Client = require("node-binance-api")
    return new Client({ APIKEY: "k", APISECRET: "s", urls: { base: url + "/api/" } }).marketBuy("BTCUSDT", 1)
  },
};
(async () => {
  const told = {}
  for (const [name, send] of Object.entries(clients)) {
    try {
      await send()
    } catch (error) {
      told[name] = JSON.stringify([error.code, error.message, error.body, error.response?.data, error.statusCode])
    }
  }
  console.log(JSON.stringify(told))
  process.exit()
})()
JS
cat > "$work/clients.py" <<'PY'
import json, sys

url, which = sys.argv[1:3]
order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}


def by_sdk():
    from binance_sdk_spot.spot import ConfigurationRestAPI, Spot
    Spot(config_rest_api=ConfigurationRestAPI(api_key="k", api_secret="s", base_path=url, retries=0)).rest_api.new_order(
        symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1)


def by_python_binance():
    from binance.client import Client
    Client.API_URL = url + "/api"
    Client("k", "s", ping=False).create_order(**order)


def by_connector():
    from binance.spot import Spot
    Spot("k", "s", base_url=url).new_order(**order)


for _ in sys.argv[3:]:
    try:
        {"binance-sdk-spot": by_sdk, "python-binance": by_python_binance, "binance-connector": by_connector}[which]()
    except Exception as error:
        print(json.dumps({key: value for key, value in vars(error).items() if key not in ("response", "request")}, default=str))
PY
cd "$work"
timeout 50 python3 - <<'PY'
import contextlib, json, os, signal, socketserver, subprocess, sys, threading

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
statuses = []


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while self.rfile.readline():
                length = 0
                while head := self.rfile.readline().strip().lower():
                    length = int(head.split(b":")[1]) if head.startswith(b"content-length") else length
                self.rfile.read(length)
                status = statuses.pop(0) if statuses else 503
                body = '{"code":-1008,"msg":"throttled"}' if status == 503 else '{"code":-1003,"msg":"no"}'
                self.wfile.write(f"HTTP/1.1 {status} So\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                                 f"{body}".encode())


def by_python(name, folder, answers):
    statuses[:] = answers
    run = subprocess.run([sys.executable, "-W", "ignore", "clients.py", url, name, *map(str, answers)], capture_output=True,
                         text=True, timeout=30, env=dict(os.environ, PYTHONPATH=folder))
    return run.stdout.splitlines() or [run.stderr[-300:]]


SDKS = ("binance-sdk-spot", "@binance/spot")
CODES = {400: -1003, 401: -1003, 403: -1003, 404: -1003, 418: -1003, 429: -1003, 408: None, 409: None, 500: 500, 503: 503}
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
told = {name: by_python(name, folder, [503])[0] for name, folder in
        (("binance-sdk-spot", "lib"), ("python-binance", "lib"), ("binance-connector", "old"))}
statuses.clear()
told |= json.loads(subprocess.run(["node", "clients.cjs", url], capture_output=True, text=True, timeout=30).stdout or "{}")
changed = len(told) != 8
for name, text in told.items():
    seen = "-1008" in text and "throttled" in text
    changed += seen == (name in SDKS)
    print(f"{name:18} 503 with -1008: {'told' if seen else 'lost'} {'CHANGED' if seen == (name in SDKS) else ''} {text[:110]}")
codes = {status: json.loads(line).get("status_code") for status, line in
         zip(CODES, by_python("binance-sdk-spot", "lib", list(CODES)))}
changed += codes != CODES
print("binance-sdk-spot, status_code by HTTP status:", codes, "" if codes == CODES else "CHANGED")
sys.exit(changed > 0)
PY
