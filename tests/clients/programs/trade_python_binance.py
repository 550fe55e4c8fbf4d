"""python-binance trades, blocking and then asynchronous, with a key of each kind. It deletes with a body."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from binance.async_client import AsyncClient
from binance.client import Client

from tests.clients.programs.python_binance import aim
from tests.clients.programs.telling import base_url, keys, tell, tell_async


def aim_signed(client: Any) -> None:
    """Before the constructor is called, as for market data; wallets and margin are another API."""
    aim(client)
    client.MARGIN_API_URL = f"{base_url()}/sapi"


def arguments(kind: str) -> dict[str, str]:
    """Of the constructor."""
    name, secret = keys()[kind]
    return {"api_key": name, ("api_secret" if kind == "HMAC" else "private_key"): secret}


def calls(client: Any, name: str, *, whole: bool) -> Mapping[str, Callable[[], Any]]:
    """The same for both: only one of them has to be awaited. Keys that are not HMAC's trade on spot alone."""
    one, bought = {"symbol": "BTCUSDT"}, {"side": "BUY", "quantity": "0.01"}
    limit = {"type": "LIMIT", "timeInForce": "GTC", "price": "0.5", **bought}
    market = {"type": "MARKET", **bought}
    own = {"newClientOrderId": f"{name}-limit", **one}
    named = {"origClientOrderId": f"{name}-limit", **one}
    made = {
        "limit": lambda: client.create_order(**limit, **own),
        "query": lambda: client.get_order(**named),
        "open orders": lambda: client.get_open_orders(**one),
        "all open orders": client.get_open_orders,
        "cancel": lambda: client.cancel_order(**named),
        "market": lambda: client.create_order(**market, **one, newClientOrderId=f"{name}-market"),
        "test": lambda: client.create_test_order(**limit, **own),
        "account": client.get_account,
        "balance": lambda: client.get_asset_balance("BTC"),
        "my trades": lambda: client.get_my_trades(**one),
        "all orders": lambda: client.get_all_orders(**one),
        "refused: no such order": lambda: client.cancel_order(orderId=1, **one),
        "refused: no money": lambda: client.create_order(**{**limit, "quantity": "9000000"}, **own),
    }
    if not whole:
        return made
    perpetual = {"symbol": "BTCUSD_PERP"}
    return made | {
        "dust": client.get_account_api_trading_status,
        "coins": client.get_all_coins_info,
        "futures limit": lambda: client.futures_create_order(**limit, **own),
        "futures query": lambda: client.futures_get_order(**named),
        "futures open orders": lambda: client.futures_get_open_orders(**one),
        "futures cancel": lambda: client.futures_cancel_order(**named),
        "futures market": lambda: client.futures_create_order(**market, **one, newClientOrderId=f"{name}-fut"),
        "futures account": client.futures_account,
        "futures balance": client.futures_account_balance,
        "futures leverage": lambda: client.futures_change_leverage(leverage=5, **one),
        "futures cancel all": lambda: client.futures_cancel_all_open_orders(**one),
        "futures listen key": client.futures_stream_get_listen_key,
        "coin limit": lambda: client.futures_coin_create_order(
            **{**limit, "quantity": "1"}, newClientOrderId=f"{name}-coin", **perpetual
        ),
        "coin open orders": lambda: client.futures_coin_get_open_orders(**perpetual),
        "coin cancel": lambda: client.futures_coin_cancel_order(origClientOrderId=f"{name}-coin", **perpetual),
        "coin account": client.futures_coin_account,
    }


async def main_async() -> None:
    """The asynchronous client, on aiohttp."""
    aim_signed(AsyncClient)
    for kind in keys():
        client = await AsyncClient.create(**arguments(kind))
        client.timestamp_offset = 0  # it has measured its clock by the stand-in's, which stands still
        try:
            made = calls(client, f"{kind}-async", whole=kind == "HMAC")
            await tell_async("python-binance", made, manner=f"async {kind}")
        finally:
            await client.close_connection()


def main() -> None:
    """The blocking client, on requests."""
    aim_signed(Client)
    for kind in keys():
        made = calls(Client(**arguments(kind)), f"{kind}-sync", whole=kind == "HMAC")
        tell("python-binance", made, manner=f"sync {kind}")


if __name__ == "__main__":
    main()
    asyncio.run(main_async())
