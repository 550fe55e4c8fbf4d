#!/usr/bin/env bash
# python-binance with microseconds: signed calls work for the first seconds and never again.
#
# Expected: AsyncClient.create(time_unit="MICROSECOND") asks for times in microseconds; the client's own clock,
#           which it sets by the server's time at the start, goes on as before.
# Happens:  create() takes the server's time, now in microseconds, less the local time in milliseconds as the offset,
#           and adds that to the local milliseconds at each signed call. The sum is right in the first moment (Binance takes
#           microseconds too), but then goes up by 1000 units a second where a second has 1000000: the clock
#           nearly stands still. Every signed call is refused with -1021 once recvWindow is over (10 s by
#           default, 1 s here), for as long as the process lives. A test of one call passes. Client, which does
#           not set its clock, and "MILLISECOND" are all right; else set timestamp_offset = 0 after create().
# Seen with: python-binance 1.0.37; CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" python-binance==1.0.37 \
    aiohttp==3.14.5 requests==2.34.2
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import asyncio, http.server, json, sys, threading, time, urllib.parse

from binance import AsyncClient
from binance.exceptions import BinanceAPIException


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        now = time.time_ns() // 1000
        path, _, query = self.path.partition("?")
        status, answer = 200, {}
        if path.endswith("/time"):
            answer = {"serverTime": now if self.headers.get("X-MBX-TIME-UNIT") == "MICROSECOND" else now // 1000}
        if path.endswith("/account"):
            asked = dict(urllib.parse.parse_qsl(query))
            sent, window = int(asked["timestamp"]), int(asked["recvWindow"]) * 1000
            sent = sent if sent > 10**15 else sent * 1000
            if not now - window <= sent < now + 1_000_000:
                status, answer = 400, {"code": -1021, "msg": f"{(now - sent) / 1e6:.1f} s old"}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


async def account(client):
    try:
        await client.get_account()
    except BinanceAPIException as error:
        return error.code, error.message
    return "good", ""


async def check(url, unit):
    """Say how a signed call ends at once, and how after two and four seconds."""
    settings = {"API_URL": f"{url}/api", "REQUEST_RECVWINDOW": 1000}
    client = await type("Client", (AsyncClient,), settings).create("key", "secret", time_unit=unit)
    try:
        seen = []
        for wait in (0, 2, 2):
            await asyncio.sleep(wait)
            seen.append(await account(client))
    finally:
        await client.close_connection()
    return seen


origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
changed = 0
for unit, expected in ((None, ["good"] * 3), ("MILLISECOND", ["good"] * 3), ("MICROSECOND", ["good", -1021, -1021])):
    seen = asyncio.run(check(f"http://127.0.0.1:{origin.server_address[1]}", unit))
    good = [code for code, _ in seen] == expected
    changed += not good
    print(f"time_unit={unit}: after 0, 2, 4 s", *(f"{code} {text}".strip() + ";" for code, text in seen),
          "" if good else f"CHANGED, was {expected}")
sys.exit(changed > 0)
PY
