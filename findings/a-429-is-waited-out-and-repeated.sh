#!/usr/bin/env bash
# urllib3 repeats a GET that was answered 429 or 503 three times by default, and so does requests with max_retries.
#
# Expected: urllib3 retries broken connections. A status is retried where status_forcelist names it, and it is empty by
#           default. "max_retries" of requests' HTTPAdapter is for connections only, its documentation says.
# Happens:  413, 429 and 503 are retried without being named, as soon as there is a Retry-After: urllib3 sleeps that long in
#           the caller's thread and asks again, three times, a DELETE too. Then the caller gets the 429.
#           With Binance's Retry-After of a minute one call takes three minutes and costs four times the weight.
#           418 is not retried, nor is a POST. respect_retry_after_header=False switches it off.
# Seen with: urllib3 2.8.0, requests 2.34.2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" urllib3==2.8.0 requests==2.34.2
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import contextlib, signal, socketserver, sys, threading, time

import requests, urllib3

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Gateway(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                asked.append(line)
                status, _, wait = line.split()[1].decode().strip("/").partition("/")
                header = f"Retry-After: {wait}\r\n" if wait else ""
                self.wfile.write(f"HTTP/1.1 {status} So\r\n{header}Content-Length: 2\r\n\r\n{{}}".encode())


def by_urllib3(verb, path, **options):
    return urllib3.PoolManager(**options).request(verb, url + path).status


def by_requests(verb, path, retries):
    with requests.Session() as client:
        client.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
        return client.request(verb, url + path).status_code


CASES = [
    ("urllib3", 4, lambda: by_urllib3("GET", "/429/1")), ("urllib3", 4, lambda: by_urllib3("GET", "/503/1")),
    ("urllib3", 4, lambda: by_urllib3("DELETE", "/429/1")), ("urllib3", 1, lambda: by_urllib3("POST", "/429/1")),
    ("urllib3", 1, lambda: by_urllib3("GET", "/429")), ("urllib3", 1, lambda: by_urllib3("GET", "/418/1")),
    ("urllib3, told not to", 1, lambda: by_urllib3(
        "GET", "/429/1", retries=urllib3.Retry(3, respect_retry_after_header=False))),
    ("requests", 1, lambda: by_requests("GET", "/429/1", 0)),
    ("requests, max_retries=3", 4, lambda: by_requests("GET", "/429/1", 3)),
]
asked, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
for name, expected, call in CASES:
    asked.clear()
    began = time.monotonic()
    status = call()
    good = len(asked) == expected and status >= 400
    changed += not good
    verb, path, _ = asked[0].decode().split()
    print(f"{name:24} {verb:6} {path[1:4]}, {'with' if path[4:] else 'without'} Retry-After: asked {len(asked)} time(s) in"
          f" {time.monotonic() - began:.1f} s, caller gets {status} {'' if good else 'CHANGED'}")
sys.exit(changed > 0)
PY
