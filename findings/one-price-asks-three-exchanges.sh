#!/usr/bin/env bash
# ccxt's price of a spot symbol fails when the COIN-M futures answer 503, and with an API key it takes eight requests.
#
# Expected: the price of BTC/USDT, a spot symbol, needs the spot's exchangeInfo once, and then the price. Keys make no
#           difference to market data.
# Happens:  the first call of each ccxt object loads the exchangeInfo of spot, USD-M and COIN-M. If one of the three answers
#           503 the price is an error, though the spot has answered. With keys in it, the same call adds four requests to
#           /sapi, one of them signed and /sapi/v1/margin/allPairs twice, and if those answer 503 there is no price either.
#           fetchMarkets with the types ["spot"] leaves out the futures and keeps the four.
#           So a gateway that has the whole of /api, which is all that such a bot asks for by name, is not enough for it,
#           and each bot that starts costs the weight of three exchangeInfo.
# Seen with: ccxt 4.5.64 (PyPI) on CPython 3.11, 4.5.84 (npm) on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" ccxt==4.5.64
npm install --silent --no-audit --no-fund --prefix "$work" ccxt@4.5.84
cat > "$work/price.cjs" <<'JS'
const { binance } = require("ccxt"), [url, config] = process.argv.slice(2), exchange = new binance(JSON.parse(config))
for (const [name, one] of Object.entries(exchange.urls.api)) exchange.urls.api[name] = url + new URL(one).pathname
exchange.fetchTicker("BTC/USDT").then(price => console.log(price.last), error => console.log(error.name))
  .then(() => process.exit())
JS
cat > "$work/price.py" <<'PY'
import json, sys
from urllib.parse import urlsplit
import ccxt

url, config = sys.argv[1:]
exchange = ccxt.binance(json.loads(config))
exchange.urls["api"] = {name: url + urlsplit(one).path for name, one in exchange.urls["api"].items()}
try:
    print(int(exchange.fetch_ticker("BTC/USDT")["last"]))
except ccxt.BaseError as error:
    print(type(error).__name__)
PY
cd "$work"
timeout 50 python3 - <<'PY'
import contextlib, json, os, signal, socketserver, subprocess, sys, threading

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
MARKET = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "permissions": ["SPOT"],
          "isSpotTradingAllowed": True, "orderTypes": [], "filters": []}


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                path = line.split()[1].decode().partition("?")[0]
                asked.append(path)
                answer = {"symbols": [MARKET] if path.startswith("/api/") else []} if path.endswith("exchangeInfo") else (
                    [] if path.startswith("/sapi/") else {"symbol": "BTCUSDT", "lastPrice": "7"})
                status = "503 Service Unavailable" if path.startswith(tuple(down)) else "200 OK"
                body = json.dumps(answer if status == "200 OK" else {"code": -1000, "msg": "down"}).encode()
                self.wfile.write(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                                 .encode() + body)


INFO, PRICE = ["/api/v3/exchangeInfo", "/fapi/v1/exchangeInfo", "/dapi/v1/exchangeInfo"], "/api/v3/ticker/24hr"
COINS, PAIRS = "/sapi/v1/capital/config/getall", "/sapi/v1/margin/allPairs"
WALLET = [COINS, PAIRS, PAIRS, "/sapi/v1/margin/isolated/allPairs"]
KEYS, SPOT = {"apiKey": "k", "secret": "s"}, {"options": {"fetchMarkets": {"types": ["spot"]}}}
CASES = [("without keys", {}, [], "7", [*INFO, PRICE]),
         ("without keys, /dapi down", {}, ["/dapi"], "OperationFailed", INFO),
         ("with keys", KEYS, [], "7", [*INFO, PRICE, *WALLET]),
         ("spot only, /dapi down", SPOT, ["/dapi"], "7", [INFO[0], PRICE]),
         ("spot only, with keys", KEYS | SPOT, [], "7", [INFO[0], PRICE, *WALLET]),
         ("spot only, with keys, /sapi down", KEYS | SPOT, ["/sapi"], "OperationFailed", [COINS, PAIRS])]
asked, down, changed = [], [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
for kind, command in (("PyPI", [sys.executable, "-W", "ignore", "price.py"]), ("npm", ["node", "price.cjs"])):
    for name, config, broken, expected, paths in CASES:
        asked.clear()
        down[:] = broken
        run = subprocess.run([*command, url, json.dumps(config)], capture_output=True, text=True, timeout=20,
                             env=dict(os.environ, PYTHONPATH="lib"))
        # With an answer of 503 it depends on the language how many more requests are under way by then.
        good = run.stdout.strip() == expected and (set(asked) <= set(paths) if broken else sorted(asked) == sorted(paths))
        changed += not good
        print(f"ccxt ({kind}) {name}: {run.stdout.strip()} after {len(asked)} requests: {', '.join(asked)}"
              f" {'' if good else 'CHANGED'}")
sys.exit(changed > 0)
PY
