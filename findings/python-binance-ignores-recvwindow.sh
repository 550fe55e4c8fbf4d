#!/usr/bin/env bash
# python-binance takes recvWindow as an argument and sends 10000 all the same.
#
# Expected: create_order(..., recvWindow=500) sends recvWindow=500, so that an order held up on its way is refused instead
#           of being carried out late. Its docstrings name the argument ("milliseconds the request is valid for").
# Happens:  each signed call of Client and AsyncClient, spot and futures, sends recvWindow=10000 in place of what the caller
#           gave, twice Binance's own default of 5000, without a word. An order can be carried out ten seconds
#           late. timestamp is replaced in the same way. Only the class attribute REQUEST_RECVWINDOW changes it; set to
#           None, the argument works. pbinance sends what it is given.
# Seen with: python-binance 1.0.37, pbinance 1.0.11; CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" python-binance==1.0.37 \
    pbinance==1.0.11 requests==2.34.2 aiohttp==3.14.5
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import asyncio, http.server, sys, threading, urllib.parse

import binance, pbinance

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1", "recvWindow": 500}


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        asked = urllib.parse.parse_qs(self.path.partition("?")[2] + body)
        windows.extend(asked.get("recvWindow", []))
        answer = b'{"serverTime": 1, "orderId": 1}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


async def from_async_client():
    client = type("Client", (binance.AsyncClient,), URLS)("key", "secret")
    await client.create_order(**ORDER)
    await client.close_connection()


windows, changed = [], 0
origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{origin.server_address[1]}"
URLS = {"API_URL": f"{url}/api", "FUTURES_URL": f"{url}/fapi"}
client = type("Client", (binance.Client,), URLS)("key", "secret", ping=False)
without = type("Client", (binance.Client,), {**URLS, "REQUEST_RECVWINDOW": None})("key", "secret", ping=False)
for name, call, expected in (
    ("Client, order", lambda: client.create_order(**ORDER), "10000"),
    ("Client, futures order", lambda: client.futures_create_order(**ORDER), "10000"),
    ("Client, reading", lambda: client.get_order(symbol="BTCUSDT", orderId=1, recvWindow=60000), "10000"),
    ("AsyncClient, order", lambda: asyncio.run(from_async_client()), "10000"),
    ("REQUEST_RECVWINDOW=None", lambda: without.create_order(**ORDER), "500"),
    ("pbinance", lambda: pbinance.Binance("key", "secret", proxy_host=url).spot.accountTrade.set_order(**ORDER), "500"),
):
    windows.clear()
    call()
    changed += windows != [expected]
    print(f"{name:23} recvWindow sent: {', '.join(windows)} {'' if windows == [expected] else f'CHANGED, was {expected}'}")
sys.exit(changed > 0)
PY
