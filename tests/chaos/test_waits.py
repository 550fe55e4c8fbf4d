"""The six ways in which waiting for another replica's fill ends: what a client sees, and what the metrics count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from proxy.app import Application
from proxy.cache.shared import RedisFillLock, RedisStore
from proxy.core.cache.fill_wait import LockState, WaitEnd
from proxy.errors import RedisAway
from proxy.redis_client.connection import connect
from tests.gateway.harness import Answer, Clock, client, gateway
from tests.redis_client.fixtures import NullRedisObserver
from tests.redis_client.valkey import Valkey
from tests.server.twins import until
from tests.simulator import Simulator

KEY = "spot:exchangeInfo:all"
EXPIRES_MS = 1000
"""Longer than a waiter pauses between two looks, also on a busy machine: it must see that the lock will expire."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A gateway whose client waits, because another replica has the fill lock."""

    origin: Simulator
    app: Application
    store: RedisStore
    lock: RedisFillLock
    answer: asyncio.Task[Answer]

    def waits(self) -> dict[WaitEnd, float]:
        """How waits have ended."""
        counts = {end: _count(self.app, "fill_waits_total", end=end.value) for end in WaitEnd}
        return {end: count for end, count in counts.items() if count}


def _count(app: Application, name: str, **labels: str) -> float:
    return app.metrics.registry.get_sample_value(f"binance_sidecar_{name}", labels) or 0.0


@asynccontextmanager
async def scene(redis_url: str, **changed: float) -> AsyncIterator[Scene]:
    """The other replica asks nothing: it only holds the lock."""
    clock = Clock()
    connection = connect(redis_url, prefix="binance-sidecar", deadline_seconds=5.0, observer=NullRedisObserver())
    try:
        store = RedisStore(connection)
        lock = await store.acquire(KEY, ttl_seconds=60.0)
        assert lock is not None
        async with (
            Simulator(clock=clock) as origin,
            gateway(origin, clock, redis_url=redis_url, **changed) as app,
            client(app.url) as asking,
        ):
            before = _count(app, "redis_operations_total", operation="lock")
            answer = asyncio.create_task(asking.ask())
            await until(lambda: _count(app, "redis_operations_total", operation="lock") > before)  # it did not get it
            assert not answer.done()
            assert origin.count() == 0
            yield Scene(origin, app, store, lock, answer)
    finally:
        await connection.close()


async def test_filled_everybody_gets_the_one_answer(redis_url: str) -> None:
    async with scene(redis_url) as waiting:
        clock = Clock()
        async with gateway(waiting.origin, clock, redis_url=redis_url, redis_prefix="elsewhere") as other:
            async with client(other.url) as asking:
                filled = await asking.ask()
            held = other.local.document()
        assert held is not None
        await waiting.store.put(KEY, held)
        await waiting.lock.release(filled=True)

        answer = await waiting.answer

        assert (answer.status, answer.body) == (200, filled.body)
        assert answer.cache_status == "binance-sidecar; fwd=uri-miss; collapsed"
        assert waiting.origin.count() == 1
        assert waiting.waits() == {WaitEnd.FILLED: 1}


async def test_failed_nobody_asks_again_in_turn(redis_url: str) -> None:
    async with scene(redis_url) as waiting:
        await waiting.lock.release(filled=False)
        answer = await waiting.answer
        assert (answer.status, answer.json["code"]) == (502, -1001)
        assert waiting.origin.count() == 0
        assert waiting.waits() == {WaitEnd.FAILED: 1}


async def test_released_another_takes_over_at_once(redis_url: str) -> None:
    async with scene(redis_url) as waiting:
        await waiting.lock.release(filled=True)
        async with asyncio.timeout(30):
            answer = await waiting.answer
        assert (answer.status, waiting.origin.count()) == (200, 1)
        assert waiting.waits() == {WaitEnd.RELEASED: 1}


async def test_expired_another_takes_over_when_the_holder_died(redis_url: str) -> None:
    async with scene(redis_url) as waiting:
        async with Redis.from_url(redis_url) as admin:
            assert await admin.pexpire(f"binance-sidecar:lock:{KEY}", EXPIRES_MS)
        answer = await waiting.answer
        assert (answer.status, waiting.origin.count()) == (200, 1)
        assert waiting.waits() == {WaitEnd.EXPIRED: 1}


async def test_deadline_the_client_is_told_and_the_holder_left_alone(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.cache.build._GRACE_SECONDS", 0.5)
    async with scene(redis_url, upstream_connect_seconds=0.5, upstream_seconds=0.5) as waiting:
        answer = await waiting.answer
        assert (answer.status, answer.json["code"]) == (504, -1007)
        async with asyncio.timeout(30):
            while not waiting.waits():  # noqa: ASYNC110 - the client may give up a moment before the fill does
                await asyncio.sleep(0.01)
        assert waiting.waits() == {WaitEnd.DEADLINE: 1}
        assert (await waiting.store.lock_status(KEY)).state is LockState.HELD
        assert waiting.origin.count() == 0


async def test_redis_away_the_gateway_goes_on_alone() -> None:
    server = Valkey()
    try:
        async with scene(server.start().url) as waiting:
            server.kill()
            answer = await waiting.answer
            assert (answer.status, waiting.origin.count()) == (200, 1)
            assert waiting.waits() == {WaitEnd.REDIS_AWAY: 1}
            with pytest.raises(RedisAway):
                await waiting.lock.renew()
    finally:
        server.remove()
