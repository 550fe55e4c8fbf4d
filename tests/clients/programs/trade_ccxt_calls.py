"""How ccxt trades, blocking or asynchronous: spot, USD-M and COIN-M behind one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.clients.programs.ccxt_calls import INVERSE, LINEAR, SPOT, options
from tests.clients.programs.telling import keys

CONTRACTS = {"linear": LINEAR, "inverse": INVERSE}


def signed_options(url: str, kind: str) -> dict[str, Any]:
    """The base URL of each API that signed calls go to. `fetchCurrencies` off: wallets are another API."""
    name, secret = keys()[kind]
    chosen = options(url)
    chosen["urls"]["api"] |= {
        "private": f"{url}/api/v3",
        "sapi": f"{url}/sapi/v1",
        "fapiPrivate": f"{url}/fapi/v1",
        "fapiPrivateV2": f"{url}/fapi/v2",
        "fapiPrivateV3": f"{url}/fapi/v3",
        "dapiPrivate": f"{url}/dapi/v1",
    }
    return {**chosen, "apiKey": name, "secret": secret}


def calls(client: Any, kind: str) -> Mapping[str, Callable[[], Any]]:
    """The same for both: only one of them has to be awaited. Keys that are not HMAC's trade on spot alone."""
    made = {"load_markets": client.load_markets, **_market(client, kind, "spot", SPOT, amount=0.01)}
    made |= {
        "test": lambda: client.create_order(
            SPOT, "limit", "buy", 0.01, 0.5, {"test": True, "newClientOrderId": f"{kind}-test"}
        ),
        "balance": client.fetch_balance,
        "my trades": lambda: client.fetch_my_trades(SPOT),
        "all orders": lambda: client.fetch_orders(SPOT),
        "fees": lambda: client.fetch_trading_fee(SPOT),
        "refused: no such order": lambda: client.cancel_order("1", SPOT),
        "refused: no money": lambda: client.create_order(
            SPOT, "limit", "buy", 9_000_000, 0.5, {"newClientOrderId": f"{kind}-big"}
        ),
    }
    if kind == "HMAC":
        for word, symbol in CONTRACTS.items():
            made |= _market(client, kind, word, symbol, amount=1)
            made[f"positions {word}"] = lambda symbol=symbol: client.fetch_positions([symbol])
            made[f"leverage {word}"] = lambda symbol=symbol: client.set_leverage(5, symbol)
            made[f"balance {word}"] = lambda word=word: client.fetch_balance({"type": word})
    return made


def _market(client: Any, kind: str, word: str, symbol: str, *, amount: float) -> dict[str, Callable[[], Any]]:
    limit, market = f"{kind}-{word}-limit", f"{kind}-{word}-market"
    named = {"origClientOrderId": limit}
    return {
        f"limit {word}": lambda: client.create_order(symbol, "limit", "buy", amount, 0.5, {"newClientOrderId": limit}),
        f"query {word}": lambda: client.fetch_order(None, symbol, named),
        f"open orders {word}": lambda: client.fetch_open_orders(symbol),
        f"cancel {word}": lambda: client.cancel_order(None, symbol, named),
        f"market {word}": lambda: client.create_order(
            symbol, "market", "buy", amount, None, {"newClientOrderId": market}
        ),
    }
