"""Gateways whose clocks are half a minute fast and half a minute slow: budget, bans and ages go by the origin's."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from proxy.app import Application, run_gateway
from proxy.quota.clock import OriginClock
from tests.gateway.harness import INFO, PATIENT, Answer, Client, age_block, client, settings
from tests.simulator import Fault, Simulator

SKEWS = (0.0, 30.0, -30.0)
DOUBT_SECONDS = 5
"""What a gateway may be off: a Date header tells whole seconds, and it travels slowly on a busy machine. A gateway that
went by its own clock would be off by thirty."""
FRESH_SECONDS = 60
TIME = "/api/v3/time"
BUDGET = 5400
BAN_SECONDS = 120
WEIGHT = 20


@dataclass(slots=True)
class Origins:
    """The origin's clock: this machine's, shifted."""

    shift_seconds: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.shift_seconds

    def monotonic(self) -> float:
        return time.monotonic() + self.shift_seconds

    def start_at(self, second: float) -> None:
        """Make it this second of a minute now."""
        self.shift_seconds = (second - time.time()) % 60

    async def push(self, seconds: float, redis_url: str) -> None:
        """Let so much time pass; also for Redis, whose own clock goes by no shift."""
        self.shift_seconds += seconds
        await age_block(redis_url, seconds)
        async with Redis.from_url(redis_url) as admin:
            await admin.incrbyfloat("binance-sidecar:{spot:default}:clock", seconds)


@asynccontextmanager
async def skewed(
    origin: Simulator, clock: Origins, skew: float, redis_url: str, **changed: object
) -> AsyncIterator[Application]:
    """A gateway whose machine's clock is `skew` seconds ahead of the origin's."""
    own = OriginClock(lambda: clock() + skew, monotonic=clock.monotonic)
    async with run_gateway(settings(origin, redis_url=redis_url, **changed), clock=own) as app:
        await app.refresher.started.wait()
        yield app


@asynccontextmanager
async def all_skewed(
    origin: Simulator, clock: Origins, redis_url: str, **changed: object
) -> AsyncIterator[list[Application]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(skewed(origin, clock, skew, redis_url, **changed)) for skew in SKEWS]


async def ask_all(asking: Client, apps: list[Application], target: str) -> list[Answer]:
    return await asyncio.gather(*(asking.ask(target, url=app.url) for app in apps))


@pytest.mark.parametrize("second", [15, 45])
async def test_the_budget_holds_though_nothing_is_known_of_the_clocks_at_first(redis_url: str, second: int) -> None:
    """At second 15 the slow clock is in another minute, at second 45 the fast one."""
    clock, alone = Origins(), {"snapshot": False, **PATIENT}
    async with Simulator(clock=clock) as origin, all_skewed(origin, clock, redis_url, **alone) as apps:
        clock.start_at(second)
        async with client(apps[0].url) as asking:
            targets = [f"{INFO}?symbol=NOSUCH{i}" for i in range(BUDGET // WEIGHT + 80)]
            answers = await asyncio.gather(
                *(asking.ask(target, url=apps[i % 3].url, X_Sidecar_Client=f"c{i}") for i, target in enumerate(targets))
            )
        weights: Counter[int] = Counter()
        for seen in origin.requests:
            weights[int(seen.at) // 60] += seen.weight
        assert max(weights.values()) <= BUDGET
        assert sum(weights.values()) > BUDGET / 2, "most of it was to be had"
        assert {answer.status for answer in answers} == {400, 429}
        assert origin.answers_429 == 0


class Ages:
    """Holds what clients are told of an entry against its age by the origin's clock, however long the test takes."""

    def __init__(self, clock: Origins) -> None:
        self._clock = clock
        self._filled_at = clock()

    def agree(self, answer: Answer) -> bool:
        """Whether a hit that was answered just now is as old as the entry."""
        left_seconds = FRESH_SECONDS - (self._clock() - self._filled_at)
        return abs(ttl(answer) - left_seconds) <= DOUBT_SECONDS

    async def agree_on_all(self, asking: Client, apps: list[Application]) -> bool:
        """Whether it is as old on all of these gateways; they are asked in turn."""
        return all([self.agree(await asking.ask(url=app.url)) for app in apps])


