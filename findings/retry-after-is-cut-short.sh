#!/usr/bin/env bash
# Clients that know Retry-After still ask again before it is over.
#
# Expected: a retry helper waits for Retry-After, or gives up when the wait is too long for it.
# Happens:  undici's RetryAgent, ky and httpx-retries cut the wait to their own longest pause and then send:
#           with their defaults undici asks again after 30 s and httpx-retries after 120 s of a ban that may
#           last three days (ky has no limit until one is set). make-fetch-happen ignores the header and
#           uses its own back-off. superagent's retry() sends again at once, within milliseconds. got gives
#           up, urllib3 waits the full time. Asking during a ban is what makes a ban longer.
#           The origin here says 3 s; the clients' own limit is set to 0.5 s. Retries: two.
# Seen with: undici 7.30.2, ky 1.14.3, got 14.6.6, make-fetch-happen 15.0.6, superagent 10.4.2 on Node 20;
#           httpx-retries 0.6.0, urllib3 2.8.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    httpx==0.28.1 httpx-retries==0.6.0 urllib3==2.8.0
(cd "$work" && npm install --silent --no-audit --no-fund --prefix "$work" undici@7.30.2 ky@1.14.3 got@14.6.6 \
    make-fetch-happen@15.0.6 superagent@10.4.2)
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

arrivals = []


class Refusing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        arrivals.append(time.monotonic())
        self.send_response(429)
        self.send_header("Retry-After", "3")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


NODE = {
    "undici RetryAgent": 'const {RetryAgent, Agent, request} = require("undici"); await request(url, {dispatcher: '
    "new RetryAgent(new Agent(), {maxTimeout: 500, minTimeout: 100, maxRetries: 2})})",
    "ky": 'await (await import("ky")).default.get(url, {retry: {limit: 2, maxRetryAfter: 500}})',
    "got": 'await (await import("got")).default(url, {retry: {limit: 2, maxRetryAfter: 500}})',
    "make-fetch-happen": 'await require("make-fetch-happen")(url, '
    "{retry: {retries: 2, minTimeout: 100, maxTimeout: 500}})",
    "superagent": 'await require("superagent").get(url).retry(2)',
}
PYTHON = {
    "httpx-retries": "import httpx, httpx_retries as r; httpx.Client(transport=r.RetryTransport("
    "retry=r.Retry(total=2, max_backoff_wait=0.5))).get(url)",
    "urllib3": "import urllib3; urllib3.PoolManager().request('GET', url, "
    "retries=urllib3.Retry(2, backoff_max=0.5, raise_on_status=False))",
}
EXPECTED = {  # number of requests, and the bounds in seconds for each gap between them
    "undici RetryAgent": (3, 0.3, 1.5), "ky": (3, 0.3, 1.5), "got": (1, 0, 0), "make-fetch-happen": (3, 0.05, 1.5),
    "superagent": (3, 0, 0.3), "httpx-retries": (3, 0.3, 1.5), "urllib3": (3, 2.9, 4),
}
server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
threading.Thread(target=server.serve_forever, daemon=True).start()
url, changed = f"http://127.0.0.1:{server.server_port}/", 0
commands = {
    name: ["node", "-e", f'const url = "{url}"; (async () => {{ try {{ {code} }} catch {{}} process.exit() }})()']
    for name, code in NODE.items()
} | {name: [sys.executable, "-c", f"url = {url!r}; {code}"] for name, code in PYTHON.items()}
for name, command in commands.items():
    arrivals.clear()
    subprocess.run(command, capture_output=True, timeout=20)
    gaps = [later - sooner for sooner, later in zip(arrivals, arrivals[1:])]
    number, least, most = EXPECTED[name]
    good = len(arrivals) == number and all(least <= gap <= most for gap in gaps)
    changed += not good
    print(f"{name:18} {len(arrivals)} requests, gaps {[f'{gap:.2f} s' for gap in gaps]} {'' if good else 'CHANGED'}")
server.shutdown()
sys.exit(changed > 0)
PY
