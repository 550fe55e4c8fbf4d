#!/usr/bin/env bash
# "Jan 2024" as the start of a download is the day of that month which is today's, and "5.2.2024" is the second of May.
#
# Expected: a month or a year without a day begins with its first one. A text that is read as day and month is read so for
#           each day of the month. The same text gives the same candles, on each day and each host.
# Happens:  python-binance, unicorn-binance-rest-api and binance-asyncio hand the text to dateparser, which fills in what is
#           missing from today: "Jan 2024" and "2024-01" asked for on the 17th begin on January 17, "2024" on the 17th of the
#           month that it is. "15.2.2024" is in February and "5.2.2024" is May 2. The first two write "UTC" into what has no
#           zone; binance-asyncio takes the zone of the host, so two bots get other candles for one text. No
#           error, and a cache of answers by their query holds another one each day.
#           A gateway that shares equal requests has nothing to share.
# Seen with: python-binance 1.0.37, unicorn-binance-rest-api 2.12.0, binance-asyncio 0.2.1 (dateparser 1.5.0) on CPython 3.11;
#           today is set with freezegun 1.5.5.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" python-binance==1.0.37 \
    unicorn-binance-rest-api==2.12.0 binance-asyncio==0.2.1 dateparser==1.5.0 freezegun==1.5.5
cat > "$work/ask.py" <<'PY'
import asyncio, sys
from contextlib import nullcontext
from freezegun import freeze_time

client, url, today, text = sys.argv[1:]


def by_python_binance():
    from binance.client import Client
    Client.API_URL = url + "/api"
    Client("k", "s", ping=False).get_historical_klines("BTCUSDT", "1h", text)


def by_unicorn():
    # The manager asks Binance for the time when it is made, so this takes the function that it calls.
    from unicorn_binance_rest_api.helpers import date_to_milliseconds
    from urllib.request import urlopen
    urlopen(f"{url}/api/v3/klines?startTime={date_to_milliseconds(text)}").read()


def by_binance_asyncio():
    from binance_asyncio.endpoints import MarketDataEndpoints
    asyncio.run(MarketDataEndpoints("k", uri=url + "/api/v3").get_klines(
        "BTCUSDT", "1h", start_time=text, end_time="now"))


# freezegun takes each host to be in UTC, so the case with another zone has none of it.
with freeze_time(today + " 15:00", real_asyncio=True) if today else nullcontext():
    {"python-binance": by_python_binance, "unicorn": by_unicorn, "binance-asyncio": by_binance_asyncio}[client]()
PY
cd "$work"
timeout 100 python3 - <<'PY'
import contextlib, os, re, signal, socketserver, subprocess, sys, threading
from datetime import datetime, timezone

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                if found := re.search(r"startTime=(\d+)", line.decode()):
                    starts.append(datetime.fromtimestamp(int(found[1]) / 1000, timezone.utc))
                body = b'[[1500000000000, "1", "1", "1", "1", "1", 1500003599999, "1", 1, "1", "1", "0"]]'
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                                 + body)


THREE = ("python-binance", "unicorn", "binance-asyncio")
CASES = [(text, today, "UTC", dict.fromkeys(THREE, expected)) for text, today, expected in (
    ("1 Jan 2024", "2026-05-17", "2024-01-01 00:00"),
    ("Jan 2024", "2026-05-17", "2024-01-17 00:00"),
    ("Jan 2024", "2026-05-31", "2024-01-31 00:00"),
    ("2024-01", "2026-05-17", "2024-01-17 00:00"),
    ("2024", "2026-05-17", "2024-05-17 00:00"),
    ("5.2.2024", "2026-05-17", "2024-05-02 00:00"),
    ("15.2.2024", "2026-05-17", "2024-02-15 00:00"))]
CASES.append(("1 Jan 2024", "", "America/New_York", {
    "python-binance": "2024-01-01 00:00", "unicorn": "2024-01-01 00:00", "binance-asyncio": "2024-01-01 05:00"}))
starts, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"


def ask(client, text, today, zone):
    starts.clear()
    subprocess.run([sys.executable, "-W", "ignore", "ask.py", client, url, today, text], capture_output=True, timeout=20,
                   env=dict(os.environ, PYTHONPATH="lib", TZ=zone))
    return f"{max(starts):%Y-%m-%d %H:%M}" if starts else "nothing"


for text, today, zone, expected in CASES:
    print(f"{text!r}, asked on {today or 'any day'} in {zone}:")
    for client, start in expected.items():
        seen = ask(client, text, today, zone)
        changed += seen != start
        print(f"    {client:15} from {seen} UTC {'' if seen == start else 'CHANGED'}")
sys.exit(changed > 0)
PY
