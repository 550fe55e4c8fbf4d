"""python-binance, blocking and asynchronous. It has no argument for filters; its own `_get` sends them."""

from __future__ import annotations

import asyncio
from typing import Any

from binance.async_client import AsyncClient
from binance.client import Client
from binance.exceptions import BinanceAPIException

from tests.clients.checks import Call, Step, Wanted, counts, is_empty, is_now, names_are, report, report_async, wanted


def steps(client: Any, want: Wanted) -> dict[Call, Step]:
    """The same for both: only one of them has to be awaited."""

    def info(**parameters: str) -> Any:
        return client._get("exchangeInfo", data=parameters)

    return {
        Call.PING: Step(client.ping, is_empty),
        Call.TIME: Step(client.get_server_time, lambda body: is_now(body["serverTime"])),
        Call.EVERYTHING: Step(client.get_exchange_info, counts(want.listed)),
        Call.ONE: Step(lambda: client.get_symbol_info("BTCUSDT"), lambda symbol: symbol["symbol"] == "BTCUSDT"),
        Call.SEVERAL: Step(lambda: info(symbols='["BTCUSDT","ETHUSDT"]'), names_are("BTCUSDT", "ETHUSDT")),
        Call.PERMISSIONS: Step(lambda: info(permissions='["MARGIN"]'), counts(want.margin)),
        Call.UNKNOWN: Step(lambda: info(symbol="NOSUCH"), lambda error: error.code == -1121, BinanceAPIException),
    }


async def main_async(want: Wanted) -> None:
    """The asynchronous client, on aiohttp: it sends lists unescaped."""
    AsyncClient.API_URL = f"{want.url}/api"
    client = await AsyncClient.create()
    try:
        await report_async("python-binance", steps(client, want))
    finally:
        await client.close_connection()


def main() -> None:
    """Only the base URL is another: a class attribute, since there is no argument for it."""
    want = wanted()
    Client.API_URL = f"{want.url}/api"
    report("python-binance", steps(Client(), want), manner="sync")
    asyncio.run(main_async(want))


if __name__ == "__main__":
    main()
