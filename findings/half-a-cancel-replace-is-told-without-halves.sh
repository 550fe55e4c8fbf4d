#!/usr/bin/env bash
# An order that was cancelled without being replaced is a bare "partially failed" in Binance's SDKs, one of them without a code.
#
# Expected: cancelReplace with ALLOW_FAILURE answers 409 and -2021 if one half went through, and its "data" says which one.
#           A client hands that over: a bot must know whether its old order still stands, or whether it has two.
# Happens:  both SDKs and binance-api-node raise with the text alone, and drop "data" and the body. The Python SDK drops
#           the code too (status_code is None for 409), so that -2021 and -2022, in which nothing was done, can only be told
#           apart by their English. binance-connector, python-binance, @binance/connector, binance and node-binance-api keep
#           it, the last as text.
# Seen with: binance-sdk-spot 13.3.0 (binance-common 4.7.0), binance-connector 3.13.0, python-binance 1.0.37; @binance/spot
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
const order = { symbol: "BTCUSDT", side: "BUY", type: "LIMIT", cancelReplaceMode: "ALLOW_FAILURE", timeInForce: "GTC",
                quantity: "1", price: "100", cancelOrderId: 9 }
const clients = {
  "@binance/spot": () => {
    const { Spot } = require("@binance/spot")
    return new Spot({ configurationRestAPI: { ...keys, basePath: url } }).restAPI.orderCancelReplace(order)
  },
  "@binance/connector": () => {
    const { Spot } = require("@binance/connector")
    return new Spot("k", "s", { baseURL: url }).cancelAndReplace("BTCUSDT", "BUY", "LIMIT", "ALLOW_FAILURE", order)
  },
  "binance": () => {
    const { MainClient } = require("binance")
    return new MainClient({ api_key: "k", api_secret: "s", baseUrl: url, disableTimeSync: true }).replaceOrder(order)
  },
  "binance-api-node": () => require("binance-api-node").default({ ...keys, httpBase: url })
    .privateRequest("POST", "/api/v3/order/cancelReplace", order),
  "node-binance-api": () => {
    const Client = require("node-binance-api")
    return new Client({ APIKEY: "k", APISECRET: "s", urls: { base: url + "/api/" } })
      .privateSpotRequest("v3/order/cancelReplace", order, "POST")
  },
};
(async () => {
  const told = {}
  for (const [name, replace] of Object.entries(clients)) {
    try {
      await replace()
      told[name] = "returns"
    } catch (error) {
      const seen = new Set(), parts = {}
      for (const key of Object.getOwnPropertyNames(error)) if (key !== "stack") parts[key] = error[key]
      told[name] = JSON.stringify(parts, (key, value) => {
        if (["request", "config", "requestOptions"].includes(key) || seen.has(value)) return undefined
        if (value && typeof value === "object") seen.add(value)
        return value
      })
    }
  }
  console.log(JSON.stringify(told))
  process.exit()
})()
JS
cat > "$work/clients.py" <<'PY'
import json, sys

url, which = sys.argv[1:]
order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "cancelReplaceMode": "ALLOW_FAILURE", "timeInForce": "GTC",
         "quantity": "1", "price": "100", "cancelOrderId": 9}


def by_sdk():
    from binance_sdk_spot.spot import ConfigurationRestAPI, Spot
    client = Spot(config_rest_api=ConfigurationRestAPI(api_key="k", api_secret="s", base_path=url)).rest_api
    client.order_cancel_replace(symbol="BTCUSDT", side="BUY", type="LIMIT", cancel_replace_mode="ALLOW_FAILURE",
                                time_in_force="GTC", quantity=1, price=100, cancel_order_id=9)


def by_python_binance():
    from binance.client import Client
    Client.API_URL = url + "/api"
    Client("k", "s", ping=False)._post("order/cancelReplace", True, version="v3", data=order)


def by_connector():
    from binance.spot import Spot
    Spot("k", "s", base_url=url).cancel_and_replace(**order)


try:
    {"binance-sdk-spot": by_sdk, "python-binance": by_python_binance, "binance-connector": by_connector}[which]()
    print("returns")
except Exception as error:
    parts = {key: value.text if key == "response" else value for key, value in vars(error).items()}
    print(json.dumps(parts, default=str))
PY
cd "$work"
timeout 50 python3 - <<'PY'
import contextlib, json, os, signal, socketserver, subprocess, sys, threading

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
BODY = json.dumps({
    "code": -2021, "msg": "Order cancel-replace partially failed.",
    "data": {"cancelResult": "SUCCESS", "newOrderResult": "FAILURE",
             "cancelResponse": {"symbol": "BTCUSDT", "orderId": 9, "status": "CANCELED"},
             "newOrderResponse": {"code": -2010, "msg": "Account has insufficient balance for requested action."}}})


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while self.rfile.readline():
                length = 0
                while head := self.rfile.readline().strip().lower():
                    length = int(head.split(b":")[1]) if head.startswith(b"content-length") else length
                self.rfile.read(length)
                self.wfile.write(f"HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
                                 f"{BODY}".encode())


# Whether a caller gets the code, and the results of the two halves.
EXPECTED = {
    "binance-sdk-spot": (False, False), "python-binance": (True, True), "binance-connector": (True, True),
    "@binance/spot": (True, False), "@binance/connector": (True, True), "binance": (True, True),
    "binance-api-node": (True, False), "node-binance-api": (True, True),
}
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
told = json.loads(subprocess.run(["node", "clients.cjs", url], capture_output=True, text=True, timeout=30).stdout or "{}")
for name, folder in (("binance-sdk-spot", "lib"), ("python-binance", "lib"), ("binance-connector", "old")):
    python = subprocess.run([sys.executable, "-W", "ignore", "clients.py", url, name], capture_output=True, text=True,
                            timeout=30, env=dict(os.environ, PYTHONPATH=folder))
    told[name] = python.stdout.strip() or python.stderr[-300:]
changed = 0
for name, expected in EXPECTED.items():
    seen = ("-2021" in told.get(name, ""), "cancelResult" in told.get(name, ""))
    changed += seen != expected
    print(f"{name:18} code {'told' if seen[0] else 'lost':4}  halves {'told' if seen[1] else 'lost':4}"
          f" {'' if seen == expected else 'CHANGED'} {told.get(name, '')[:150]}")
sys.exit(changed > 0)
PY
