#!/usr/bin/env bash
# Binance's Python SDK asks for br in each request, and cannot unpack it unless something else installed brotli.
#
# Expected: a client names in Accept-Encoding what it can read. requests and httpx add br once the package is there.
# Happens:  the SDK writes "gzip, deflate, br" itself (its compression is on by default) and does not depend on brotli. A
#           gateway or proxy that packs with br is right to do so, and the SDK raises JSONDecodeError at char 0,
#           which looks like a broken answer. With brotli installed, or compression=False, it works. binance-connector,
#           python-binance and pybotters name only what they can read.
# Seen with: binance-sdk-spot 13.3.0 (binance-common 4.7.0, requests 2.34.2), binance-connector 3.13.0, python-binance
#           1.0.37, pybotters 1.11.2, brotli 1.2.1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
install() { python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/$1" "${@:2}"; }
install brotli brotli==1.2.1
install sdk binance-sdk-spot==13.3.0 binance-common==4.7.0 requests==2.34.2
install connector binance-connector==3.13.0 requests==2.34.2
install python python-binance==1.0.37 requests==2.34.2
install bots pybotters==1.11.2
timeout 50 python3 - "$work" <<'PY'
import contextlib, signal, socketserver, subprocess, sys, threading

work = sys.argv[1]
sys.path.append(f"{work}/brotli")
import brotli

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
BODY = b'{"serverTime": 1}'


class Proxy(socketserver.StreamRequestHandler):
    """Pack with br for who asks for it."""

    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while self.rfile.readline():
                body, coding = BODY, ""
                while header := self.rfile.readline().strip().lower():
                    if header.startswith(b"accept-encoding:"):
                        accepted.append(header.partition(b":")[2].strip().decode())
                        if "br" in accepted[-1]:
                            body, coding = brotli.compress(BODY), "Content-Encoding: br\r\n"
                self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{coding}Content-Length: {len(body)}"
                                 "\r\n\r\n".encode() + body)


SDK = """from binance_sdk_spot.spot import ConfigurationRestAPI, Spot
print(Spot(config_rest_api=ConfigurationRestAPI(api_key="k", api_secret="s", base_path=URL%s)).rest_api.time().data().server_time)"""
CONNECTOR = """from binance.spot import Spot
print(Spot(base_url=URL).time()["serverTime"])"""
PYTHON = """from binance.client import Client
client = Client("k", "s", ping=False); client.API_URL = URL + "/api"; print(client.get_server_time()["serverTime"])"""
BOTS = """import asyncio, pybotters
async def ask():
    async with pybotters.Client(base_url=URL) as client:
        print((await client.fetch("GET", "/api/v3/time")).data["serverTime"])
asyncio.run(ask())"""
CASES = [
    ("SDK", ["sdk"], SDK % "", "JSONDecodeError"), ("SDK, brotli installed", ["sdk", "brotli"], SDK % "", "1"),
    ("SDK, compression=False", ["sdk"], SDK % ", compression=False", "1"),
    ("binance-connector", ["connector"], CONNECTOR, "1"), ("python-binance", ["python"], PYTHON, "1"),
    ("pybotters", ["bots"], BOTS, "1"),
]
accepted, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy)
threading.Thread(target=server.serve_forever, daemon=True).start()
# Nothing of what this Python has installed besides.
START = "import sys; sys.path = [path for path in sys.path if 'site-packages' not in path] + sys.argv[2:]; URL = sys.argv[1]\n"
for name, folders, code, expected in CASES:
    accepted.clear()
    ended = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", START + code, f"http://127.0.0.1:{server.server_address[1]}",
         *(f"{work}/{folder}" for folder in folders)], capture_output=True, text=True, timeout=30)
    seen = ended.stdout.strip() or ended.stderr.strip().splitlines()[-1].partition(":")[0].rpartition(".")[2]
    changed += seen != expected
    print(f"{name:23} accepts {accepted[-1] if accepted else '-':20} gets {seen} {'' if seen == expected else 'CHANGED'}")
sys.exit(changed > 0)
PY
