"""nautilus_trader: the instrument provider of spot, and candles through its market API.

It is told that the venue is a test net: it then asks for no commissions, which are signed calls.
"""

from __future__ import annotations

import asyncio
from typing import Any

from nautilus_trader.adapters.binance.common.enums import BinanceAccountType, BinanceKlineInterval
from nautilus_trader.adapters.binance.config import BinanceDataClientConfig
from nautilus_trader.adapters.binance.factories import get_cached_binance_http_client
from nautilus_trader.adapters.binance.spot.http.market import BinanceSpotMarketHttpAPI
from nautilus_trader.adapters.binance.spot.providers import BinanceSpotInstrumentProvider
from nautilus_trader.common.component import LiveClock
from nautilus_trader.model.identifiers import InstrumentId

from tests.clients.programs.telling import END_MS, START_MS, UNKNOWN, base_url, tell_async

SPOT = BinanceAccountType.SPOT
MOVING = ("ts_event", "ts_init")


async def main() -> None:
    """Only the base URL is another."""
    clock = LiveClock()
    config = BinanceDataClientConfig(base_url_http=base_url(), testnet=True)
    client = get_cached_binance_http_client(
        clock, SPOT, "key", "secret", base_url=config.base_url_http, is_testnet=config.testnet
    )
    market = BinanceSpotMarketHttpAPI(client, account_type=SPOT)

    def provider() -> Any:
        return BinanceSpotInstrumentProvider(client, clock, account_type=SPOT, is_testnet=True)

    async def load_all() -> Any:
        made = provider()
        await made.load_all_async()
        return shown(made)

    async def load_two() -> Any:
        made = provider()
        await made.load_ids_async([InstrumentId.from_str(f"{name}.BINANCE") for name in ("BTCUSDT", "ETHUSDT")])
        return shown(made)

    async def klines() -> Any:
        interval = BinanceKlineInterval.MINUTE_1
        rows = await market.query_klines("BTCUSDT", interval, limit=60, start_time=START_MS, end_time=END_MS)
        return [str(row) for row in rows]

    await tell_async(
        "nautilus_trader",
        {
            "ping": market.ping,
            "load_all_async": load_all,
            "load_ids_async": load_two,
            "klines": klines,
            "trades": lambda: market.query_trades("BTCUSDT", limit=20),
            "aggregate trades": lambda: market.query_agg_trades("BTCUSDT", start_time=START_MS, limit=20),
            UNKNOWN: lambda: market.query_trades("NOSUCH", limit=20),
        },
    )


def shown(provider: Any) -> dict[str, Any]:
    """The instruments without the time at which they were made."""
    rows = {str(each.id): each.to_dict(each) for each in provider.list_all()}
    if not rows:
        raise LookupError("no instruments")
    return {name: {key: value for key, value in row.items() if key not in MOVING} for name, row in rows.items()}


if __name__ == "__main__":
    asyncio.run(main())
