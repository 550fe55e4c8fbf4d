"""ccxt, blocking and asynchronous. It is told to load the markets of spot only: their number is known."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt
import ccxt.async_support

from tests.clients.checks import Call, Step, Wanted, counts, is_empty, is_now, names_are, report, report_async, wanted


def options(url: str) -> dict[str, Any]:
    return {"urls": {"api": {"public": f"{url}/api/v3"}}, "options": {"fetchMarkets": ["spot"]}}


def steps(client: Any, want: Wanted) -> dict[Call, Step]:
    """The same for both: only one of them has to be awaited."""
    info = client.publicGetExchangeInfo
    several = {"symbols": '["BTCUSDT","ETHUSDT"]'}
    return {
        Call.PING: Step(client.publicGetPing, is_empty),
        Call.TIME: Step(client.fetch_time, is_now),
        Call.EVERYTHING: Step(client.load_markets, lambda markets: len(markets) == want.listed),
        Call.ONE: Step(lambda: info({"symbol": "BTCUSDT"}), names_are("BTCUSDT")),
        Call.SEVERAL: Step(lambda: info(several), names_are("BTCUSDT", "ETHUSDT")),
        Call.PERMISSIONS: Step(lambda: info({"permissions": "MARGIN"}), counts(want.margin)),
        Call.UNKNOWN: Step(lambda: info({"symbol": "NOSUCH"}), lambda error: "-1121" in str(error), ccxt.BadSymbol),
    }


async def main_async(want: Wanted) -> None:
    """The asynchronous client, on aiohttp."""
    client = ccxt.async_support.binance(options(want.url))
    try:
        await report_async("ccxt", steps(client, want))
    finally:
        await client.close()


def main() -> None:
    """Only the base URL is another."""
    want = wanted()
    report("ccxt", steps(ccxt.binance(options(want.url)), want), manner="sync")
    asyncio.run(main_async(want))


if __name__ == "__main__":
    main()
