"""binance-sdk-derivatives-trading-usds-futures trades, with a key of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from binance_sdk_derivatives_trading_usds_futures import derivatives_trading_usds_futures as sdk
from binance_sdk_derivatives_trading_usds_futures.rest_api import models

from tests.clients.programs.telling import base_url, keys, tell


def main(client: Any, kind: str) -> None:
    """Only the base URL is another."""
    one, named = {"symbol": "BTCUSDT"}, {"symbol": "BTCUSDT", "orig_client_order_id": f"{kind}-limit"}
    side = models.NewOrderSideEnum.BUY
    limit = {
        "side": side,
        "type": "LIMIT",
        "time_in_force": models.NewOrderTimeInForceEnum.GTC,
        "quantity": 0.01,
        "price": 0.5,
    }

    def data(call: Callable[..., Any], **parameters: Any) -> Callable[[], Any]:
        return lambda: call(**parameters).data()

    tell(
        "binance-sdk-derivatives-trading-usds-futures",
        {
            "limit": data(client.new_order, new_client_order_id=f"{kind}-limit", **limit, **one),
            "query": data(client.query_order, **named),
            "open orders": data(client.current_all_open_orders, **one),
            "cancel": data(client.cancel_order, **named),
            "market": data(
                client.new_order, side=side, type="MARKET", quantity=0.01, new_client_order_id=f"{kind}-market", **one
            ),
            "leverage": data(client.change_initial_leverage, leverage=5, **one),
            "cancel all": data(client.cancel_all_open_orders, **one),
            "account": data(client.account_information_v2),
            "balance": data(client.futures_account_balance_v2),
            "all orders": data(client.all_orders, **one),
            "my trades": data(client.account_trade_list, **one),
            "listen key": data(client.start_user_data_stream),
            "keep listen key": data(client.keepalive_user_data_stream),
            "refused: no such order": data(client.cancel_order, order_id=1, **one),
        },
        manner=kind,
    )


if __name__ == "__main__":
    for kind, (name, secret) in keys().items():
        key = {("api_secret" if kind == "HMAC" else "private_key"): secret}
        chosen = sdk.ConfigurationRestAPI(api_key=name, base_path=base_url(), **key)
        main(sdk.DerivativesTradingUsdsFutures(config_rest_api=chosen).rest_api, kind)
