"""ccxt, asynchronous, on aiohttp."""

from __future__ import annotations

import asyncio

import ccxt.async_support

from tests.clients.programs.ccxt_calls import calls, options
from tests.clients.programs.telling import base_url, tell_async


async def main() -> None:
    """Only the base URLs are others."""
    client = ccxt.async_support.binance(options(base_url()))
    try:
        await tell_async("ccxt", calls(client))
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
