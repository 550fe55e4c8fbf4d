#!/usr/bin/env bash
# Four of eleven retry helpers repeat the POST of an order that was answered with 5xx.
#
# Expected: a retry helper leaves POST out unless it is told to, since Binance's 5xx means that the execution status is
#           unknown. All are used with their defaults, but for the number of attempts and the wait.
# Happens:  aiohttp-retry and httpx-retry repeat POST on each 5xx. retry-requests does so on 500 and 504, not on 503.
#           fetch-retry repeats it with the statuses that one lists in retryOn. httpx-retries, axios-retry,
#           retry-axios, got, undici's RetryAgent, ofetch and urllib3 keep their hands off it. A name one letter away
#           decides. A DELETE is repeated by most.
# Seen with: aiohttp-retry 2.9.1, httpx-retry 2025.4.23, httpx-retries 0.6.0, retry-requests 2.0.0, urllib3 2.8.0; fetch-retry
#           6.0.0, axios-retry 4.5.0, retry-axios 4.0.3, got 14.6.6, undici 7.30.2, ofetch 1.5.1 on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" aiohttp-retry==2.9.1 \
    httpx-retry==2025.4.23 httpx-retries==0.6.0 retry-requests==2.0.0 urllib3==2.8.0 requests==2.34.2 httpx==0.28.1
npm install --silent --no-audit --no-fund --prefix "$work" fetch-retry@6.0.0 axios-retry@4.5.0 \
    retry-axios@4.0.3 axios@1.21.1 got@14.6.6 undici@7.30.2 ofetch@1.5.1
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import asyncio, contextlib, signal, socketserver, subprocess, sys, threading

import aiohttp_retry, httpx, httpx_retries, httpx_retry, requests, retry_requests, urllib3

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                path = line.split()[1].decode()
                asked.append(path)
                body = b'{"code": -1007, "msg": "Execution status unknown."}'
                self.wfile.write(f"HTTP/1.1 {path.strip('/')} So\r\nContent-Type: application/json\r\n"
                                 f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


def with_aiohttp_retry(verb, url):
    async def ask():
        options = aiohttp_retry.ExponentialRetry(attempts=3, start_timeout=0.01)
        async with aiohttp_retry.RetryClient(retry_options=options) as client, client.request(verb, url) as answer:
            await answer.read()
    asyncio.run(ask())


def with_httpx_retry(verb, url):
    policy = httpx_retry.RetryPolicy(max_retries=2, initial_delay=0.01)
    with httpx.Client(transport=httpx_retry.RetryTransport(policy=policy)) as client:
        client.request(verb, url)


def with_httpx_retries(verb, url):
    retry = httpx_retries.Retry(total=2, backoff_factor=0.01)
    with httpx.Client(transport=httpx_retries.RetryTransport(retry=retry)) as client:
        client.request(verb, url)


def with_retry_requests(verb, url):
    with retry_requests.retry(requests.Session(), retries=2, backoff_factor=0.01) as client:
        client.request(verb, url)


def with_urllib3(verb, url):
    retry = urllib3.Retry(2, backoff_factor=0.01, status_forcelist=[500, 503, 504], raise_on_status=False)
    urllib3.PoolManager(retries=retry).request(verb, url)


def in_node(code):
    def call(verb, url):
        script = f"""const verb = "{verb}", url = "{url}"; (async () => {{
        try {{ {code} }} catch {{}} process.exit() }})()"""
        subprocess.run(["node", "-e", script], check=True, capture_output=True, timeout=20)
    return call


ALL, NONE = {500, 503, 504}, set()
CASES = {
    "aiohttp-retry": (ALL, with_aiohttp_retry), "httpx-retry": (ALL, with_httpx_retry),
    "retry-requests": ({500, 504}, with_retry_requests), "httpx-retries": (NONE, with_httpx_retries),
    "urllib3": (NONE, with_urllib3),
    "fetch-retry": (ALL, in_node("""const again = require("fetch-retry")(fetch);
        await again(url, {method: verb, retries: 2, retryDelay: 10, retryOn: [500, 503, 504]})""")),
    "axios-retry": (NONE, in_node("""const axios = require("axios").create(), retry = require("axios-retry");
        (retry.default || retry)(axios, {retries: 2, retryDelay: () => 10}); await axios.request({url, method: verb})""")),
    "retry-axios": (NONE, in_node("""const axios = require("axios").create(), rax = require("retry-axios");
        axios.defaults.raxConfig = {instance: axios, retry: 2, retryDelay: 10}; rax.attach(axios);
        await axios.request({url, method: verb})""")),
    "got": (NONE, in_node("""const {got} = await import("got");
        await got(url, {method: verb, retry: {limit: 2, backoffLimit: 20}})""")),
    "undici RetryAgent": (NONE, in_node("""const {request, Agent, RetryAgent} = require("undici");
        const dispatcher = new RetryAgent(new Agent(), {maxRetries: 2, minTimeout: 10});
        await (await request(url, {method: verb, dispatcher})).body.text()""")),
    "ofetch": (NONE, in_node('await require("ofetch").ofetch(url, {method: verb, retryDelay: 10})')),
}
asked, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
for name, (expected, call) in CASES.items():
    repeated = {"POST": set(), "DELETE": set()}
    for verb in repeated:
        for status in sorted(ALL):
            asked.clear()
            with contextlib.suppress(Exception):
                call(verb, f"http://127.0.0.1:{server.server_address[1]}/{status}")
            if len(asked) > 1:
                repeated[verb].add(status)
            assert asked, name
    changed += repeated["POST"] != expected
    words = "; ".join(f"{verb} on {', '.join(map(str, sorted(on))) or 'none'}" for verb, on in repeated.items())
    print(f"{name:18} repeats {words} {'' if repeated['POST'] == expected else 'CHANGED'}")
sys.exit(changed > 0)
PY
