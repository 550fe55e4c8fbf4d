#!/usr/bin/env bash
# Binance clients sign one text and send another, for values that most users never have.
#
# Expected: a client signs the very bytes that it sends. Binance checks the HMAC over them, and has refused since 2026
#           what was signed before it was percent-encoded (-1022).
# Happens:  python-binance signs a POST unencoded and sends it encoded: a newClientOrderId with : or / (both are
#           allowed) is refused. Binance's own @binance/wallet and node-binance-api sign a space as %20 and send it
#           as +. All JavaScript clients here sign an apostrophe as it is and send %27. Letters and digits work in
#           each, so the fault looks like one of the key, or of whatever stands between.
#           pbinance is right. A gateway must pass the bytes on, and cannot mend it.
# Seen with: python-binance 1.0.37, pbinance 1.0.11 on CPython 3.11; @binance/wallet 16.0.2,
#           binance 3.6.5, binance-api-node 0.13.10, node-binance-api 1.0.33 on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" python-binance==1.0.37 \
    pbinance==1.0.11 requests==2.34.2
npm install --silent --no-audit --no-fund --prefix "$work" @binance/wallet@16.0.2 binance@3.6.5 \
    binance-api-node@0.13.10 node-binance-api@1.0.33
cat > "$work/clients.cjs" <<'JS'
const url = process.argv[2], names = process.argv.slice(3)
const clients = {
  "@binance/wallet": () => {
    const { Wallet } = require("@binance/wallet")
    const wallet = new Wallet({ configurationRestAPI: { apiKey: "key", apiSecret: "secret", basePath: url } }).restAPI
    return async name => (await wallet.withdraw({ coin: "BTC", address: "a", amount: 1, name })).data()
  },
  "binance": () => {
    const { MainClient } = require("binance")
    const client = new MainClient({ api_key: "key", api_secret: "secret", baseUrl: url, disableTimeSync: true })
    return name => client.withdraw({ coin: "BTC", address: "a", amount: 1, name })
  },
  "binance-api-node": () => {
    const client = require("binance-api-node").default({ apiKey: "key", apiSecret: "secret", httpBase: url })
    return name => client.withdraw({ coin: "BTC", address: "a", amount: 1, name })
  },
  "node-binance-api": () => {
    const Client = require("node-binance-api")
    const client = new Client({ APIKEY: "key", APISECRET: "secret", urls: { base: url + "/api/", sapi: url + "/sapi/" } })
    return name => client.withdraw("BTC", "a", 1, false, name)
  },
}
const run = async () => {
  for (const client in clients) {
    const withdraw = clients[client](), seen = {}
    for (const name of names) seen[name] = (await withdraw(name)).signature
    console.log(JSON.stringify([client, seen]))
  }
  process.exit()
}
run()
JS
PYTHONPATH="$work/lib" timeout 60 python3 - "$work" <<'PY'
import hashlib, hmac, http.server, json, subprocess, sys, threading

import binance, pbinance

NAMES = ("plain", "币安人生", "cold wallet", "Bob's wallet")
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
AS_PLUS, APOSTROPHE = (dict(zip(NAMES, each)) for each in (
    ("good", "good", "bad", "bad"), ("good", "good", "good", "bad")))
EXPECTED = {
    "@binance/wallet": AS_PLUS, "node-binance-api": AS_PLUS, "binance": APOSTROPHE, "binance-api-node": APOSTROPHE,
    "pbinance, order": {"bot7": "good", "bot:7/a": "good"},
    "python-binance": dict(zip(NAMES, ("good", "bad", "bad", "bad"))),
    "python-binance, order": {"bot7": "good", "bot:7/a": "bad"},
}


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        signed, _, signature = (self.path.partition("?")[2] + body).partition("&signature=")
        right = hmac.new(b"secret", signed.encode(), hashlib.sha256).hexdigest()
        verdicts.append("good" if signature == right else "bad")
        answer = json.dumps({"signature": verdicts[-1], "id": "1"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


verdicts, found = [], {}
origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{origin.server_address[1]}"
settings = {"API_URL": f"{url}/api", "MARGIN_API_URL": f"{url}/sapi"}
client = type("Client", (binance.Client,), settings)("key", "secret", ping=False)
found["python-binance"] = {
    name: client.withdraw(coin="BTC", address="a", amount=1, name=name)["signature"] for name in NAMES
}
found["python-binance, order"] = {
    "bot7": client.create_order(**ORDER, newClientOrderId="bot7")["signature"],
    "bot:7/a": client.create_order(**ORDER, newClientOrderId="bot:7/a")["signature"],
}
trade = pbinance.Binance("key", "secret", proxy_host=url).spot.accountTrade
found["pbinance, order"] = {
    "bot7": trade.set_order(**ORDER, newClientOrderId="bot7")["data"]["signature"],
    "bot:7/a": trade.set_order(**ORDER, newClientOrderId="bot:7/a")["data"]["signature"],
}
ran = subprocess.run(["node", f"{sys.argv[1]}/clients.cjs", url, *NAMES], capture_output=True, check=True, timeout=30)
found.update(json.loads(line) for line in ran.stdout.splitlines())
changed = 0
for name, expected in EXPECTED.items():
    changed += found[name] != expected
    row = ", ".join(f"{value}: {verdict}" for value, verdict in found[name].items())
    print(f"{name:21} {row} {'' if found[name] == expected else f'CHANGED, was {expected}'}")
sys.exit(changed > 0)
PY
