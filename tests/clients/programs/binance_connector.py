"""binance-connector: the older official client of spot, on requests."""

from __future__ import annotations

from typing import Any

from binance.spot import Spot

from tests.clients.programs.telling import END_MS, START_MS, UNKNOWN, base_url, tell

SYMBOLS = ["BTCUSDT", "ETHUSDT"]


def main(client: Any) -> None:
    """Only the base URL is another."""
    one, hour = "BTCUSDT", {"startTime": START_MS, "endTime": END_MS}
    tell(
        "binance-connector",
        {
            "ping": client.ping,
            "time": client.time,
            "exchange info": lambda: client.exchange_info(symbols=SYMBOLS),
            "book": lambda: client.depth(one, limit=20),
            "trades": lambda: client.trades(one, limit=20),
            "historical trades": lambda: client.historical_trades(one, limit=20, fromId=START_MS // 500),
            "aggregate trades": lambda: client.agg_trades(one, limit=20, **hour),
            "klines": lambda: client.klines(one, "1m", limit=60, **hour),
            "ui klines": lambda: client.ui_klines(one, "1m", limit=60, **hour),
            "average price": lambda: client.avg_price(one),
            "ticker": lambda: client.ticker_24hr(one),
            "two tickers": lambda: client.ticker_24hr(symbols=SYMBOLS),
            "tickers": client.ticker_24hr,
            "day": lambda: client.trading_day_ticker(symbols=SYMBOLS),
            "prices": client.ticker_price,
            "book tickers": lambda: client.book_ticker(symbols=SYMBOLS),
            "rolling": lambda: client.rolling_window_ticker(one, windowSize="1h"),
            UNKNOWN: lambda: client.depth("NOSUCH"),
        },
    )


if __name__ == "__main__":
    main(Spot(base_url=base_url()))
