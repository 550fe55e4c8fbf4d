"""What ccxt is asked, blocking or asynchronous. By default it loads the markets of spot, USD-M and COIN-M."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.clients.programs.telling import END_MS, START_MS, UNKNOWN

SPOT, LINEAR, INVERSE = "BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"


def options(url: str) -> dict[str, Any]:
    """The base URL of each API that default public calls go to."""
    return {
        "urls": {
            "api": {
                "public": f"{url}/api/v3",
                "fapiPublic": f"{url}/fapi/v1",
                "fapiPublicV2": f"{url}/fapi/v2",
                "fapiData": f"{url}/futures/data",
                "dapiPublic": f"{url}/dapi/v1",
                "dapiData": f"{url}/futures/data",
                "eapiPublic": f"{url}/eapi/v1",
            }
        }
    }


def calls(client: Any) -> Mapping[str, Callable[[], Any]]:
    """The same for both: only one of them has to be awaited."""
    hour = {"until": END_MS}
    return {
        "load_markets": client.load_markets,
        "fetch_time": client.fetch_time,
        "ticker spot": lambda: client.fetch_ticker(SPOT),
        "tickers spot": lambda: client.fetch_tickers([SPOT, "ETH/USDT"]),
        "tickers of all": client.fetch_tickers,
        "bids and asks": client.fetch_bids_asks,
        "last prices": client.fetch_last_prices,
        "book": lambda: client.fetch_order_book(SPOT, 20),
        "candles": lambda: client.fetch_ohlcv(SPOT, "1m", START_MS, 60),
        "trades": lambda: client.fetch_trades(SPOT, START_MS, 50, hour),
        "candles linear": lambda: client.fetch_ohlcv(LINEAR, "5m", START_MS, 99),
        "candles inverse": lambda: client.fetch_ohlcv(INVERSE, "5m", START_MS, 99),
        "mark candles": lambda: client.fetch_mark_ohlcv(LINEAR, "1h", START_MS, 20),
        "index candles": lambda: client.fetch_index_ohlcv(LINEAR, "1h", START_MS, 20),
        "book linear": lambda: client.fetch_order_book(LINEAR, 50),
        "book inverse": lambda: client.fetch_order_book(INVERSE, 50),
        "tickers linear": lambda: client.fetch_tickers([LINEAR, "ETH/USDT:USDT"]),
        "tickers inverse": lambda: client.fetch_tickers([INVERSE]),
        "funding rate": lambda: client.fetch_funding_rate(LINEAR),
        "funding rates": client.fetch_funding_rates,
        "funding history": lambda: client.fetch_funding_rate_history(LINEAR, START_MS, 10),
        "funding intervals": client.fetch_funding_intervals,
        "open interest": lambda: client.fetch_open_interest(LINEAR),
        "open interest history": lambda: client.fetch_open_interest_history(LINEAR, "5m", START_MS, 10, hour),
        "long and short": lambda: client.fetch_long_short_ratio_history(LINEAR, "5m", START_MS, 10, hour),
        "options": client.eapiPublicGetExchangeInfo,
        UNKNOWN: lambda: client.publicGetTicker24hr({"symbol": "NOSUCH"}),
    }
