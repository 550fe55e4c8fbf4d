#!/usr/bin/env bash
# Node's undici asks a proxy for a tunnel to a plain http address, which Debian's proxies refuse.
#
# Expected: for an http:// address a client sends "GET http://host:port/path" to its proxy; CONNECT is for https.
#           requests, aiohttp, httpx, axios and curl do so.
# Happens:  undici's EnvHttpProxyAgent and ProxyAgent send CONNECT for http too. tinyproxy with "ConnectPort 443", as
#           usual, answers 403, and fetch fails ("fetch failed"), though the address is allowed and works with all
#           others. Squid's shipped rule "deny CONNECT !SSL_ports" is of the same kind. A gateway on plain http behind
#           such a proxy cannot be reached by undici, unless ProxyAgent is given proxyTunnel: false.
# Seen with: undici 7.30.2, axios 1.21.1 on Node 20; requests 2.34.2, aiohttp 3.14.5, httpx 0.28.1; tinyproxy 1.11.1
#           (Debian 12).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'tinyproxy-bin=1.11.1-*')
dpkg -x "$work"/tinyproxy-bin*.deb "$work/unpacked"
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    requests==2.34.2 aiohttp==3.14.5 httpx==0.28.1
npm install --silent --no-audit --no-fund --prefix "$work" undici@7.30.2 axios@1.21.1
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import os, signal, socket, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, changed = Path(sys.argv[1]), 0


class Gateway(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


gateway = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=gateway.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{gateway.server_port}/"
with socket.create_server(("127.0.0.1", 0)) as chosen:
    port = chosen.getsockname()[1]
(work / "tinyproxy.conf").write_text(
    f'Port {port}\nListen 127.0.0.1\nTimeout 20\nMaxClients 20\nAllow 127.0.0.1\nConnectPort 443\n'
    f'LogLevel Connect\nLogFile "{work}/tinyproxy.log"\n')
proxy = subprocess.Popen([work / "unpacked/usr/bin/tinyproxy", "-d", "-c", work / "tinyproxy.conf"], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
AIOHTTP = """import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(url) as response:
        print(response.status)
asyncio.run(main())"""
PYTHON = {
    "requests": "import requests; print(requests.get(url).status_code)", "aiohttp": AIOHTTP,
    "httpx": "import httpx; print(httpx.get(url).status_code)",
}
NODE = {
    "axios": 'console.log((await require("axios").get(url)).status)',
    "undici from the environment": 'const {EnvHttpProxyAgent, fetch} = require("undici"); '
    "console.log((await fetch(url, {dispatcher: new EnvHttpProxyAgent()})).status)",
    "undici proxyTunnel: false": 'const {ProxyAgent, fetch} = require("undici"); console.log((await fetch(url, {dispatcher: '
    "new ProxyAgent({uri: process.env.http_proxy, proxyTunnel: false})})).status)",
}
commands = {name: [sys.executable, "-c", f"url = {url!r}\n{code}"] for name, code in PYTHON.items()} | {
    name: ["node", "-e", f'const url = "{url}"; (async () => {{ try {{ {code} }} catch (error) {{ '
           "console.log(error.message) } process.exit() })()"] for name, code in NODE.items()}
clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
environment = clean | {"http_proxy": f"http://127.0.0.1:{port}", "HTTP_PROXY": f"http://127.0.0.1:{port}"}
try:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    log = work / "tinyproxy.log"
    for name, command in commands.items():
        before = log.read_text()
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20).stdout.strip()
        lines = [line for line in log.read_text()[len(before):].splitlines() if "Request (" in line]
        method = lines[0].split("): ")[1].split()[0] if lines else "nothing"
        expected = ("CONNECT", "fetch failed") if name.endswith("environment") else ("GET", "200")
        changed += (method, answer) != expected
        print(f"{name:28} sends {method:8} gets {answer} {'' if (method, answer) == expected else 'CHANGED'}")
finally:
    proxy.kill()
    proxy.wait()
sys.exit(changed > 0)
PY
