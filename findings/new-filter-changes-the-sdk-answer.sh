#!/usr/bin/env bash
# One filter that the official SDK does not know turns its whole exchangeInfo into a dict.
#
# Expected: an unknown filterType in one symbol is kept as it is, or left out, or raises.
# Happens:  exchange_info().data() gives a model with .symbols for an answer of known filters. If one symbol of
#           the answer has a filter of a new type, data() gives a plain dict of the whole answer and writes one
#           line to the root logger; .symbols then raises AttributeError in the caller's code. New values of
#           status, order type, rate limit and permission do no harm.
#           Binance adds filters now and then, and a gateway must pass them on.
# Seen with: binance-sdk-spot 13.3.0; CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" binance-sdk-spot==13.3.0
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import copy, json, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from binance_sdk_spot.spot import ConfigurationRestAPI, Spot

PRICE = {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"}
ANSWER = {
    "timezone": "UTC",
    "serverTime": 1789000000000,
    "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
    "exchangeFilters": [],
    "symbols": [
        {"symbol": symbol, "status": "TRADING", "baseAsset": symbol[:3], "quoteAsset": "USDT", "orderTypes": ["LIMIT"],
         "filters": [PRICE], "permissions": [], "permissionSets": [["SPOT"]]}
        for symbol in ("BTCUSDT", "ETHUSDT")
    ],
}
body = b""


def with_new(kind):
    answer = copy.deepcopy(ANSWER)
    symbol = answer["symbols"][1]
    if kind == "filter":
        symbol["filters"].append({"filterType": "MAX_NUM_WISHES", "maxNumWishes": 3})
    elif kind == "status":
        symbol["status"] = "RESTING"
    elif kind == "order type":
        symbol["orderTypes"].append("WISH")
    elif kind == "rate limit":
        answer["rateLimits"].append({"rateLimitType": "WISHES", "interval": "WEEK", "intervalNum": 1, "limit": 3})
    return answer


class Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = Spot(ConfigurationRestAPI(base_path=f"http://127.0.0.1:{server.server_port}", retries=0, timeout=5000))
changed = 0
for kind, expected in {
    "nothing": "ExchangeInfoResponse", "status": "ExchangeInfoResponse", "order type": "ExchangeInfoResponse",
    "rate limit": "ExchangeInfoResponse", "filter": "dict",
}.items():
    body = json.dumps(with_new(kind)).encode()
    data = client.rest_api.exchange_info().data()
    seen = type(data).__name__
    changed += seen != expected
    print(f"new: {kind:11} data() is {seen} {'' if seen == expected else 'CHANGED, was ' + expected}")
server.shutdown()
sys.exit(changed > 0)
PY
