#!/usr/bin/env bash
# python-binance cannot get the exchange information over the WebSocket API: it says "timed out" after ten seconds, each time.
#
# Expected: ws_get_exchange_info() returns an answer of 3.7 MB, as get_exchange_info() does over HTTP, or says that it is too large.
# Happens:  the answer is larger than the 1 MB that the websockets library takes by default. The library closes with 1009,
#           python-binance connects again, waits ten seconds for an answer that has gone, and raises
#           BinanceWebsocketUnableToConnect "Request timed out"; Binance has counted the weight. Another call that waits on the
#           same connection is lost with it. Binance's SDK takes up to 20 MB, aiohttp 4 MB, websocket-client any size.
# Seen with: python-binance 1.0.37 with websockets 17.4, binance-sdk-spot 13.3.0 (binance-common 4.7.0), aiohttp 3.14.5,
#           websocket-client 1.9.2; CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" binance-sdk-spot==13.3.0 \
    binance-common==4.7.0 python-binance==1.0.37 websockets==17.4 aiohttp==3.14.5 websocket-client==1.9.2
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - <<'PY'
import asyncio, contextlib, json, logging, os, sys, time

import aiohttp, websocket
from aiohttp import WSMsgType, web
from binance import AsyncClient
from binance_common.configuration import ConfigurationWebSocketAPI
from binance_sdk_spot.spot import Spot

logging.disable()
INFORMATION = {"timezone": "UTC", "serverTime": 1, "rateLimits": [], "exchangeFilters": [], "symbols": []}
closed, tasks = [], []


async def answer(socket, call, size):
    if call["method"] == "time":
        await asyncio.sleep(0.5)
    result = {"serverTime": 1} if call["method"] == "time" else INFORMATION | {"more": "x" * size}
    with contextlib.suppress(ConnectionError):
        await socket.send_str(json.dumps({"id": call["id"], "status": 200, "result": result, "rateLimits": []}))


async def binance(request):
    """A WebSocket API whose exchange information has the size that the first part of the path says, in kB."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            tasks.append(asyncio.create_task(answer(socket, json.loads(message.data), int(request.match_info["size"]) * 1000)))
    closed.append(socket.close_code)
    return socket


async def by_python_binance(url):
    AsyncClient.WS_API_URL = url + "?{}"
    client = AsyncClient("k", "s")
    return await client.ws_get_exchange_info()


async def time_by_python_binance(url):
    """A call that waits on the connection when the large answer comes."""
    AsyncClient.WS_API_URL = url + "?{}"
    client = AsyncClient("k", "s")
    first = asyncio.create_task(client.ws_get_time())
    await asyncio.sleep(0.1)
    second = asyncio.create_task(client.ws_get_exchange_info())
    answers = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(answers[0], Exception):
        raise answers[0]


async def by_sdk(url):
    client = Spot(config_ws_api=ConfigurationWebSocketAPI(api_key="k", api_secret="s", stream_url=url))
    return (await (await client.websocket_api.create_connection()).exchange_info()).data()


async def by_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json({"id": 1, "method": "exchangeInfo"})
        return await socket.receive_json()


async def by_websocket_client(url):
    def ask():
        socket = websocket.create_connection(url)
        socket.send(json.dumps({"id": 1, "method": "exchangeInfo"}))
        return json.loads(socket.recv())
    return await asyncio.to_thread(ask)


LOST = "BinanceWebsocketUnableToConnect: Request timed out, after 10 s"
CASES = [
    ("python-binance, 900 kB", by_python_binance, 900, "answer"), ("python-binance, 1100 kB", by_python_binance, 1100, LOST),
    ("python-binance, time beside it", time_by_python_binance, 1100, LOST),
    ("aiohttp, 3700 kB", by_aiohttp, 3700, "answer"), ("aiohttp, 4300 kB", by_aiohttp, 4300, "WSMessageTypeError"),
    ("SDK, 12000 kB", by_sdk, 12000, "answer"), ("websocket-client, 12000 kB", by_websocket_client, 12000, "answer"),
]


async def main():
    application = web.Application()
    application.router.add_get("/{size}/ws", binance)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port, changed = site._server.sockets[0].getsockname()[1], 0
    for name, ask, size, expected in CASES:
        closed.clear()
        began = time.monotonic()
        try:
            await asyncio.wait_for(ask(f"ws://127.0.0.1:{port}/{size}/ws"), 20)
            seen = "answer"
        except Exception as error:
            seen = type(error).__name__
            if took := round(time.monotonic() - began):
                seen += f": {error}, after {took} s"
        changed += seen != expected
        print(f"{name:30} {seen}{', closed with 1009' if 1009 in closed else ''} {'' if seen == expected else 'CHANGED'}")
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
