#!/usr/bin/env bash
# Three WebSocket clients open a stream hundreds of times in two seconds if it is closed right after it was opened.
#
# Expected: a client that connects again by itself waits longer after each failure. Binance takes 300 connections in five
#           minutes from an address, and bans for more.
# Happens:  "async for" over connect() of websockets and pybotters wait only if the connection cannot be opened,
#           node-binance-api not even then. A gateway that opens it and closes it after the first message (1001 in a shutdown,
#           1008 for a limit) gets a new one at once, without end: the 300 are used up within a second or two. python-binance,
#           binance and reconnecting-websocket wait half a second and more.
# Seen with: websockets 17.4, pybotters 1.11.2 (aiohttp 3.14.5), python-binance 1.0.37; node-binance-api 1.0.33, binance
#           3.6.5, reconnecting-websocket 4.4.0 on ws 8.23.0, Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" websockets==17.4 pybotters==1.11.2 \
    aiohttp==3.14.5 python-binance==1.0.37
npm install --silent --no-audit --no-fund --prefix "$work" node-binance-api@1.0.33 binance@3.6.5 \
    reconnecting-websocket@4.4.0 ws@8.23.0
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - <<'PY'
import asyncio, contextlib, logging, signal, subprocess, sys, threading, time

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
logging.disable(logging.CRITICAL)
SECONDS, opened, ready = 2, [], threading.Event()


async def stream(client):
    """One message, then the close of a server that ends."""
    opened.append(client)
    with contextlib.suppress(ConnectionClosed):
        await client.send('{"e": "trade", "s": "BTCUSDT", "p": "1.0"}')
        await client.close(1001)


async def gateway():
    async with serve(stream, "127.0.0.1", 0) as server:
        stream.port = server.sockets[0].getsockname()[1]
        ready.set()
        await asyncio.Future()


def run(*command):
    """Let a client run for so many seconds from its first connection on."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(150):
            if opened:
                time.sleep(SECONDS)
                break
            time.sleep(0.1)
        return len(opened)
    finally:
        process.kill()
        process.wait()


def in_python(code):
    return lambda url: run(sys.executable, "-W", "ignore", "-c", f"import asyncio\nURL = '{url}'\n{code}\nasyncio.run(ask())")


def in_node(code):
    return lambda url: run("node", "-e", f"""const url = "{url}"; process.on("unhandledRejection", () => {{}}); {code}""")


CASES = {
    "websockets, async for": (True, in_python("""from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
async def ask():
    async for client in connect(URL + "/ws/btcusdt@trade"):
        try:
            async for _ in client: pass
        except ConnectionClosed: pass""")),
    "pybotters": (True, in_python("""import pybotters
async def ask():
    async with pybotters.Client() as client:
        await client.ws_connect(URL + "/ws/btcusdt@trade", hdlr_json=lambda *_: None)
        await asyncio.Future()""")),
    "node-binance-api": (True, in_node("""const Client = require("node-binance-api");
        const streams = {stream: url + "/ws/", combineStream: url + "/stream?streams="};
        new Client({urls: streams, log: () => {}}).websockets.trades(["BTCUSDT"], () => {})""")),
    "python-binance": (False, in_python("""from binance.ws.reconnecting_websocket import ReconnectingWebsocket
async def ask():
    async with ReconnectingWebsocket(url=URL + "/", path="btcusdt@trade") as client:
        while True: await client.recv()""")),
    "binance": (False, in_node("""const client = new (require("binance").WebsocketClient)({wsUrl: url});
        client.on("exception", () => {}); client.connectToWsUrl(url + "/ws/btcusdt@trade", "main")""")),
    "reconnecting-websocket": (False, in_node("""const Client = require("reconnecting-websocket");
        new (Client.default || Client)(url + "/ws/btcusdt@trade", [], {WebSocket: require("ws")})""")),
}
changed = 0
threading.Thread(target=lambda: asyncio.run(gateway()), daemon=True).start()
ready.wait()
for name, (many, call) in CASES.items():
    opened.clear()
    count = call(f"ws://127.0.0.1:{stream.port}")
    good = count > 100 if many else 1 <= count <= 8
    changed += not good
    print(f"{name:23} opens the stream {count} times in {SECONDS} s {'' if good else 'CHANGED'}")
sys.exit(changed > 0)
PY