async def test_an_entry_is_as_old_on_every_replica_as_on_the_one_that_filled(redis_url: str) -> None:
    clock = Origins()
    async with Simulator(clock=clock) as origin, all_skewed(origin, clock, redis_url) as apps:
        async with client(apps[0].url) as asking:
            ages = Ages(clock)
            assert (await asking.ask(url=apps[1].url)).status == 200
            await known(apps)  # a slow clock that knows nothing takes the entry for one from the future
            for app in apps:
                assert (await asking.ask(url=app.url)).status == 200
            assert origin.count() == 1
            assert await ages.agree_on_all(asking, apps)
            async with skewed(origin, clock, -30.0, redis_url) as late, skewed(origin, clock, 30.0, redis_url) as later:
                assert await ages.agree_on_all(asking, [late, later]), "they never heard the origin itself"
            await known(apps)
            clock.shift_seconds += 20
            assert await ages.agree_on_all(asking, apps)
        assert origin.count() == 1


@pytest.mark.parametrize("store", ["redis", "memory"])
async def test_a_clock_that_is_set_right_makes_no_entry_young_again(redis_url: str, store: str) -> None:
    clock, offset_seconds = Origins(), 3600.0
    own = OriginClock(lambda: clock() + offset_seconds, monotonic=clock.monotonic)
    url = redis_url if store == "redis" else "memory:"
    async with (
        Simulator(clock=clock) as origin,
        run_gateway(settings(origin, redis_url=url), clock=own) as app,
        client(app.url) as asking,
    ):
        ages = Ages(clock)
        assert (await asking.ask()).status == 200
        await clock.push(20, redis_url)
        offset_seconds = 0.0
        async with asyncio.timeout(30):
            while not is_hit(answer := await asking.ask()) or not ages.agree(answer):
                if not is_hit(answer):  # until the clock is looked at again, the entry seems to be from the future
                    ages = Ages(clock)
                await asyncio.sleep(0.05)
        assert ages.agree(await asking.ask())
        assert origin.count() <= 2


async def known(apps: list[Application]) -> None:
    """Wait until every gateway knows the origin's clock: a heartbeat, at the most."""
    async with asyncio.timeout(30):
        while not all(app.clock.is_synchronized() for app in apps):  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0.05)


def is_hit(answer: Answer) -> bool:
    return "; hit;" in answer.cache_status


def ttl(answer: Answer) -> int:
    assert is_hit(answer)
    return int(answer.cache_status.partition("ttl=")[2].partition(";")[0])


async def test_a_ban_ends_on_time_also_for_those_that_started_within_it(redis_url: str) -> None:
    clock = Origins()
    async with Simulator(clock=clock) as origin, AsyncExitStack() as stack:
        first = await stack.enter_async_context(skewed(origin, clock, 30.0, redis_url))
        asking = await stack.enter_async_context(client(first.url))
        origin.set_fault(Fault.TEAPOT_418, times=1, retry_after=BAN_SECONDS)
        earliest = clock() + BAN_SECONDS
        assert (await asking.ask(TIME)).status == 418
        apps = [await stack.enter_async_context(skewed(origin, clock, skew, redis_url)) for skew in SKEWS]
        assert {answer.status for answer in await ask_all(asking, apps, TIME)} == {418}

        await clock.push(earliest - clock() - 2 * DOUBT_SECONDS, redis_url)
        assert {answer.status for answer in await ask_all(asking, apps, TIME)} == {418}
        await clock.push(earliest - clock() - 1, redis_url)
        latest = clock() + 1 + DOUBT_SECONDS
        lifted = await asyncio.gather(*(first_success(asking, clock, app) for app in apps))

        assert all(earliest - DOUBT_SECONDS <= at < latest + DOUBT_SECONDS for at in lifted), (earliest, lifted)
        assert origin.answers_418 == 1


async def first_success(asking: Client, clock: Origins, app: Application) -> float:
    async with asyncio.timeout(30):
        while (await asking.ask(TIME, url=app.url)).status != 200:  # noqa: ASYNC110 - that is how clients find out
            await asyncio.sleep(0.05)
    return clock()
