"""A gateway of a simulated fleet: what it asks, keeps and waits for.

Owns: the order of a replica's operations, as in `proxy/cache/refresher.py`, `cache/fill.py` and `quota/shared.py`; a
test compares both. The decisions are the real ones: refresh schedule, freshness, budget and the replica's view of it.
Must not know: sockets, asyncio, the wall clock, how many replicas there are.
"""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from proxy.cache.fill_lock import PollSchedule
from proxy.cache.refresher import TICK_SECONDS
from proxy.core.cache.freshness import Freshness, decide
from proxy.core.cache.refresh_schedule import EARLY, SPREAD, RefreshDecision, RefreshState, decide_refresh
from proxy.core.messages import Entry, Lifetimes
from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Blocked, Reservation
from proxy.core.quota.charges import WindowKey, WindowUsage, cost_of
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.refusal import Refused
from proxy.core.quota.replica_view import ReplicaView, Wanted
from proxy.core.quota.unsynced_usage import Total
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.windows import DEFAULT_WINDOWS, GUARD_SECONDS
from proxy.errors import RedisAway
from tests.bench.virtual import MINUTE_SECONDS, Origin, Process, Redis, World

RATIOS = Ratios()
LIFETIMES = Lifetimes(fresh_seconds=60.0, stale_while_revalidate_seconds=60.0, stale_if_error_seconds=86_400.0)
LEAST_DUE_SECONDS = LIFETIMES.fresh_seconds * (EARLY - SPREAD)
"""No document is refreshed sooner."""


@dataclass
class Fleet:
    """What all replicas share, and what an onlooker counts."""

    world: World
    redis: Redis
    origin: Origin
    replicas: int
    """As each has counted them in Redis."""
    refusals: Tally[str] = field(default_factory=Tally)
    asked: Tally[str] = field(default_factory=Tally)
    waits_seconds: list[float] = field(default_factory=list)
    seen: Tally[Freshness] = field(default_factory=Tally)
    """How clients would have found the document at each tick of each replica."""


