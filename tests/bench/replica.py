"""A gateway of a simulated fleet: what it asks, keeps and waits for.

Owns: the order of a replica's acts, as in `proxy/cache/refresher.py`, `cache/fill.py` and `quota/shared.py`. The
decisions are the real ones: refresh schedule, freshness, budget, client share and unsynced usage. Must not know:
sockets, asyncio, the wall clock, how many replicas there are.
"""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from proxy.cache.fill_lock import PollSchedule
from proxy.cache.refresher import TICK_SECONDS
from proxy.core.cache.freshness import Freshness, decide
from proxy.core.cache.refresh_schedule import RefreshDecision, RefreshState, decide_refresh
from proxy.core.messages import Entry, Lifetimes
from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Blocked, Budget, Refused, Reservation, UsageReport, first_refusal, reported_usage
from proxy.core.quota.charges import Charge, WindowKey, WindowUsage, charges_of, cost_of
from proxy.core.quota.replicas import refuse_without_redis
from proxy.core.quota.unsynced_usage import Total, UnsyncedUsage
from proxy.core.quota.view import Ratios
from proxy.core.quota.windows import DEFAULT_WINDOWS, GUARD_SECONDS
from proxy.errors import RedisAway
from tests.bench.virtual import MINUTE_SECONDS, Origin, Process, Redis, World

RATIOS = Ratios()
LIFETIMES = Lifetimes(fresh_seconds=60.0, stale_while_revalidate_seconds=60.0, stale_if_error_seconds=86_400.0)


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
        self._known = Budget()
        self._unsynced = UnsyncedUsage()
        self._document: Entry | None = None
        self._pace = PollSchedule(chance=fleet.world.chance.random)

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
        with suppress(RedisAway):
            yield from self._redis.call("put", lambda: self._redis.keep(entry))
        return None

    def _ask(self, kind: str, weight: int, *, background: bool) -> Process[Reservation | Refused | Blocked]:
        """Reserve, send, reconcile: the ledger in Redis with its local memory, or alone."""
        outcome = yield from self._reserve(weight, background=background)
        if not isinstance(outcome, Reservation):
            self._fleet.refusals[kind] += 1
            return outcome
        told = yield from self._fleet.origin.ask(kind, weight, self._world.chance.uniform(0.02, 0.3))
        yield from self._reconcile(outcome, UsageReport(told.answered_at, {MINUTE_SECONDS: told.used_weight}, told.ok))
        return outcome if told.ok else (yield from self._back_off())

    def _reserve(self, weight: int, *, background: bool) -> Process[Reservation | Refused | Blocked]:
        ratio = RATIOS.of(background=background, local=False)
        try:
            yield from self._merge_unsynced()
            if self._is_hopeless(weight, ratio):
                return self._reserve_in(self._known, weight, ratio)
            outcome = yield from self._redis.call(
                "reserve", lambda: self._reserve_in(self._redis.budget, weight, ratio)
            )
        except RedisAway:
            outcome = self._reserve_alone(weight, background=background)
            if isinstance(outcome, Reservation):
                self._unsynced.charge(outcome.charges)
                outcome = replace(outcome, local=True)
            return outcome
        self._learn([charge.window_key for charge in self._charges(weight)])
        return outcome

    def _reserve_alone(self, weight: int, *, background: bool) -> Reservation | Refused | Blocked:
        refused = refuse_without_redis(
            self._charges(weight),
            used=lambda window_key: self._known.usage(window_key).used,
            unsynced=lambda window_key: self._unsynced.unmerged(window_key).used,
            replicas=self._fleet.replicas,
            ratio=RATIOS.of(background=background, local=False),
            guard_seconds=GUARD_SECONDS,
        )
        return refused or self._reserve_in(self._known, weight, RATIOS.of(background=background, local=True))

    def _is_hopeless(self, weight: int, ratio: float) -> bool:
        """Whether the usage last read from Redis refuses this already."""
        if self._known.block_at(self._world.now) is not None:
            return True
        refused = first_refusal(
            self._charges(weight),
            ratio=ratio,
            used=lambda window_key: self._known.usage(window_key).used,
            client_used=lambda _window_key, _client_share: 0,
            client_share=None,
            guard_seconds=GUARD_SECONDS,
        )
        return refused is not None

    def _reserve_in(self, budget: Budget, weight: int, ratio: float) -> Reservation | Refused | Blocked:
        return budget.reserve(self._world.now, cost_of(weight), DEFAULT_WINDOWS, ratio=ratio)

    def _charges(self, weight: int) -> tuple[Charge, ...]:
        return charges_of(self._world.now, cost_of(weight), DEFAULT_WINDOWS, guard_seconds=GUARD_SECONDS)

    def _reconcile(self, reservation: Reservation, answer: UsageReport) -> Process[None]:
        if reservation.local:
            self._unsynced.clear_pending(reservation.charges)
            self._known.release(reservation, now=self._world.now)
            reservation = replace(reservation, charges=())
        try:
            yield from self._merge_unsynced()
            shared = self._redis.budget
            settled = yield from self._redis.call(
                "reconcile", lambda: shared.reconcile(reservation, answer, now=self._world.now)
            )
            self._learn(settled.usages)
        except RedisAway:
            self._unsynced.record_headers(reported_usage(answer, self._world.now))
            self._known.reconcile(reservation, answer, now=self._world.now)

    def _merge_unsynced(self) -> Process[None]:
        """Give Redis what was counted alone."""
        totals = self._unsynced.unsynced(self._world.now)
        if totals:
            yield from self._redis.call("merge_unsynced", lambda: self._add(totals))
            self._unsynced.mark_merged(totals)

    def _add(self, totals: Mapping[WindowKey, Total]) -> None:
        """As `lua/merge_unsynced.lua` does; here no answer is ever lost."""
        for window_key, total in totals.items():
            missing, known = self._unsynced.unmerged(window_key), self._redis.budget.usage(window_key)
            pending = max(0, known.pending + missing.pending)
            used = max(known.used + missing.used, total.header + pending)
            self._redis.budget.adopt(window_key, WindowUsage(used, pending))

    def _back_off(self) -> Process[Blocked]:
        """The origin answered 429 without a Retry-After."""
        block = self._known.block(BlockReason.BACK_OFF, self._world.now, until=None)
        with suppress(RedisAway):
            shared, now = self._redis.budget, self._world.now
            yield from self._redis.call("block", lambda: shared.block(BlockReason.BACK_OFF, now, until=block.until))
        return Blocked(block.reason, block.until)

    def _learn(self, window_keys: Iterable[WindowKey]) -> None:
        for window_key in window_keys:
            self._known.adopt(window_key, self._redis.budget.usage(window_key))
        block = self._redis.budget.block_at(self._world.now)
        if block is not None:
            self._known.adopt_block(block)
        self._known.forget(self._world.now)


def _entry(now: float) -> Entry:
    return Entry(
        status=200, content_type="application/json", body=b"", gzip=None, etag="", stored_at=now, lifetimes=LIFETIMES
    )
