"""nautilus_trader with a key of each kind: instruments with commissions, and orders by its account API."""

from __future__ import annotations

import asyncio
from typing import Any

from nautilus_trader.adapters.binance.common.enums import (
    BinanceAccountType,
    BinanceKeyType,
    BinanceOrderSide,
    BinanceOrderType,
    BinanceTimeInForce,
)
from nautilus_trader.adapters.binance.config import BinanceExecClientConfig
from nautilus_trader.adapters.binance.factories import get_cached_binance_http_client
from nautilus_trader.adapters.binance.futures.http.account import BinanceFuturesAccountHttpAPI
from nautilus_trader.adapters.binance.futures.providers import BinanceFuturesInstrumentProvider
from nautilus_trader.adapters.binance.spot.http.account import BinanceSpotAccountHttpAPI
from nautilus_trader.adapters.binance.spot.providers import BinanceSpotInstrumentProvider
from nautilus_trader.common.component import LiveClock
from nautilus_trader.model.identifiers import InstrumentId

from tests.clients.programs.nautilus_spot import shown
from tests.clients.programs.telling import base_url, keys, tell_async

SPOT, FUTURES = BinanceAccountType.SPOT, BinanceAccountType.USDT_FUTURES
ONE = "BTCUSDT"
LIMIT = {
    "side": BinanceOrderSide.BUY,
    "order_type": BinanceOrderType.LIMIT,
    "time_in_force": BinanceTimeInForce.GTC,
    "quantity": "0.01",
    "price": "0.5",
}
MARKET = {"side": BinanceOrderSide.BUY, "order_type": BinanceOrderType.MARKET, "quantity": "0.01"}


async def main() -> None:
    """Only the base URL is another."""
    clock = LiveClock()
    for kind, (name, secret) in keys().items():
        config = BinanceExecClientConfig(base_url_http=base_url(), api_key=name)

        def made(account_type: BinanceAccountType, config: Any = config, secret: str = secret, kind: str = kind) -> Any:
            own = bare(secret) if kind == "ED25519" else secret
            return get_cached_binance_http_client(
                clock, account_type, config.api_key, own, BinanceKeyType[kind], config.base_url_http
            )

        await tell_async("nautilus_trader", calls(clock, made, kind), manner=kind)


def bare(pem: str) -> str:
    """The key without the lines around it."""
    return "".join(line for line in pem.splitlines() if "PRIVATE KEY" not in line)


def calls(clock: Any, made: Any, kind: str) -> dict[str, Any]:
    """Of spot and of the USD-M futures."""
    spot = BinanceSpotAccountHttpAPI(made(SPOT), clock, account_type=SPOT)
    usd = BinanceFuturesAccountHttpAPI(made(FUTURES), clock, account_type=FUTURES)
    named = {"orig_client_order_id": f"{kind}-limit"}

    async def instruments(provider: Any) -> Any:
        await provider.load_ids_async([InstrumentId.from_str(f"{ONE}{provider_suffix(provider)}.BINANCE")])
        return shown(provider)

    return {
        "instruments": lambda: instruments(BinanceSpotInstrumentProvider(made(SPOT), clock, account_type=SPOT)),
        "usd instruments": lambda: instruments(
            BinanceFuturesInstrumentProvider(made(FUTURES), clock, account_type=FUTURES)
        ),
        "limit": lambda: spot.new_order(ONE, new_client_order_id=f"{kind}-limit", **LIMIT),
        "query": lambda: spot.query_order(ONE, **named),
        "open orders": lambda: spot.query_open_orders(ONE),
        "cancel": lambda: spot.cancel_order(ONE, **named),
        "market": lambda: spot.new_order(ONE, new_client_order_id=f"{kind}-market", **MARKET),
        "account": spot.query_spot_account_info,
        "my trades": lambda: spot.query_user_trades(ONE),
        "usd limit": lambda: usd.new_order(ONE, new_client_order_id=f"{kind}-limit", **LIMIT),
        "usd query": lambda: usd.query_order(ONE, **named),
        "usd open orders": lambda: usd.query_open_orders(ONE),
        "usd cancel": lambda: usd.cancel_order(ONE, **named),
        "usd account": usd.query_futures_account_info,
        "refused: no such order": lambda: spot.cancel_order(ONE, order_id=1),
    }


def provider_suffix(provider: Any) -> str:
    """Perpetual contracts have a name of their own there."""
    return "-PERP" if isinstance(provider, BinanceFuturesInstrumentProvider) else ""


if __name__ == "__main__":
    asyncio.run(main())
