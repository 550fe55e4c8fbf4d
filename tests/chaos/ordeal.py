"""One ordeal: gateways under a constant load of hits, a Redis that gets into trouble, and what came of it.

Owns: the load, the watching, the numbers. Must not know: how a trouble is made.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientError

from tests.chaos.fleet import Gateway, fleet
from tests.chaos.troubles import Seen, Trouble, patient
from tests.gateway.harness import INFO, Client, client
from tests.simulator import Simulator

RULES = "/api/v3/executionRules?symbol="
HITS = (INFO, f"{INFO}?symbol=BTCUSDT", f"{INFO}?permissions=MARGIN", f"{RULES}BTCUSDT")
"""The full document, two parts of it, and an entry of its own."""
NEW = ("ETHUSDT", "SNTETH", "BNTETH", "GASBTC", "OAXETH", "DNTETH")
"""Entries that nobody has: one is shared at the first try, unless the machine is so busy that Redis seems slow."""
Fleet = Callable[..., AbstractAsyncContextManager[Sequence[Gateway]]]
REFRESH_WEIGHT = 22
"""Of the document and the entry."""
RECOVERY_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_SHORT_LOOK_SECONDS = 0.75
"""A page of metrics costs milliseconds, and the gateways of a short ordeal share one core."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How an ordeal goes."""

    trouble: Trouble
    replicas: int = 3
    seconds: float = 10.0
    """How long the trouble lasts, at least."""
    patience_seconds: float = 0.0
    """How much longer it lasts, at most, until all replicas have noticed."""
    redis_seconds: float = 0.25
    """The replicas' deadline of one Redis operation."""
    hits_a_second: float = 60.0
    """On each replica."""
    is_short: bool = False
    """A short ordeal is forgiven what each replica spends in every lifetime that it takes: on a busy machine these are
    several, and a refresh may be under way when the counters are read."""

    @property
    def look_seconds(self) -> float:
        """The pause between two looks at the metrics."""
        return _SHORT_LOOK_SECONDS if self.is_short else _LOOK_SECONDS

    @property
    def fresh_seconds(self) -> float:
        """So that a refresh falls due in the midst of the trouble."""
        return 1.5 * self.seconds

    @property
    def lead_seconds(self) -> float:
        """How old the entries are when it begins."""
        return 0.6 * self.fresh_seconds


@dataclass(slots=True)
class Load:
    """What the clients saw."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What the metrics of all replicas said at a moment."""

    up: tuple[float, ...]
    errors: float
    spent: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an ordeal."""

    plan: Plan
    load: Load
    weight: int
    """Spent from the beginning of the trouble until all replicas had Redis again."""
    lifetimes: int
    """How many times the entries had to be refreshed meanwhile, at most."""
    seen_down: int
    """How many replicas said that Redis is not up during the trouble."""
    errors: float
    """Failed Redis operations of all replicas, as they count them, during the trouble."""
    told_weight: float
    """`weight`, by the replicas' own metrics."""
    recovered_seconds: float
    """From the end of the trouble until all replicas said that Redis is up; infinite: never."""
    shares_again: bool
    """Whether afterwards a new entry is asked for once, for all."""

    @property
    def normal_weight(self) -> int:
        """What is spent in as long a time without any trouble."""
        return REFRESH_WEIGHT * self.lifetimes

    @property
    def extra_weight(self) -> int:
        """Spent on top of normal."""
        return max(0, self.weight - self.normal_weight)

    @property
    def most_extra_weight(self) -> int:
        """One refresh a replica; in several lifetimes what is spent when each replica refreshes for itself."""
        for_itself = self.lifetimes * (self.plan.replicas - 1)
        return REFRESH_WEIGHT * max(for_itself, self.plan.replicas * (1 + self.lifetimes * self.plan.is_short))

    @property
    def is_told_right(self) -> bool:
        """Whether the metrics tell what the origin counted."""
        return abs(self.told_weight - self.weight) <= REFRESH_WEIGHT * self.plan.replicas * self.plan.is_short


