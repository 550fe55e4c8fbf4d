#!/usr/bin/env bash
# A gateway that says "Keep-Alive: timeout=2" gets a new connection for each request of undici and of Node's fetch.
#
# Expected: who asks again within 0.2 s uses the connection again, since the gateway keeps it for two seconds.
# Happens:  undici takes two seconds off the hint, as a reserve, and closes the connection at once where nothing is left. For
#           Node's http.Agent (axios, got) the same happens with timeout=1. Each order then pays for a new connection and a
#           TLS handshake, and a short keep-alive chosen to save sockets makes more of them. From 3 on all is well. requests,
#           httpx and aiohttp do not read the hint.
# Seen with: undici 7.30.2, fetch of Node 20, axios 1.21.1, got 14.6.6, requests 2.34.2, httpx 0.28.1, aiohttp 3.14.5.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" requests==2.34.2 httpx==0.28.1 \
    aiohttp==3.14.5
npm install --silent --no-audit --no-fund --prefix "$work" undici@7.30.2 axios@1.21.1 got@14.6.6
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import asyncio, contextlib, signal, socketserver, subprocess, sys, threading, time

import aiohttp, httpx, requests

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
TIMES = 3


class Gateway(socketserver.StreamRequestHandler):
    def handle(self):
        connections.append(self.client_address)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                hint = line.split()[1].decode().strip("/")
                self.wfile.write(f"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout={hint}\r\n"
                                 "Content-Length: 2\r\n\r\n{}".encode())


def in_node(code):
    def call(url):
        script = f"""const wait = () => new Promise(done => setTimeout(done, 200)), url = "{url}";
        (async () => {{ {code}
        for (let count = 0; count < {TIMES}; count++) {{ await ask(); await wait() }} process.exit() }})()"""
        subprocess.run(["node", "-e", script], check=True, timeout=20)
    return call


def with_requests(url):
    with requests.Session() as client:
        for _ in range(TIMES):
            client.get(url)
            time.sleep(0.2)


def with_httpx(url):
    with httpx.Client() as client:
        for _ in range(TIMES):
            client.get(url)
            time.sleep(0.2)


def with_aiohttp(url):
    async def ask():
        async with aiohttp.ClientSession() as client:
            for _ in range(TIMES):
                async with client.get(url) as answer:
                    await answer.read()
                await asyncio.sleep(0.2)
    asyncio.run(ask())


AGENT = 'const agent = new (require("http").Agent)({keepAlive: true});'
CASES = {  # connections for three requests, with a hint of 1, 2 and 3 seconds
    "undici": ((3, 3, 1), in_node(
        'const {request} = require("undici"); const ask = async () => (await request(url)).body.text();')),
    "fetch of Node": ((3, 3, 1), in_node("const ask = async () => (await fetch(url)).text();")),
    "axios": ((3, 1, 1), in_node(AGENT + 'const ask = () => require("axios").get(url, {httpAgent: agent});')),
    "got": ((3, 1, 1), in_node(
        AGENT + 'const {got} = await import("got"); const ask = () => got(url, {agent: {http: agent}});')),
    "requests": ((1, 1, 1), with_requests), "httpx": ((1, 1, 1), with_httpx), "aiohttp": ((1, 1, 1), with_aiohttp),
}
connections, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
for name, (expected, call) in CASES.items():
    seen = []
    for hint in (1, 2, 3):
        connections.clear()
        call(f"http://127.0.0.1:{server.server_address[1]}/{hint}")
        seen.append(len(connections))
    changed += tuple(seen) != expected
    words = ", ".join(f"timeout={hint}: {count}" for hint, count in zip((1, 2, 3), seen))
    print(f"{name:14} connections for {TIMES} requests: {words} {'' if tuple(seen) == expected else 'CHANGED'}")
sys.exit(changed > 0)
PY
