"""binance-sdk-spot: the official SDK of spot, which parses answers into models and gives up after one second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from binance_sdk_spot.rest_api.models import KlinesIntervalEnum
from binance_sdk_spot.spot import ConfigurationRestAPI, Spot

from tests.clients.programs.telling import END_MS, START_MS, UNKNOWN, base_url, tell

SYMBOLS = ["BTCUSDT", "ETHUSDT"]


def main(client: Any) -> None:
    """Only the base URL is another."""
    one = {"symbol": "BTCUSDT"}
    hour = {"start_time": START_MS, "end_time": END_MS, "limit": 60}

    def data(call: Callable[..., Any], **parameters: Any) -> Callable[[], Any]:
        return lambda: call(**parameters).data()

    minute = KlinesIntervalEnum.INTERVAL_1m
    tell(
        "binance-sdk-spot",
        {
            "ping": data(client.ping),
            "time": data(client.time),
            "exchange info": data(client.exchange_info, symbols=SYMBOLS),
            "execution rules": data(client.execution_rules, **one),
            "book": data(client.depth, **one, limit=20),
            "trades": data(client.get_trades, **one, limit=20),
            "historical trades": data(client.historical_trades, **one, limit=20, from_id=START_MS // 500),
            "aggregate trades": data(client.agg_trades, **one, **hour),
            "klines": data(client.klines, **one, **hour, interval=minute),
            "average price": data(client.avg_price, **one),
            "ticker": data(client.ticker24hr, **one),
            "tickers": data(client.ticker24hr),
            "day": data(client.ticker_trading_day, symbols=SYMBOLS),
            "prices": data(client.ticker_price),
            "book tickers": data(client.ticker_book_ticker, symbols=SYMBOLS),
            "rolling": data(client.ticker, **one),
            "reference price": data(client.reference_price, **one),
            UNKNOWN: data(client.depth, symbol="NOSUCH"),
        },
    )


if __name__ == "__main__":
    main(Spot(config_rest_api=ConfigurationRestAPI(base_path=base_url())).rest_api)
