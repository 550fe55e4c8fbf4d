"""ccxt trades, asynchronous, on aiohttp, with a key of each kind."""

from __future__ import annotations

import asyncio

import ccxt.async_support

from tests.clients.programs.telling import base_url, keys, tell_async
from tests.clients.programs.trade_ccxt_calls import calls, signed_options


async def main() -> None:
    """Only the base URLs are others."""
    for kind in keys():
        client = ccxt.async_support.binance(signed_options(base_url(), kind))
        try:
            await tell_async("ccxt", calls(client, kind), manner=f"async {kind}")
        finally:
            await client.close()


if __name__ == "__main__":
    asyncio.run(main())
