"""The command behind `make bench-fleet`: fleets of 1 to 1,000 replicas in virtual time, and how their cost grows.

Owns: what a simulated replica does, the loads, the table. The decisions are the real ones (`core/warming`, `freshness`,
`budget`, `share`, and the carry of the ledger in Redis); Redis, the origin and time are simulated (`virtual`). The same
seed gives the same figures. Must not know: asyncio, sockets, the wall clock.

Each replica has clients without end that hit its document: they cost nothing and are not simulated. What costs is the
refreshing of the document, TIME_PER_MINUTE uncacheable calls of weight 1 and UNKNOWN_PER_MINUTE of weight 20.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import quantiles

from proxy.core.block import BlockReason
from proxy.core.budget import (
    Answer,
    Blocked,
    Budget,
    Refused,
    Reservation,
    budget_of,
    charges_of,
    cost_of,
    told_counters,
)
from proxy.core.freshness import Decision, decide
from proxy.core.messages import Entry, Lifetimes
from proxy.core.share import obstacle
from proxy.core.warming import Due, Warmth, due
from proxy.core.windows import DEFAULT_WINDOWS, EDGE_SECONDS
from proxy.errors import RedisAway
from proxy.ledgers import Ratios
from proxy.ledgers.carry import Carry
from proxy.stores.fill_lock import Pace
from proxy.warmer import TICK_SECONDS
from tests.bench.virtual import LIMIT, MINUTE_SECONDS, Origin, Process, Redis, World

SIZES = (1, 10, 100, 1000)
TIME_PER_MINUTE = 4.0
UNKNOWN_PER_MINUTE = 0.1
RATIOS = Ratios()
BUDGET = budget_of(LIMIT, RATIOS.budget)
LIFETIMES = Lifetimes(fresh_seconds=60.0, stale_while_revalidate_seconds=60.0, stale_if_error_seconds=86_400.0)
SETTLING_SECONDS = 5
"""Before the first minute that counts: replicas start within this."""


@dataclass
class Fleet:
    """What all replicas share, and what an onlooker counts."""

    world: World
    redis: Redis
    origin: Origin
    refusals: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    waits_seconds: list[float] = field(default_factory=list)
    seen: Counter[Decision] = field(default_factory=Counter)
    """How clients found the document, once a second and replica."""


class Replica:
    """One gateway."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self._world, self._redis = fleet, fleet.world, fleet.redis
        self._known = Budget()
        self._carry = Carry()
        self._document: Entry | None = None
        self._pace = Pace(chance=fleet.world.chance.random)

    def live(self) -> Process[None]:
        """Decide twice a second whether to refresh, as the warmer does."""
        share, failures, failed_at, hold_until = self._world.chance.random(), 0, -math.inf, -math.inf
        while True:
            now = self._world.now
            warmth = Warmth(
                stored_at=None if self._document is None else self._document.stored_at,
                fresh_seconds=LIFETIMES.fresh_seconds,
                wanted_at=now,
                failures=failures,
                failed_at=failed_at,
                hold_until=hold_until,
            )
            if due(warmth, now, jitter=share) is Due.NOW:
                share = self._world.chance.random()
                outcome = yield from self._refresh()
                failures, failed_at = (0, -math.inf) if outcome is None else (failures + 1, self._world.now)
                hold_until = outcome.until if isinstance(outcome, Refused | Blocked) else hold_until
            self._fleet.seen[decide(self._document, self._world.now)] += 1
            yield TICK_SECONDS

    def clients(self, kind: str, weight: int, per_minute: float) -> Process[None]:
        """Uncacheable calls at random moments, each of which waits for nobody."""
        while True:
            yield self._world.chance.expovariate(per_minute / MINUTE_SECONDS)
            self._world.start(self._call(kind, weight))

    def _call(self, kind: str, weight: int) -> Process[None]:
        self._fleet.asked[kind] += 1
        yield from self._ask(kind, weight, background=False)

    def _refresh(self) -> Process[Refused | Blocked | None]:
        """Fill under the fill lock, or without it where Redis is away; why not, if so."""
        before = -math.inf if self._document is None else self._document.stored_at
        try:
            while not (yield from self._redis.call("lock", self._redis.acquire)):
                if (yield from self._wait(before)):
                    return (yield from self._load())
            yield from self._load()
            fresh = decide(self._document, self._world.now) is Decision.FRESH
            newer = self._document is not None and self._document.stored_at > before
            outcome = None if fresh and newer else (yield from self._fetch())
            yield from self._redis.call("unlock", self._redis.release)
        except RedisAway:
            outcome = yield from self._fetch()
        return outcome

    def _wait(self, newer_than: float) -> Process[bool]:
        """Poll until another replica's entry is there (True) or its lock is gone."""
        started, pause_seconds = self._world.now, self._pace.first_seconds
        while True:
            locked = yield from self._redis.call("poll", lambda: self._redis.lock_until > self._world.now)
            stored = yield from self._redis.call("poll", lambda: self._redis.document)
            filled = stored is not None and stored.stored_at > newer_than
            if filled or not locked:
                self._fleet.waits_seconds.append(self._world.now - started)
                return filled
            yield pause_seconds * (0.5 + self._pace.chance() / 2)
            pause_seconds = min(1.5 * pause_seconds, self._pace.longest_seconds)

    def _load(self) -> Process[None]:
        stored = yield from self._redis.call("get", lambda: self._redis.document)
        if stored is not None and (self._document is None or stored.stored_at > self._document.stored_at):
            self._document = yield from self._redis.call("get", lambda: stored)

    def _fetch(self) -> Process[Refused | Blocked | None]:
        outcome = yield from self._ask("refresh", 20, background=True)
        if not isinstance(outcome, Reservation):
            return outcome
        entry = _entry(self._world.now)
        self._document = entry
        try:
            yield from self._redis.call("put", lambda: self._redis.keep(entry))
        except RedisAway:
            pass
        return None

    def _ask(self, kind: str, weight: int, *, background: bool) -> Process[Reservation | Refused | Blocked]:
        """Reserve, send, reconcile: the ledger in Redis with its local memory, or alone."""
        outcome = yield from self._reserve(weight, background=background)
        if not isinstance(outcome, Reservation):
            self._fleet.refusals[kind] += 1
            return outcome
        told = yield from self._fleet.origin.ask(kind, weight, self._world.chance.uniform(0.02, 0.3))
        if not told.ok:
            outcome = yield from self._back_off()
        yield from self._reconcile(outcome, Answer(told.answered_at, {60: told.used_weight}, told.ok))
        return outcome
