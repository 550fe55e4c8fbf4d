"""binance-sdk-derivatives-trading-usds-futures: the official SDK of the USD-M futures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from binance_sdk_derivatives_trading_usds_futures import derivatives_trading_usds_futures as sdk
from binance_sdk_derivatives_trading_usds_futures.rest_api import models

from tests.clients.programs.telling import END_MS, START_MS, UNKNOWN, base_url, tell


def main(client: Any) -> None:
    """Only the base URL is another."""
    one = {"symbol": "BTCUSDT"}
    hour = {"start_time": START_MS, "end_time": END_MS, "limit": 12}
    five = models.KlineCandlestickDataIntervalEnum.INTERVAL_5m
    period = models.OpenInterestStatisticsPeriodEnum.PERIOD_5m

    def data(call: Callable[..., Any], **parameters: Any) -> Callable[[], Any]:
        return lambda: call(**parameters).data()

    tell(
        "binance-sdk-derivatives-trading-usds-futures",
        {
            "ping": data(client.test_connectivity),
            "time": data(client.check_server_time),
            "exchange info": data(client.exchange_information),
            "book": data(client.order_book, **one, limit=20),
            "trades": data(client.recent_trades_list, **one, limit=20),
            "aggregate trades": data(client.compressed_aggregate_trades_list, **one, **hour),
            "klines": data(client.kline_candlestick_data, **one, **hour, interval=five),
            "mark klines": data(client.mark_price_kline_candlestick_data, **one, **hour, interval=five),
            "index klines": data(client.index_price_kline_candlestick_data, pair="BTCUSDT", **hour, interval=five),
            "mark price": data(client.mark_price, **one),
            "mark prices": data(client.mark_price),
            "funding": data(client.get_funding_rate_history, **one, **hour),
            "funding info": data(client.get_funding_rate_info),
            "ticker": data(client.ticker24hr_price_change_statistics, **one),
            "tickers": data(client.ticker24hr_price_change_statistics),
            "prices": data(client.symbol_price_ticker_v2),
            "book tickers": data(client.symbol_order_book_ticker),
            "open interest": data(client.open_interest, **one),
            "interest history": data(client.open_interest_statistics, **one, **hour, period=period),
            UNKNOWN: data(client.order_book, symbol="NOSUCH"),
        },
    )


if __name__ == "__main__":
    main(sdk.DerivativesTradingUsdsFutures(config_rest_api=sdk.ConfigurationRestAPI(base_path=base_url())).rest_api)
