#!/usr/bin/env bash
# One order is sent fifty times when Binance does not know whether the first was carried out.
#
# Expected: on code -1007 ("execution status unknown") a client raises, or returns it, for a POST of an order that may
#           have been carried out; on -1003 (429, or 418 for a ban) it stops asking.
# Happens:  pbinance sends each request again, POST of an order too, up to fifty times at 0.1 s on -1007, on -1003 and on
#           four other codes. No option changes that, Retry-After is not read, nothing is logged: the caller sees five
#           seconds of waiting and one answer. Each time the order has a new timestamp and a new signature, and no
#           newClientOrderId unless the caller gave one, so each can be carried out. A ban only gets longer.
#           python-binance sends it once and raises.
# Seen with: pbinance 1.0.11, python-binance 1.0.37; CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" pbinance==1.0.11 \
    python-binance==1.0.37 requests==2.34.2 aiohttp==3.14.5
PYTHONPATH="$work/lib" timeout 60 python3 - <<'PY'
import http.server, json, sys, threading, time

import binance, pbinance

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
ANSWERS = (
    (504, {"code": -1007, "msg": "Timeout waiting for response from backend server. Execution status unknown."}),
    (418, {"code": -1003, "msg": "Way too many requests; IP banned until 1795824000000."}),
)


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        orders.append(self.path)
        status, answer = current
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Retry-After", "120")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def with_pbinance(url):
    return pbinance.Binance("key", "secret", proxy_host=url).spot.accountTrade.set_order(**ORDER)["code"]


def with_python_binance(url):
    client = type("Client", (binance.Client,), {"API_URL": f"{url}/api"})("key", "secret", ping=False)
    try:
        return client.create_order(**ORDER)
    except binance.exceptions.BinanceAPIException as error:
        return error.code


origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
changed = 0
for current in ANSWERS:
    for call, expected in ((with_pbinance, 50), (with_python_binance, 1)):
        orders, begun = [], time.monotonic()
        outcome = call(f"http://127.0.0.1:{origin.server_address[1]}")
        changed += len(orders) != expected
        print(f"{current[0]} {current[1]['code']} {call.__name__[5:]:14} orders sent: {len(orders):2}, in"
              f" {time.monotonic() - begun:.1f} s, {len(set(orders))} different; ends with {outcome}"
              f"{'' if len(orders) == expected else ' CHANGED'}")
sys.exit(changed > 0)
PY
