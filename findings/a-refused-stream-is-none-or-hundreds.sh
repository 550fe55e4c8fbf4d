#!/usr/bin/env bash
# A stream that is refused with 429 is None in Binance's Python SDK, and node-binance-api asks for it hundreds of times a second.
#
# Expected: a handshake that is answered with 429 and Retry-After: 60 raises, with the status and the time to wait; a client that
#           tries again by itself waits. Binance takes 300 attempts in five minutes from an address.
# Happens:  create_connection() of the Python SDK logs a line and returns None, for streams and for the WebSocket API, on 429, 503
#           or no server at all. The next line of the bot fails with "'NoneType' object has no attribute". python-binance
#           and websockets raise InvalidStatus, which has both. node-binance-api opens a new connection at once, without an
#           end: 300 within two seconds. binance tries twice a second for ever, reconnecting-websocket after 1 to 5 s.
#           None of those that try again looks at Retry-After.
# Seen with: binance-sdk-spot 13.3.0 (binance-common 4.7.0), python-binance 1.0.37 with websockets 17.4; node-binance-api 1.0.33,
#           binance 3.6.5, reconnecting-websocket 4.4.0 on ws 8.23.0, Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" binance-sdk-spot==13.3.0 \
    binance-common==4.7.0 python-binance==1.0.37 websockets==17.4
npm install --silent --no-audit --no-fund --prefix "$work" node-binance-api@1.0.33 binance@3.6.5 \
    reconnecting-websocket@4.4.0 ws@8.23.0
cat > "$work/client.cjs" <<'JS'
const [url, which] = process.argv.slice(2), silent = { trace() {}, info() {}, error() {} }
console.log = console.error = console.warn = () => {}
process.on("unhandledRejection", () => {})
const clients = {
  "node-binance-api": () => {
    const Client = require("node-binance-api")
    const client = new Client({ urls: { base: `${url.replace("ws", "http")}/`, stream: `${url}/`, combineStream: `${url}/?` } })
    Object.assign(client, { stream: `${url}/`, combineStream: `${url}/?` })
    client.websockets.trades(["BTCUSDT"], () => {})
  },
  "binance": () => {
    const { WebsocketClient } = require("binance")
    const client = new WebsocketClient({ wsUrl: url }, silent)
    client.on("exception", () => {})
    client.subscribe("btcusdt@trade", "main")
  },
  "reconnecting-websocket": () => {
    const Socket = require("reconnecting-websocket")
    new (Socket.default ?? Socket)(url, [], { WebSocket: require("ws") }).addEventListener("error", () => {})
  },
}
clients[which]()
setTimeout(() => process.exit(), 2500)
JS
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - <<'PY'
import asyncio, contextlib, logging, os, sys, time

from binance import AsyncClient, BinanceSocketManager
from binance_common.configuration import ConfigurationWebSocketAPI, ConfigurationWebSocketStreams
from binance_sdk_spot.spot import Spot

logging.disable()
asked, status = [], 429


async def binance(reader, writer):
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        asked.append(time.monotonic())
        writer.write(f"HTTP/1.1 {status} So\r\nRetry-After: 60\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
        await writer.drain()
    writer.close()


async def streams_of_sdk(url):
    return await Spot(config_ws_streams=ConfigurationWebSocketStreams(stream_url=url)).websocket_streams.create_connection()


async def calls_of_sdk(url):
    configuration = ConfigurationWebSocketAPI(api_key="k", api_secret="s", stream_url=url)
    return await Spot(config_ws_api=configuration).websocket_api.create_connection()


async def by_python_binance(url):
    BinanceSocketManager.STREAM_URL = url + "/{}/"
    async with BinanceSocketManager(AsyncClient()).trade_socket("BTCUSDT") as socket:
        return await socket.recv()


async def tried(open_it, url):
    asked.clear()
    try:
        seen = f"returns {await asyncio.wait_for(open_it(url), 8)}"
    except Exception as error:
        answer = getattr(error, "response", None)
        seen = f"raises {type(error).__name__}" + (
            f" {answer.status_code}, Retry-After {answer.headers['Retry-After']}" if answer else "")
    return f"{seen}, {len(asked)} attempt(s)"


async def by_node(name, url):
    asked.clear()
    process = await asyncio.create_subprocess_exec("node", "client.cjs", url, name)
    await asyncio.wait_for(process.wait(), 15)
    return sum(moment < asked[0] + 2 for moment in asked) if asked else 0


async def main():
    global status
    server = await asyncio.start_server(binance, "127.0.0.1", 0)
    url, changed = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", 0
    for status in (429, 503):
        for name, open_it, expected in (
                ("SDK, streams", streams_of_sdk, "returns None, 1 attempt(s)"),
                ("SDK, WebSocket API", calls_of_sdk, "returns None, 1 attempt(s)"),
                ("python-binance", by_python_binance, f"raises InvalidStatus {status}, Retry-After 60, 1 attempt(s)")):
            seen = await tried(open_it, url)
            changed += seen != expected
            print(f"{name:22} {status}: {seen} {'' if seen == expected else 'CHANGED'}")
    status = 429
    for name, least, most in (("node-binance-api", 100, 10**6), ("binance", 3, 6), ("reconnecting-websocket", 1, 3)):
        count = await by_node(name, url)
        good = least <= count <= most
        changed += not good
        print(f"{name:22} {status}: {count} attempts in 2 s {'' if good else 'CHANGED'}")
    return changed > 0


async def bounded():
    code = 1
    try:
        code = int(await asyncio.wait_for(main(), 45))
    finally:
        sys.stdout.flush()
        os._exit(code)


asyncio.run(bounded())
PY
