#!/usr/bin/env bash
# python-binance fetches an order book twice at each start and then sets it back; pybotters does not notice a lost event.
#
# Expected: a local order book is one GET /depth and the events after it. The first event to be applied is the one whose span of
#           ids holds that of the answer, as Binance describes it. If an event is missing after a reconnect, the book
#           is fetched again.
# Happens:  python-binance takes that first event for a gap, unless it begins with the very next id, which is chance: it fetches
#           the book again (25 of weight with its limit of 500), applies the event, which is older, on top of the
#           newer book and goes on from there. For some events the book shows quantities that were over. The same after
#           a real gap. A hundred symbols are 5,000 of weight in place of 2,500, at each start and reconnect. pybotters does not
#           compare the ids: after a lost event its book stays wrong, without a word.
# Seen with: python-binance 1.0.37 (DepthCacheManager), pybotters 1.11.2 (BinanceSpotDataStore); CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" python-binance==1.0.37 \
    pybotters==1.11.2
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - <<'PY'
import asyncio, contextlib, logging, os, sys

import pybotters
from aiohttp import web
from binance import AsyncClient, BinanceSocketManager, DepthCacheManager

logging.disable()
newest, fetched, lost = 100, [], set()


def quantity(number):
    """The bid at 100 has the id of its last change as the quantity."""
    return ["100.00000000", f"{number}.00000000"]


async def depth(request):
    fetched.append(newest + 2)
    bids = [quantity(newest + 2)] + [[f"{event / 1000:.8f}", "1.00000000"] for event in range(105, newest + 1, 5)]
    return web.json_response({"lastUpdateId": newest + 2, "bids": bids, "asks": [["900.00000000", "1.00000000"]]})


async def stream(request):
    """An event each tenth of a second, of five ids, which adds a level of its own."""
    global newest
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await asyncio.sleep(0.1)
            first, newest = newest + 1, newest + 5
            event = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": newest, "a": [],
                     "b": [quantity(newest), [f"{newest / 1000:.8f}", "1.00000000"]]}
            if newest not in lost:
                await socket.send_json(event)
    return socket


async def by_python_binance(port):
    AsyncClient.API_URL = f"http://127.0.0.1:{port}/api"
    BinanceSocketManager.STREAM_URL = f"ws://127.0.0.1:{port}/{{}}/"
    shown = []
    async with DepthCacheManager(AsyncClient(), "BTCUSDT") as manager:
        while len(shown) < 9:
            bids = (await asyncio.wait_for(manager.recv(), 5)).get_bids()
            shown.append((int(dict(bids)[100.0]), len(fetched), 0.125 in dict(bids)))
    return shown


async def by_pybotters(port):
    shown, store = [], pybotters.BinanceSpotDataStore()

    def hear(message, socket):
        store.onmessage(message, socket)
        bids = {float(row["p"]): float(row["q"]) for row in store.orderbook.find({"S": "b"})}
        if bids:
            shown.append((int(bids[100.0]), len(fetched), 0.125 in bids))

    async with pybotters.Client() as client:
        await client.ws_connect(f"ws://127.0.0.1:{port}/s", hdlr_json=hear)
        await asyncio.sleep(0.05)
        await store.initialize(client.get(f"http://127.0.0.1:{port}/api/v3/depth?symbol=BTCUSDT"))
        while len(shown) < 9:
            await asyncio.sleep(0.05)
    return shown


async def main():
    global newest
    application = web.Application()
    application.router.add_get("/api/v3/depth", depth)
    application.router.add_get("/{stream:.*}", stream)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port, changed = site._server.sockets[0].getsockname()[1], 0
    for name, keep in (("python-binance", by_python_binance), ("pybotters", by_pybotters)):
        for missing in (None, 125):
            newest = 100
            fetched.clear()
            lost.clear()
            lost.add(missing)
            shown = await asyncio.wait_for(keep(port), 15)
            # The newest book that was fetched before an older event was applied on top.
            back = [(fetched[count - 1], bid) for bid, count, _ in shown if bid < fetched[count - 1]]
            seen = len(fetched), bool(back), shown[-1][2]
            expected = (2 + bool(missing), True, True) if name == "python-binance" else (1, False, not missing)
            changed += seen != expected
            print(f"{name:14} {'an event is lost' if missing else 'nothing is lost':16}: fetched {seen[0]} time(s),"
                  f" {'set back from %d to %d' % back[0] if back else 'never set back'},"
                  f" the level of event 125 is {'there' if seen[2] else 'missing'} {'' if seen == expected else 'CHANGED'}")
    return changed > 0


async def bounded():
    code = 1
    try:
        code = int(await asyncio.wait_for(main(), 40))
    finally:
        sys.stdout.flush()
        os._exit(code)


asyncio.run(bounded())
PY
