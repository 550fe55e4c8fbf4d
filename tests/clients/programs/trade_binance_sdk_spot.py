"""binance-sdk-spot trades, with a key of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from binance_sdk_spot import spot as sdk
from binance_sdk_spot.rest_api import models

from tests.clients.programs.telling import base_url, keys, tell


def main(client: Any, kind: str) -> None:
    """Only the base URL is another."""
    one, named = {"symbol": "BTCUSDT"}, {"symbol": "BTCUSDT", "orig_client_order_id": f"{kind}-limit"}
    side, types = models.NewOrderSideEnum.BUY, models.NewOrderTypeEnum
    limit = {
        "side": side,
        "type": types.LIMIT,
        "time_in_force": models.NewOrderTimeInForceEnum.GTC,
        "quantity": 0.01,
        "price": 0.5,
    }

    def data(call: Callable[..., Any], **parameters: Any) -> Callable[[], Any]:
        return lambda: call(**parameters).data()

    tell(
        "binance-sdk-spot",
        {
            "limit": data(client.new_order, new_client_order_id=f"{kind}-limit", **limit, **one),
            "query": data(client.get_order, **named),
            "open orders": data(client.get_open_orders, **one),
            "cancel": data(client.delete_order, **named),
            "market": data(
                client.new_order,
                side=side,
                type=types.MARKET,
                quantity=0.01,
                new_client_order_id=f"{kind}-market",
                **one,
            ),
            "test": data(client.order_test, **limit, **one),
            "account": data(client.get_account),
            "my trades": data(client.my_trades, **one),
            "all orders": data(client.all_orders, **one),
            "order limits": data(client.rate_limit_order),
            "refused: no such order": data(client.delete_order, order_id=1, **one),
            "refused: no money": data(client.new_order, **{**limit, "quantity": 9_000_000.0}, **one),
        },
        manner=kind,
    )


if __name__ == "__main__":
    for kind, (name, secret) in keys().items():
        key = {("api_secret" if kind == "HMAC" else "private_key"): secret}
        main(
            sdk.Spot(config_rest_api=sdk.ConfigurationRestAPI(api_key=name, base_path=base_url(), **key)).rest_api, kind
        )
