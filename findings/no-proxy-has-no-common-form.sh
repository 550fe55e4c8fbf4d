#!/usr/bin/env bash
# NO_PROXY with a network or with a port works in half of the clients, and never in the same half.
#
# Expected: behind a company proxy a bot reaches its gateway on loopback with NO_PROXY=127.0.0.0/8, or with
#           NO_PROXY=127.0.0.1:PORT for this one service, as curl's and Go's documents describe.
# Happens:  a network (CIDR) is understood by requests, pyreqwest, pycurl and axios, and not by aiohttp, httpx, urllib,
#           undici, make-fetch-happen and HTTP::Tiny. An address with its port is understood by httpx, urllib, undici and
#           axios, and not by the others. 127.* works in none of them.
#           Only the bare address works in all. The wrong form sends the request, with its API key, to the proxy.
# Seen with: requests 2.34.2, aiohttp 3.14.5 (trust_env), httpx 0.28.1, pyreqwest 0.15.1, pycurl 7.49.0 (libcurl 8.23.0),
#           CPython 3.11.7; undici 7.30.2 (EnvHttpProxyAgent), axios 1.21.1, make-fetch-happen 15.0.6 on Node 20; Perl 5.36.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" requests==2.34.2 urllib3==2.8.0 \
    aiohttp==3.14.5 httpx==0.28.1 pyreqwest==0.15.1 pycurl==7.49.0
npm install --silent --no-audit --no-fund --prefix "$work" undici@7.30.2 axios@1.21.1 make-fetch-happen@15.0.6
cd "$work"
PYTHONPATH="$work/lib" timeout 55 python3 - <<'PY'
import os, socketserver, subprocess, sys, threading

seen = []


class Listener(socketserver.StreamRequestHandler):
    """Note which door a request came to. A CONNECT is refused: the note is what counts."""

    def handle(self):
        first = self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        seen.append(self.server.name)
        status = b"403 Forbidden" if first.startswith(b"CONNECT") else b"200 OK"
        self.wfile.write(b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status)


def listen(name):
    socketserver.ThreadingTCPServer.daemon_threads = True
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Listener)
    server.name = name
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


gateway, proxy = listen("direct"), listen("proxy")
url = f"http://127.0.0.1:{gateway}/"
FORMS = ("127.0.0.1", "127.0.0.0/8", f"127.0.0.1:{gateway}", "127.*")
AIOHTTP = """import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        await session.get(url)
asyncio.run(main())"""
PYTHON = {
    "requests": ("requests.get(url)", "ddpp"), "pyreqwest":
    ("from pyreqwest.simple.sync_request import pyreqwest_get; pyreqwest_get(url).send()", "ddpp"),
    "pycurl": ("c = pycurl.Curl(); c.setopt(c.URL, url); c.perform()", "ddpp"), "aiohttp": (AIOHTTP, "dppp"),
    "httpx": ("httpx.get(url)", "dpdp"), "urllib": ("import urllib.request; urllib.request.urlopen(url)", "dpdp"),
}
NODE = {
    "undici": ('const {EnvHttpProxyAgent, fetch} = require("undici"); '
               "await fetch(url, {dispatcher: new EnvHttpProxyAgent()})", "dpdp"),
    "axios": ('await require("axios").get(url)', "dddp"),
    "make-fetch-happen": ('await require("make-fetch-happen")(url)', "dppp"),
}
IMPORTED = ("requests", "pycurl", "httpx")
commands = {
    name: ([sys.executable, "-c", f"url = {url!r}\n{f'import {name}; ' if name in IMPORTED else ''}{code}"], before)
    for name, (code, before) in PYTHON.items()
} | {
    name: (["node", "-e", f'const url = "{url}"; (async () => {{ try {{ {code} }} catch {{}} process.exit() }})()'], before)
    for name, (code, before) in NODE.items()
} | {"HTTP::Tiny": (["perl", "-MHTTP::Tiny", "-e", f'HTTP::Tiny->new->get("{url}")'], "dppp")}
clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
changed = 0
print(f"{'':18}" + "".join(f"{form.replace(str(gateway), 'PORT'):16}" for form in FORMS))
for name, (command, before) in commands.items():
    row = []
    for form in FORMS:
        seen.clear()
        environment = clean | {"http_proxy": f"http://127.0.0.1:{proxy}", "no_proxy": form, "NO_PROXY": form}
        subprocess.run(command, env=environment, capture_output=True, timeout=20)
        row.append(seen[0] if seen else "nothing")
    good = "".join(door[0] for door in row) == before
    changed += not good
    print(f"{name:18}" + "".join(f"{door:16}" for door in row) + ("" if good else "CHANGED"))
sys.exit(changed > 0)
PY
