"""python-binance, blocking and then asynchronous. Its base URLs are class attributes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from binance.async_client import AsyncClient
from binance.client import Client

from tests.clients.programs.telling import END_MS, START_MS, UNKNOWN, base_url, tell, tell_async


def aim(client: Any) -> None:
    """Before the constructor is called: it asks for a ping."""
    url = base_url()
    client.API_URL = f"{url}/api"
    client.FUTURES_URL = f"{url}/fapi"
    client.FUTURES_DATA_URL = f"{url}/futures/data"
    client.FUTURES_COIN_URL = f"{url}/dapi"
    client.FUTURES_COIN_DATA_URL = f"{url}/futures/data"
    client.OPTIONS_URL = f"{url}/eapi"


def calls(client: Any) -> Mapping[str, Callable[[], Any]]:
    """The same for both: only one of them has to be awaited."""
    hour = {"startTime": START_MS, "endTime": END_MS}
    one = {"symbol": "BTCUSDT"}
    return {
        "ping": client.ping,
        "time": client.get_server_time,
        "exchange info": client.get_exchange_info,
        "book": lambda: client.get_order_book(limit=20, **one),
        "trades": lambda: client.get_recent_trades(limit=20, **one),
        "historical trades": lambda: client.get_historical_trades(limit=20, fromId=START_MS // 500, **one),
        "aggregate trades": lambda: client.get_aggregate_trades(limit=20, **hour, **one),
        "klines": lambda: client.get_klines(interval="1m", limit=60, **hour, **one),
        "ui klines": lambda: client.get_ui_klines(interval="1m", limit=60, **hour, **one),
        "average price": lambda: client.get_avg_price(**one),
        "ticker": lambda: client.get_ticker(**one),
        "tickers": client.get_ticker,
        "prices": client.get_all_tickers,
        "book tickers": client.get_orderbook_tickers,
        "futures exchange info": client.futures_exchange_info,
        "futures book": lambda: client.futures_order_book(limit=50, **one),
        "futures klines": lambda: client.futures_klines(interval="5m", limit=12, **hour, **one),
        "futures mark price": client.futures_mark_price,
        "futures funding": lambda: client.futures_funding_rate(limit=5, startTime=START_MS, **one),
        "futures tickers": client.futures_ticker,
        "futures prices": client.futures_symbol_ticker,
        "futures open interest": lambda: client.futures_open_interest(**one),
        "futures interest history": lambda: client.futures_open_interest_hist(period="5m", **hour, **one),
        "futures ratio": lambda: client.futures_global_longshort_ratio(period="5m", **hour, **one),
        "coin exchange info": client.futures_coin_exchange_info,
        "coin book": lambda: client.futures_coin_order_book(symbol="BTCUSD_PERP", limit=20),
        "coin klines": lambda: client.futures_coin_klines(symbol="BTCUSD_PERP", interval="5m", limit=12, **hour),
        "coin mark price": client.futures_coin_mark_price,
        "options time": client.options_time,
        "options exchange info": client.options_exchange_info,
        "options mark price": client.options_mark_price,
        UNKNOWN: lambda: client.get_ticker(symbol="NOSUCH"),
    }


async def main_async() -> None:
    """The asynchronous client, on aiohttp."""
    aim(AsyncClient)
    client = await AsyncClient.create()
    try:
        await tell_async("python-binance", calls(client))
    finally:
        await client.close_connection()


if __name__ == "__main__":
    aim(Client)
    tell("python-binance", calls(Client()), manner="sync")
    asyncio.run(main_async())
