#!/usr/bin/env bash
# A gzip body of two members is read whole, in half, or not at all.
#
# Expected: RFC 1952 says that gzip members may follow each other, so each client returns both parts.
#           A gateway that compresses parts once and joins them would rely on it.
# Happens:  requests and aiohttp return both. httpx and aiosonic return the first part and raise
#           nothing. libcurl (pycurl) refuses the answer with error 23. pyreqwest returns the first part of
#           a body with Content-Length, and raises when the same bytes come in chunks.
# Seen with: requests 2.34.2 (urllib3 2.8.0), aiohttp 3.14.5, httpx 0.28.1, aiosonic 1.3.3,
#           pycurl 7.49.0 (libcurl 8.23.0), pyreqwest 0.15.1; CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    requests==2.34.2 urllib3==2.8.0 aiohttp==3.14.5 httpx==0.28.1 aiosonic==1.3.3 pycurl==7.49.0 pyreqwest==0.15.1
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import asyncio, gzip, io, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp, aiosonic, httpx, pycurl, requests
from pyreqwest.simple.sync_request import pyreqwest_get

FIRST, SECOND = '{"symbols":["BTCUSDT",', '"ETHUSDT"]}'
PARTS = [gzip.compress(part.encode()) for part in (FIRST, SECOND)]


class Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Encoding", "gzip")
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in PARTS) + b"0\r\n\r\n"
        else:
            body = b"".join(PARTS)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


async def with_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


async def with_aiosonic(url):
    async with aiosonic.HTTPClient() as client:
        return await (await client.get(url, headers={"Accept-Encoding": "gzip"})).text()


def with_pycurl(url):
    body, curl = io.BytesIO(), pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.ENCODING, "gzip")
    curl.setopt(pycurl.WRITEDATA, body)
    curl.perform()
    return body.getvalue().decode()


CLIENTS = {
    "requests": (lambda url: requests.get(url).text, "both", "both"),
    "aiohttp": (lambda url: asyncio.run(with_aiohttp(url)), "both", "both"),
    "httpx": (lambda url: httpx.get(url).text, "first", "first"),
    "aiosonic": (lambda url: asyncio.run(with_aiosonic(url)), "first", "first"),
    "pycurl": (with_pycurl, "error", "error"),
    "pyreqwest": (lambda url: pyreqwest_get(url).send().text(), "first", "error"),
}


def outcome(call, url):
    try:
        text = call(url)
    except Exception as error:
        print(f"    {type(error).__name__}: {str(error)[:90]}")
        return "error"
    return {FIRST + SECOND: "both", FIRST: "first"}.get(text, repr(text))


server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=server.serve_forever, daemon=True).start()
changed = 0
for name, (call, with_length, in_chunks) in CLIENTS.items():
    for path, expected in (("length", with_length), ("chunked", in_chunks)):
        seen = outcome(call, f"http://127.0.0.1:{server.server_port}/{path}")
        changed += seen != expected
        print(f"{name:10} {path:8} {seen:6} {'' if seen == expected else 'CHANGED, was ' + expected}")
server.shutdown()
sys.exit(changed > 0)
PY
