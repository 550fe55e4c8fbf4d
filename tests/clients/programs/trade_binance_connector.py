"""binance-connector trades, on requests, with a key of each kind."""

from __future__ import annotations

from typing import Any

from binance.spot import Spot

from tests.clients.programs.telling import base_url, keys, tell


def main(client: Any, kind: str) -> None:
    """Only the base URL is another."""
    one, named = "BTCUSDT", {"origClientOrderId": f"{kind}-limit"}
    limit = {"timeInForce": "GTC", "quantity": "0.01", "price": "0.5"}
    tell(
        "binance-connector",
        {
            "limit": lambda: client.new_order(one, "BUY", "LIMIT", newClientOrderId=f"{kind}-limit", **limit),
            "query": lambda: client.get_order(one, **named),
            "open orders": lambda: client.get_open_orders(one),
            "cancel": lambda: client.cancel_order(one, **named),
            "market": lambda: client.new_order(
                one, "BUY", "MARKET", quantity="0.01", newClientOrderId=f"{kind}-market"
            ),
            "test": lambda: client.new_order_test(one, "BUY", "LIMIT", **limit),
            "replaced": lambda: client.new_order(one, "BUY", "LIMIT", newClientOrderId=f"{kind}-old", **limit),
            "cancel and replace": lambda: client.cancel_and_replace(
                one,
                "BUY",
                "LIMIT",
                "STOP_ON_FAILURE",
                cancelOrigClientOrderId=f"{kind}-old",
                cancelNewClientOrderId=f"{kind}-gone",
                newClientOrderId=f"{kind}-new",
                **limit,
            ),
            "cancel all": lambda: client.cancel_open_orders(one),
            "account": client.account,
            "my trades": lambda: client.my_trades(one),
            "all orders": lambda: client.get_orders(one),
            "order limits": client.get_order_rate_limit,
            "coins": client.coin_info,
            "fees": client.trade_fee,
            "refused: no such order": lambda: client.cancel_order(one, orderId=1),
            "refused: no money": lambda: client.new_order(one, "BUY", "LIMIT", **{**limit, "quantity": "9000000"}),
        },
        manner=kind,
    )


if __name__ == "__main__":
    for kind, (name, secret) in keys().items():
        key = {("api_secret" if kind == "HMAC" else "private_key"): secret}
        main(Spot(name, base_url=base_url(), **key), kind)