@dataclass(slots=True)
class Ordeal:
    """The running parts."""

    plan: Plan
    origin: Simulator
    replicas: Sequence[Gateway]
    asking: Client
    load: Load = field(default_factory=Load)

    async def warm(self) -> None:
        """Every replica holds what will be asked for."""
        for one in self.replicas:
            for target in HITS:
                answer = await self.asking.ask(target, url=one.url)
                assert answer.status == 200, (answer.status, answer.body[:200])

    @asynccontextmanager
    async def loaded(self) -> AsyncIterator[None]:
        """A constant load on every replica."""
        tasks = [asyncio.create_task(self._ask_on(one)) for one in self.replicas]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_on(self, one: Gateway) -> None:
        pause_seconds = 1 / self.plan.hits_a_second
        for target in itertools.cycle(HITS):
            started = time.perf_counter()
            await self._ask(one, target)
            seconds = time.perf_counter() - started
            self.load.slowest_seconds = max(self.load.slowest_seconds, seconds)
            await asyncio.sleep(max(0.0, pause_seconds - seconds))

    async def _ask(self, one: Gateway, target: str) -> None:
        try:
            answer = await self.asking.ask(target, url=one.url, Accept_Encoding="gzip")
        except (ClientError, TimeoutError) as error:
            self.load.failed.append(repr(error))
            return
        if answer.status == 200 and "; hit;" in answer.cache_status:
            self.load.answered += 1
        else:
            self.load.failed.append(f"{target}: {answer.status} {answer.headers.get('cache-status')}")

    async def look(self) -> Sight:
        """At the metrics."""
        pages = await asyncio.gather(*(one.series() for one in self.replicas))
        return Sight(
            up=tuple(page.sum("redis_up") for page in pages),
            errors=sum(page.sum("redis_errors_total") for page in pages),
            spent=sum(page.sum("weight_spent_total") for page in pages),
        )

    async def watch(self) -> tuple[int, float]:
        """Until the trouble ends: how many replicas ever said that Redis is not up, and the errors at the end."""
        down: set[int] = set()
        until = time.monotonic() + self.plan.seconds
        at_the_latest = until + self.plan.patience_seconds
        while True:
            sight = await self.look()
            down |= {i for i, up in enumerate(sight.up) if not up}
            is_noticed = len(down) == len(self.replicas) or self.plan.trouble.seen not in (Seen.AWAY, Seen.REFUSING)
            if time.monotonic() >= (until if is_noticed else at_the_latest):
                return len(down), sight.errors
            await asyncio.sleep(self.plan.look_seconds)

    async def recovery(self) -> float:
        """How long until all replicas say that Redis is up."""
        started = time.monotonic()
        while time.monotonic() - started < RECOVERY_SECONDS:
            if all((await self.look()).up):
                return time.monotonic() - started
            await asyncio.sleep(self.plan.look_seconds)
        return math.inf

    async def shares(self) -> bool:
        """Whether an entry that nobody has is asked for once."""
        return any([await self._shares(symbol) for symbol in NEW[: len(NEW) if self.plan.is_short else 1]])

    async def _shares(self, symbol: str) -> bool:
        for one in self.replicas:
            answer = await self.asking.ask(f"{RULES}{symbol}", url=one.url)
            assert answer.status == 200
        return sum(seen.raw_query == f"symbol={symbol}" for seen in self.origin.requests) == 1


async def undergo(plan: Plan, *, start: Fleet = fleet) -> Outcome:
    """Go through it with the gateways that `start` starts. Leaves nothing behind."""
    async with patient(plan.trouble, plan.seconds + plan.patience_seconds / 4) as redis, Simulator() as origin:
        if plan.trouble.is_from_start:
            await redis.begin()
        async with (
            start(plan.replicas, origin.url, redis.url, **_settings(plan)) as replicas,
            client(replicas[0].url) as asking,
        ):
            ordeal = Ordeal(plan, origin, replicas, asking)
            await ordeal.warm()
            async with ordeal.loaded():
                await asyncio.sleep(plan.lead_seconds)
                before, spent, began = await ordeal.look(), origin.weight_spent, time.monotonic()
                if not plan.trouble.is_from_start:
                    await redis.begin()
                down, errors = await ordeal.watch()
                await redis.end()
                recovered = await ordeal.recovery()
                weight, after, ended = origin.weight_spent - spent, await ordeal.look(), time.monotonic()
                shares_again = await ordeal.shares()
    return Outcome(
        plan=plan,
        load=ordeal.load,
        weight=weight,
        lifetimes=math.ceil((ended - began) / (0.75 * plan.fresh_seconds)),
        seen_down=down,
        errors=errors - before.errors * (not plan.trouble.is_from_start),
        told_weight=after.spent - before.spent,
        recovered_seconds=recovered,
        shares_again=shares_again,
    )


def _settings(plan: Plan) -> dict[str, str]:
    return {
        "fresh_seconds": str(plan.fresh_seconds),
        "stale_while_revalidate_seconds": "3600" if plan.is_short else str(5 * plan.fresh_seconds),
        "upstream_seconds": "60",
        "keep_warm": "demand",
        "redis_seconds": str(plan.redis_seconds),
    }
