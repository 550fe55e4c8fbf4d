#!/usr/bin/env bash
# get_historical_klines(limit=500) asks for 1000 candles to return 500, and ccxt's "paginate" asks for 10,000 to return 5.
#
# Expected: a limit of 500 is one request of 500 candles, a limit of 1500 is two requests, and the generator and the list
#           of the same call hold the same candles. Pages are asked for while candles are missing.
# Happens:  python-binance stops only once it holds more than the limit: it gets a second page each time and throws it away, for
#           limit=1 too. With limit=1500 it takes the 1000 that Binance gives for the end of all data and returns those.
#           The generator takes the same argument for the size of a page and gives everything to this day. ccxt with
#           paginate sends its ten requests of 1000 at once and then cuts what came to the limit.
#           This weight is counted for all who share the address, and a gateway cannot tell it from what is needed.
# Seen with: python-binance 1.0.37, ccxt 4.5.64 (PyPI) on CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" python-binance==1.0.37 ccxt==4.5.64
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - <<'PY'
import contextlib, json, signal, socketserver, sys, threading, time
from urllib.parse import parse_qs
import ccxt
from binance.client import Client

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
MINUTE, now = 60_000, int(time.time()) // 60 * 60_000
since = now - 3000 * MINUTE
MARKET = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "permissions": ["SPOT"],
          "isSpotTradingAllowed": True, "orderTypes": [], "filters": []}


class Binance(socketserver.StreamRequestHandler):
    """Has the candles of the last 5000 minutes up to the start of the script, and gives 1000 of them at most."""

    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                path, _, query = line.split()[1].decode().partition("?")
                answer = {"symbols": [MARKET] if "/api/" in path else []}
                if path.endswith("klines"):
                    values = {name: int(one[0]) for name, one in parse_qs(query).items() if one[0].isdigit()}
                    asked.append((values["limit"], values.get("startTime")))
                    limit, last = min(values["limit"], 1000), min(values.get("endTime", now), now)
                    first = max(values.get("startTime", last - (limit - 1) * MINUTE), now - 5000 * MINUTE)
                    times = range(-(-first // MINUTE) * MINUTE, last + 1, MINUTE)[:limit]
                    answer = [[at, "1", "1", "1", "1", "1", at + 59_999, "1", 1, "1", "1", "0"] for at in times]
                body = json.dumps(answer).encode()
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                                 + body)


asked, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
client = Client("k", "s", ping=False)
client.API_URL = url + "/api"
exchange = ccxt.binance()
exchange.urls["api"] = {name: url + one[one.index("/", 8):] for name, one in exchange.urls["api"].items()
                        if one.count("/") > 2}
exchange.load_markets()


def by_list(limit):
    return client.get_historical_klines("BTCUSDT", "1m", since, limit=limit)


def by_generator(limit):
    return list(client.get_historical_klines_generator("BTCUSDT", "1m", since, limit=limit))


def by_ccxt(limit):
    return exchange.fetch_ohlcv("BTC/USDT", "1m", limit=limit)


def by_pages(limit):
    return exchange.fetch_ohlcv("BTC/USDT", "1m", limit=limit, params={"paginate": True})


CASES = [("python-binance, list", by_list, 1, 1, [1, 1]), ("python-binance, list", by_list, 500, 500, [500, 500]),
         ("python-binance, list", by_list, 1500, 1000, [1500]),
         ("python-binance, generator", by_generator, 500, 3001, [500] * 7),
         ("ccxt", by_ccxt, 5, 5, [5]), ("ccxt, paginate", by_pages, 5, 5, [1000] * 10)]
for name, call, limit, count, pages in CASES:
    asked.clear()
    candles = call(limit)
    # The request for the first candle of all time (startTime=0) is another matter.
    sizes = [size for size, start in asked if start != 0]
    good = (len(candles), sizes) == (count, pages)
    changed += not good
    print(f"{name:26} limit={limit:<5} {len(candles):5} candles, {len(sizes)} requests of {sizes[0] if sizes else 0}"
          f" {'' if good else 'CHANGED'}")
sys.exit(changed > 0)
PY
