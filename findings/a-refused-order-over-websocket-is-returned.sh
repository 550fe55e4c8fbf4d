#!/usr/bin/env bash
# Binance's Python SDK returns a refused order over the WebSocket API as if it were the answer, and raises nothing.
#
# Expected: an order that is refused with status 400 and -2010 raises, as it does over HTTP in the same SDK, or in python-binance
#           over WebSocket.
# Happens:  order_place() returns, and data() is a plain dict {"error": {...}} in place of the model with .result. Who does not read
#           the answer takes the order for placed; who does gets AttributeError in his own code. The status is gone, and
#           rate_limits is empty though the answer had some; one line goes to the root logger. A ban (418) is returned too, so that
#           a loop goes on asking. @binance/spot rejects with a plain object that is no Error and has neither stack nor status.
# Seen with: binance-sdk-spot 13.3.0 (binance-common 4.7.0), python-binance 1.0.37; @binance/spot 32.0.4 (@binance/common 2.4.9)
#           on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" binance-sdk-spot==13.3.0 \
    binance-common==4.7.0 python-binance==1.0.37
npm install --silent --no-audit --no-fund --prefix "$work" @binance/spot@32.0.4 @binance/common@2.4.9
cat > "$work/client.cjs" <<'JS'
const { Spot } = require("@binance/spot")
for (const level of ["log", "info"]) console[level] = () => {}
const tell = text => process.stdout.write(text + "\n", () => process.exit());
(async () => {
  const wsURL = process.argv[2]
  const client = await new Spot({ configurationWebsocketAPI: { apiKey: "k", apiSecret: "s", wsURL } }).websocketAPI.connect()
  try {
    await client.orderPlace({ symbol: "BTCUSDT", side: "BUY", type: "MARKET", quantity: 1 })
    tell("returned")
  } catch (error) {
    tell(`rejected, ${error instanceof Error ? "an" : "no"} Error, ${JSON.stringify(error)}`)
  }
})()
JS
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - <<'PY'
import asyncio, json, os, sys

from aiohttp import WSMsgType, web
from binance import AsyncClient
from binance_common.configuration import ConfigurationWebSocketAPI
from binance_sdk_spot.spot import Spot

WEIGHT = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000, "count": 70}
ANSWERS = {
    "order.place": {"status": 400, "error": {"code": -2010, "msg": "Account has insufficient balance for requested action."}},
    "ping": {"status": 418, "error": {"code": -1003, "msg": "Way too much request weight used; IP banned until 1785050129644."}},
    "time": {"status": 200, "result": {"serverTime": 1785050129644}},
}


async def binance(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            asked = json.loads(message.data)
            await socket.send_str(json.dumps({"id": asked["id"], "rateLimits": [WEIGHT]} | ANSWERS[asked["method"]]))
    return socket


async def by_sdk(url):
    client = Spot(config_ws_api=ConfigurationWebSocketAPI(api_key="k", api_secret="s", stream_url=url))
    connection = await client.websocket_api.create_connection()
    seen = {}
    for name, call in (("time", connection.time), ("ping", connection.ping),
                       ("order.place", lambda: connection.order_place("BTCUSDT", "BUY", "MARKET", quantity=1))):
        try:
            answer = await call()
            data = answer.data()
            seen[name] = ("dict with error" if isinstance(data, dict) and "error" in data else
                          "model with result" if hasattr(data, "result") else "?", len(answer.rate_limits or []))
        except Exception as error:
            seen[name] = type(error).__name__
    return seen


async def by_python_binance(url):
    AsyncClient.WS_API_URL = url + "?{}"
    client = AsyncClient("k", "s")
    try:
        await client.ws_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1)
        return "returned"
    except Exception as error:
        return f"{type(error).__name__} {error.code}"


async def main():
    application = web.Application()
    application.router.add_get("/ws-api/v3", binance)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"ws://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/ws-api/v3"
    node = await asyncio.create_subprocess_exec("node", "client.cjs", url, stdout=asyncio.subprocess.PIPE)
    seen = {
        "binance-sdk-spot": await asyncio.wait_for(by_sdk(url), 15),
        "python-binance": await asyncio.wait_for(by_python_binance(url), 15),
        "@binance/spot": (await asyncio.wait_for(node.communicate(), 15))[0].decode().strip(),
    }
    refused = json.dumps(ANSWERS["order.place"]["error"], separators=(",", ":"))
    expected = {
        "binance-sdk-spot": {"time": ("model with result", 1), "ping": ("dict with error", 0),
                             "order.place": ("dict with error", 0)},
        "python-binance": "BinanceAPIException -2010", "@binance/spot": f"rejected, no Error, {refused}",
    }
    for name, wanted in expected.items():
        print(f"{name}: {seen[name]} {'' if seen[name] == wanted else 'CHANGED'}")
    return seen != expected


async def bounded():
    code = 1
    try:
        code = int(await asyncio.wait_for(main(), 45))
    except TimeoutError:
        print("no answer in time")
    finally:
        sys.stdout.flush()
        os._exit(code)


asyncio.run(bounded())
PY