class Replica:
    """One gateway."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self._world, self._redis = fleet, fleet.world, fleet.redis
        self._seen = ReplicaView()
        self._document: Entry | None = None
        self._schedule = PollSchedule(chance=fleet.world.chance.random)

    def live(self) -> Process[None]:
        """Decide twice a second whether to refresh, as the refresher does."""
        share, failures, failed_at, hold_until = self._world.chance.random(), 0, -math.inf, -math.inf
        while True:
            now = self._world.now
            state = RefreshState(
                stored_at=None if self._document is None else self._document.stored_at,
                fresh_seconds=LIFETIMES.fresh_seconds,
                wanted_at=now,
                failures=failures,
                failed_at=failed_at,
                hold_until=hold_until,
            )
            if decide_refresh(state, now, jitter=share) is RefreshDecision.NOW:
                share = self._world.chance.random()
                outcome = yield from self._refresh()
                failures, failed_at = (0, -math.inf) if outcome is None else (failures + 1, self._world.now)
                hold_until = outcome.until if isinstance(outcome, Refused | Blocked) else hold_until
            ticks = self._ticks_to_decision()
            self._fleet.seen[decide(self._document, self._world.now)] += ticks
            yield ticks * TICK_SECONDS

    def _ticks_to_decision(self) -> int:
        """After so many ticks there may be something to decide: a young document is fresh, and no refresh is due."""
        age_seconds = math.inf if self._document is None else self._document.age(self._world.now)
        return max(1, math.floor((LEAST_DUE_SECONDS - age_seconds) / TICK_SECONDS)) if age_seconds < math.inf else 1

    def clients(self, kind: str, weight: int, per_minute: float) -> Process[None]:
        """Uncacheable calls at random moments, each of which waits for nobody."""
        while True:
            yield self._world.chance.expovariate(per_minute / MINUTE_SECONDS)
            self._world.start(self._call(kind, weight))

    def _call(self, kind: str, weight: int) -> Process[None]:
        self._fleet.asked[kind] += 1
        yield from self._ask(kind, weight, purpose=Purpose.PUBLIC)

    def _refresh(self) -> Process[Refused | Blocked | None]:
        """Fill under the fill lock, or without it where Redis is away; why not, if so."""
        before = -math.inf if self._document is None else self._document.stored_at
        try:
            while not (yield from self._redis.call("lock", self._redis.acquire)):
                if (yield from self._wait(before)):
                    yield from self._load()
                    return None
            yield from self._load()
            fresh = decide(self._document, self._world.now) is Freshness.FRESH
            newer = self._document is not None and self._document.stored_at > before
            outcome = None if fresh and newer else (yield from self._fetch())
            yield from self._redis.call("unlock", self._redis.release)
        except RedisAway:
            outcome = yield from self._fetch()
        return outcome

    def _wait(self, newer_than: float) -> Process[bool]:
        """Poll until another replica's entry is there (True) or its lock is gone."""
        started, pause_seconds = self._world.now, self._schedule.first_seconds
        while True:
            locked = yield from self._redis.call("get", lambda: self._redis.lock_until > self._world.now)
            stored = yield from self._redis.call("get", lambda: self._redis.document)
            filled = stored is not None and stored.stored_at > newer_than
            if filled or not locked:
                self._fleet.waits_seconds.append(self._world.now - started)
                return filled
            yield pause_seconds * (0.5 + self._schedule.chance() / 2)
            pause_seconds = min(1.5 * pause_seconds, self._schedule.longest_seconds)

    def _load(self) -> Process[None]:
        stored = yield from self._redis.call("get", lambda: self._redis.document)
        if self._document is not None:  # the first look was for its age alone
            if stored is None or stored.stored_at <= self._document.stored_at:
                return
            stored = yield from self._redis.call("get", lambda: self._redis.document)
        self._document = stored or self._document

    def _fetch(self) -> Process[Refused | Blocked | None]:
        outcome = yield from self._ask("refresh", 20, purpose=Purpose.BACKGROUND)
        if not isinstance(outcome, Reservation):
            return outcome
        entry = _entry(self._world.now)
        self._document = entry
        with suppress(RedisAway):
            yield from self._redis.call("store", lambda: self._redis.keep(entry))
        return None

    def _ask(self, kind: str, weight: int, *, purpose: Purpose) -> Process[Reservation | Refused | Blocked]:
        """Reserve, send, reconcile: the ledger in Redis with its local memory, or alone."""
        outcome = yield from self._reserve(weight, purpose=purpose)
        if not isinstance(outcome, Reservation):
            self._fleet.refusals[kind] += 1
            return outcome
        told = yield from self._fleet.origin.ask(kind, weight, self._world.chance.uniform(0.02, 0.3))
        refused = None if told.ok else (yield from self._back_off())
        yield from self._reconcile(outcome, UsageReport(told.answered_at, {MINUTE_SECONDS: told.used_weight}, told.ok))
        return refused or outcome

    def _reserve(self, weight: int, *, purpose: Purpose) -> Process[Reservation | Refused | Blocked]:
        wanted = self._wanted(weight, purpose=purpose)
        refused = self._seen.refuse(wanted)
        try:
            yield from self._merge_unsynced()
            if refused is not None:
                return refused
            wanted = self._wanted(weight, purpose=purpose)
            outcome = yield from self._redis.call("reserve", lambda: self._reserve_shared(wanted))
        except RedisAway:
            wanted = self._wanted(weight, purpose=purpose)
            return refused or self._seen.reserve_alone(wanted, replicas=self._fleet.replicas)
        self._learn([charge.window_key for charge in wanted.charges()])
        return outcome

    def _wanted(self, weight: int, *, purpose: Purpose) -> Wanted:
        self._seen.forget(self._world.now)
        return Wanted(
            now=self._world.now,
            weight=weight,
            windows=DEFAULT_WINDOWS,
            ratios=RATIOS,
            purpose=purpose,
            guard_seconds=GUARD_SECONDS,
        )

    def _reserve_shared(self, wanted: Wanted) -> Reservation | Refused | Blocked:
        """As `lua/reserve.lua` does."""
        return self._redis.budget.reserve(wanted.now, cost_of(wanted.weight), wanted.windows, ratio=wanted.ratio)

    def _reconcile(self, reservation: Reservation, report: UsageReport) -> Process[None]:
        now = self._world.now
        rest = self._seen.settle_alone(reservation, now)
        try:
            yield from self._merge_unsynced()
            shared = self._redis.budget
            settled = yield from self._redis.call("reconcile", lambda: shared.reconcile(rest, report, now=now))
            self._learn(settled.usages)
        except RedisAway:
            self._seen.reconcile_alone(rest, report, now)

    def _merge_unsynced(self) -> Process[None]:
        """Send Redis the usage that it missed."""
        totals = self._seen.unsynced.to_merge(self._world.now)
        if totals:
            yield from self._redis.call("reconcile", lambda: self._add(totals))
            self._seen.unsynced.mark_merged(totals)

    def _add(self, totals: Mapping[WindowKey, Total]) -> None:
        """As `lua/merge_unsynced.lua` does; here no answer is ever lost."""
        for key, total in totals.items():
            missing, shared = self._seen.unsynced.lacking(key), self._redis.budget.usage(key)
            pending = max(0, shared.pending + missing.pending)
            used = max(shared.used + missing.used, total.header + pending)
            self._redis.budget.adopt(key, WindowUsage(used, pending))

    def _back_off(self) -> Process[Blocked]:
        """The origin answered 429 without a Retry-After."""
        now = self._world.now
        block = self._seen.budget.block(BlockReason.BACK_OFF, now, until=None)
        with suppress(RedisAway):
            yield from self._merge_unsynced()
            shared = self._redis.budget
            yield from self._redis.call("block", lambda: shared.block(BlockReason.BACK_OFF, now, until=block.until))
        return Blocked(block.reason, block.until)

    def _learn(self, keys: Iterable[WindowKey]) -> None:
        self._seen.adopt({key: self._redis.budget.usage(key) for key in keys})
        block = self._redis.budget.block_at(self._world.now)
        if block is not None:
            ours = self._seen.budget.block_at(self._world.now)
            self._seen.budget.adopt_block(block if ours is None or ours.until <= block.until else ours)


def _entry(now: float) -> Entry:
    return Entry(
        status=200, content_type="application/json", body=b"", gzip=None, etag="", stored_at=now, lifetimes=LIFETIMES
    )
