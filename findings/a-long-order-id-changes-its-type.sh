#!/usr/bin/env bash
# In @binance/spot and binance-api-node an order's id is a number until it is long, and then something else.
#
# Expected: a client for JavaScript has one type for orderId. Ids of options and algo orders pass 2^53, such as
#           4611875134427365377, so that type is a string or a BigInt, if the author thought of it.
# Happens:  @binance/spot gives a number for 1000001 and a BigInt for the long one, and JSON.stringify of the order raises
#           TypeError from that day on. binance-api-node gives a number, and then an object (BigNumber) that is not
#           equal to another one of the same id. binance, @binance/connector, @binance/connector-typescript and
#           node-binance-api round it: 4611875134427365000 is another order's id, or nobody's.
# Seen with: @binance/spot 32.0.4, @binance/connector 3.6.1, @binance/connector-typescript 0.3.16, binance 3.6.5,
#           binance-api-node 0.13.10, node-binance-api 1.0.33 on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-audit --no-fund --prefix "$work" @binance/spot@32.0.4 @binance/connector@3.6.1 \
    @binance/connector-typescript@0.3.16 binance@3.6.5 binance-api-node@0.13.10 node-binance-api@1.0.33
cat > "$work/clients.cjs" <<'JS'
const url = process.argv[2], keys = { apiKey: "k", apiSecret: "s" }, symbol = "BTCUSDT"
const clients = {
  "@binance/spot": async orderId => {
    const { Spot } = require("@binance/spot")
    const client = new Spot({ configurationRestAPI: { ...keys, basePath: url } }).restAPI
    return (await client.getOrder({ symbol, orderId })).data()
  },
  "binance-api-node": orderId => require("binance-api-node").default({ ...keys, httpBase: url }).getOrder({ symbol, orderId }),
  "@binance/connector": async orderId => {
    const { Spot } = require("@binance/connector")
    return (await new Spot("k", "s", { baseURL: url }).getOrder(symbol, { orderId })).data
  },
  "@binance/connector-typescript": orderId => {
    const { Spot } = require("@binance/connector-typescript")
    return new Spot("k", "s", { baseURL: url }).getOrder(symbol, { orderId })
  },
  "binance": orderId => {
    const { MainClient } = require("binance")
    return new MainClient({ api_key: "k", api_secret: "s", baseUrl: url, disableTimeSync: true }).getOrder({ symbol, orderId })
  },
  "node-binance-api": orderId => {
    const Client = require("node-binance-api")
    return new Client({ APIKEY: "k", APISECRET: "s", urls: { base: url + "/api/" } }).orderStatus(symbol, orderId)
  },
};
(async () => {
  const seen = {}
  for (const [name, ask] of Object.entries(clients)) {
    seen[name] = []
    for (const which of [1, 2]) {
      const order = await ask(which)
      let text = "raises"
      try { text = JSON.stringify(order.orderId) } catch {}
      seen[name].push(`${order.orderId.constructor.name} ${order.orderId} JSON ${text}`)
    }
  }
  console.log(JSON.stringify(seen))
  process.exit()
})()
JS
cd "$work"
timeout 50 python3 - <<'PY'
import contextlib, json, signal, socketserver, subprocess, sys, threading

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
SHORT, LONG, ROUNDED = 1000001, 4611875134427365377, 4611875134427365000


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                number = LONG if b"orderId=2" in line else SHORT
                body = f'{{"symbol": "BTCUSDT", "orderId": {number}, "serverTime": 1}}'
                self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                                 f"{body}".encode())


RIGHT = f"Number {SHORT} JSON {SHORT}"
ROUNDS = [RIGHT, f"Number {ROUNDED} JSON {ROUNDED}"]
EXPECTED = {
    "@binance/spot": [RIGHT, f"BigInt {LONG} JSON raises"], "binance-api-node": [RIGHT, f'BigNumber {LONG} JSON "{LONG}"'],
    "@binance/connector": ROUNDS, "@binance/connector-typescript": ROUNDS, "binance": ROUNDS, "node-binance-api": ROUNDS,
}
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
node = subprocess.run(["node", "clients.cjs", f"http://127.0.0.1:{server.server_address[1]}"], capture_output=True,
                      text=True, timeout=40)
seen = json.loads(node.stdout or "{}")
for name, expected in EXPECTED.items():
    print(f"{name:29} {'; '.join(seen.get(name, ['nothing']))} {'' if seen.get(name) == expected else 'CHANGED'}")
print(node.stderr[-500:], end="")
sys.exit(seen != EXPECTED)
PY
