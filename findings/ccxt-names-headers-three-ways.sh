#!/usr/bin/env bash
# ccxt's last_response_headers has another spelling, or another type, in each of its forms.
#
# Expected: the used weight is at the same name in ccxt's synchronous, asynchronous and JavaScript forms.
# Happens:  the synchronous form of Python gives a dict that ignores case. The asynchronous one gives a plain dict with
#           the names as they came: "x-mbx-used-weight-1m" from Binance, "X-Mbx-Used-Weight-1m" behind a proxy that
#           spells names its own way. JavaScript spells each name anew, always "X-Mbx-Used-Weight-1m". The usual
#           "X-MBX-USED-WEIGHT-1M" therefore works in the first form only; elsewhere a bot that reads it sees no used
#           weight at all, without an error. A gateway keeps most bots alive by sending the names as Binance does.
# Seen with: ccxt 4.5.64 of PyPI on CPython 3.11, ccxt 4.5.84 of npm on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" ccxt==4.5.64
npm install --silent --no-audit --no-fund --prefix "$work" ccxt@4.5.84
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import asyncio, json, socketserver, subprocess, sys, threading

import ccxt, ccxt.async_support

SPELLINGS = ("x-mbx-used-weight-1m", "X-MBX-USED-WEIGHT-1M", "X-Mbx-Used-Weight-1m")


class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        name = ""
        while line := self.rfile.readline():
            if line.startswith(b"GET"):
                name = SPELLINGS[int(line.split()[1].strip(b"/"))]
            if line == b"\r\n":
                self.wfile.write(f"HTTP/1.1 200 OK\r\n{name}: 7\r\nContent-Length: 2\r\n\r\n{{}}".encode())


def found(headers):
    return "".join("y" if name in headers else "n" for name in SPELLINGS)


def synchronous(url):
    exchange = ccxt.binance()
    exchange.fetch(url)
    return found(exchange.last_response_headers)


async def asynchronous(url):
    exchange = ccxt.async_support.binance()
    try:
        await exchange.fetch(url)
        return found(exchange.last_response_headers)
    finally:
        await exchange.close()


def javascript(url):
    code = f"""(async () => {{ const exchange = new (require("ccxt").binance)(); await exchange.fetch("{url}");
    console.log(JSON.stringify(exchange.last_response_headers)); process.exit() }})()"""
    return found(json.loads(subprocess.run(["node", "-e", code], capture_output=True, check=True).stdout))


socketserver.ThreadingTCPServer.daemon_threads = True
origin = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
changed = 0
print("found under", ", ".join(SPELLINGS), "(y or n each)")
for number, sent in enumerate(SPELLINGS):
    url = f"http://127.0.0.1:{origin.server_address[1]}/{number}"
    seen = synchronous(url), asyncio.run(asynchronous(url)), javascript(url)
    expected = ("yyy", "".join("y" if name == sent else "n" for name in SPELLINGS), "nny")
    changed += seen != expected
    print(f"sent as {sent}: sync {seen[0]}, async {seen[1]}, JavaScript {seen[2]} {'' if seen == expected else 'CHANGED'}")
sys.exit(changed > 0)
PY
