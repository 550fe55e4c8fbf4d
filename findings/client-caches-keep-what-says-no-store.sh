#!/usr/bin/env bash
# Caches inside of HTTP clients keep prices that say no-store, for ever, and one serves an order that was never sent.
#
# Expected: a cache for HTTP keeps nothing with no-store, drops max-age=1 after a second and asks anew where nothing is said;
#           a POST goes out each time.
# Happens:  requests-cache and aiohttp-client-cache keep all of them without an end, by default. With cache_control=True
#           no-store and max-age count, but an answer without Cache-Control is kept still. axios-cache-interceptor keeps such
#           an answer for five minutes. got with a cache answers a second POST from the first if that had a
#           max-age: the order is not sent, and the caller gets 200. CacheControl and undici's interceptor are right in
#           these cases.
# Seen with: requests-cache 1.3.3, aiohttp-client-cache 0.15.0, CacheControl 0.14.4 on requests 2.34.2;
#           axios-cache-interceptor 1.12.3 on axios 1.21.1, got 14.6.6, undici 7.30.2 on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" requests-cache==1.3.3 \
    aiohttp-client-cache==0.15.0 cachecontrol==0.14.4 requests==2.34.2
npm install --silent --no-audit --no-fund --prefix "$work" axios-cache-interceptor@1.12.3 axios@1.21.1 got@14.6.6 \
    undici@7.30.2
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import asyncio, contextlib, signal, socketserver, subprocess, sys, threading, time

import aiohttp_client_cache, cachecontrol, requests, requests_cache

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
ANSWERS = {"no-store": "no-store", "max-age=1": "max-age=1", "nothing said": "", "POST": "max-age=60"}


class Gateway(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                path = line.split()[1].decode()
                asked.append(path)
                control = list(ANSWERS.values())[int(path.strip("/"))]
                header = f"Cache-Control: {control}\r\n" if control else ""
                date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
                self.wfile.write(f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json\r\n{header}"
                                 "Content-Length: 2\r\n\r\n{}".encode())


def blocking(make):
    def call(calls):
        with make() as client:
            for verb, url in calls:
                client.request(verb, url)
                client.request(verb, url)
                time.sleep(0 if "POST" in verb else 0.05)
            time.sleep(2.2)
            client.request(*calls[1])
    return call


def with_aiohttp(calls, **options):
    async def ask():
        cache = aiohttp_client_cache.CacheBackend(**options)
        async with aiohttp_client_cache.CachedSession(cache=cache) as client:
            for verb, url in (*calls, *calls):
                async with client.request(verb, url) as answer:
                    await answer.read()
            await asyncio.sleep(2.2)
            async with client.request(*calls[1]) as answer:
                await answer.read()
    asyncio.run(ask())


def in_node(code):
    def call(calls):
        script = f"""const calls = {[list(one) for one in calls]}; (async () => {{ {code}
        for (const [verb, url] of [...calls, ...calls]) await ask(verb, url);
        await new Promise(done => setTimeout(done, 2200)); await ask(...calls[1]); process.exit() }})()"""
        subprocess.run(["node", "-e", script], check=True, capture_output=True, timeout=20)
    return call


EVERYTHING = {"no-store", "max-age=1", "nothing said"}
CASES = {
    "requests-cache": (EVERYTHING, blocking(lambda: requests_cache.CachedSession(backend="memory"))),
    "  cache_control=True": ({"nothing said"}, blocking(
        lambda: requests_cache.CachedSession(backend="memory", cache_control=True))),
    "aiohttp-client-cache": (EVERYTHING, with_aiohttp),
    "  its cache_control=True": ({"nothing said"}, lambda calls: with_aiohttp(calls, cache_control=True)),
    "CacheControl": (set(), blocking(lambda: cachecontrol.CacheControl(requests.Session()))),
    "axios-cache-interceptor": ({"nothing said"}, in_node("""
        const {setupCache} = require("axios-cache-interceptor"), client = setupCache(require("axios").create());
        const ask = (method, url) => client.request({method, url});""")),
    "got": ({"POST"}, in_node("""const {got} = await import("got"), cache = new Map();
        const ask = (method, url) => got(url, {method, cache});""")),
    "undici": (set(), in_node("""const {request, Agent, interceptors} = require("undici");
        const dispatcher = new Agent().compose(interceptors.cache());
        const ask = async (method, url) => (await request(url, {method, dispatcher})).body.text();""")),
}
asked, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
CALLS = [("POST" if name == "POST" else "GET", f"{url}/{number}") for number, name in enumerate(ANSWERS)]
for name, (expected, call) in CASES.items():
    asked.clear()
    call(CALLS)
    # Each was asked twice, and max-age=1 a third time after its end: once at the gateway means that it was kept.
    kept = {answer for number, answer in enumerate(ANSWERS) if asked.count(f"/{number}") == 1}
    changed += kept != expected
    print(f"{name:25} keeps {', '.join(sorted(kept)) or 'none of these'} {'' if kept == expected else 'CHANGED'}")
sys.exit(changed > 0)
PY
