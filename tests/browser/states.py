"""Five gateways, each in a state that the status page must show at the first glance.

Owns: how a gateway gets into each state. Must not know: what the page makes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from proxy.redis_client.embedded import EmbeddedValkey
from tests.gateway.harness import INFO, Stage, market
from tests.simulator import Fault

BAN_SECONDS = 2 * 3600
DEADLINE_SECONDS = 20.0
NAMES = ("grid-bot", "arbitrage", "<script>alert(1)</script>")
"""What clients call themselves. One tries what must not work."""


async def _traffic(on: Stage, depths: int) -> None:
    """An hour of three bots, at the end of which one of them loads deep books."""
    for name in NAMES:
        await on.ask(INFO, X_Sidecar_Client=name)
        await on.ask(f"{INFO}?symbol=BTCUSDT", X_Sidecar_Client=name)
        await on.ask("/fapi/v1/exchangeInfo", X_Sidecar_Client=name)
        await on.ask("/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=500", X_Sidecar_Client=name)
    on.origin.add_symbol("NEWUSDT")
    on.origin.set_status("ETHUSDT", "BREAK")
    on.clock.push(3600.0)
    await on.app.fills.refresh()
    for _ in range(depths):
        await on.ask("/api/v3/depth?symbol=BTCUSDT&limit=5000", X_Sidecar_Client="grid-bot")
    await _until(on, lambda status: bool(status["changes"]))


async def _until(on: Stage, holds: Callable[[Mapping[str, object]], bool]) -> None:
    """Wait for what the gateway notices by itself within a second or two."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not holds((await on.ask("/status")).json):  # noqa: ASYNC110 - the gateway tells of it nowhere else
            await asyncio.sleep(0.05)


@asynccontextmanager
async def healthy() -> AsyncIterator[Stage]:
    """All pools open, little used."""
    async with market(redis_url="embedded:") as on:
        await _traffic(on, 3)
        yield on


@asynccontextmanager
async def near_limit() -> AsyncIterator[Stage]:
    """More than four fifths of the budget of spot are used."""
    async with market(redis_url="embedded:", client_ratio=1.0) as on:
        await _traffic(on, 18)
        yield on


@asynccontextmanager
async def banned() -> AsyncIterator[Stage]:
    """Binance has answered 418 on spot. Without Redis, which would count the ban down by its own clock."""
    async with market() as on:
        await _traffic(on, 3)
        on.origin.set_fault(Fault.TEAPOT_418, retry_after=BAN_SECONDS)
        await on.ask("/api/v3/time")
        await _until(on, lambda status: bool(status["events"]))
        yield on


@asynccontextmanager
async def redis_away() -> AsyncIterator[Stage]:
    """Redis was there and is not any more."""
    redis = await EmbeddedValkey.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(redis.stop)
        on = await stack.enter_async_context(market(redis_url=redis.url, redis_seconds=0.25))
        await _traffic(on, 3)
        await redis.stop()
        await _until(on, lambda status: bool(status["events"]))
        yield on


@asynccontextmanager
async def just_started() -> AsyncIterator[Stage]:
    """Nothing was asked yet."""
    async with market() as on:
        yield on


STATES: Mapping[str, Callable[[], AbstractAsyncContextManager[Stage]]] = {
    "healthy": healthy,
    "near-limit": near_limit,
    "banned": banned,
    "redis-away": redis_away,
    "starting": just_started,
}
"""Each state by the word that `/status` has for it."""
