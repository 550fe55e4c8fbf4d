"""Random lives of a fleet on one quota: what holds whatever happens, and what holds while Redis is there.

The origin is simulated and counts by true time. Three replicas share a real Valkey; each can crash and start again.

1. What the origin counted from us in a window is never more than what the ledgers know together: `used` in Redis, and
   what live replicas counted alone and Redis has not got yet. What nobody can know is only what a replica counted
   alone and took with it when it crashed, and what a Redis that lost its data had counted: no more than these.
2. While Redis keeps its data and every replica reaches it, the origin's count from us never passes the budget. Every
   replica on its own may add its local share once; a Redis that loses its data may add what it forgot. So N replicas on
   their own keep the budget by themselves only if N times SIDECAR_LOCAL_BUDGET_RATIO is no more than
   SIDECAR_BUDGET_RATIO: up to three by default.
3. Beyond that the origin's headers hold them back: who is alone sends only while all that the last answer told, by
   whomever it was spent, with all of its own that is unanswered and the new request, is within the local share. So
   once the origin has counted that share, each replica sends no more after its next answer.
4. After an answer Redis knows at least what the origin had counted when it answered, by whomever.

Without a loss the model, the ledger in memory and the three replicas in Redis give the same answers to the same steps.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from proxy.core.budget import BlockReason, CounterId, Reservation
from proxy.core.windows import EDGE_SECONDS, RateLimitKind, Window
from proxy.ledgers.memory import MemoryLedger
from proxy.ledgers.redis import RedisLedger
from proxy.ledgers.scripts import domain_key
from proxy.stores.connection import NullRedisObserver, connect
from tests.ledgers.doubles import RATIOS, Ledger, ManualClock, ModelLedger, SwitchedConnection, Tally, ask, headers

T = TypeVar("T")
WINDOWS = (Window(RateLimitKind.REQUEST_WEIGHT, 60, 100), Window(RateLimitKind.RAW_REQUESTS, 300, 60))
BUDGET, LOCAL_BUDGET = 90, 25
REPLICAS = 3

numbers = st.integers(0, 99)
replicas = st.integers(0, REPLICAS - 1)
domains = itertools.count()


def minute(counter_or_time: CounterId | float) -> int:
    """The start of the one-minute window."""
    at = counter_or_time.start if isinstance(counter_or_time, CounterId) else counter_or_time
    return math.floor(at / 60) * 60


def minutes(reservation: Reservation) -> list[tuple[int, int]]:
    """Start and weight of the charges in one-minute windows."""
    return [
        (charge.counter.start, charge.weight) for charge in reservation.charges if charge.counter.interval_seconds == 60
    ]


@dataclass(eq=False)
class Life:
    """A replica from a start to a crash: what it did, as an onlooker knows it."""

    ledger: RedisLedger
    switch: SwitchedConnection
    alone: Counter[int] = field(default_factory=Counter)
    """Reserved while Redis was away, by minute."""
    unanswered: Counter[int] = field(default_factory=Counter)
    told: Counter[int] = field(default_factory=Counter)
    """The most that an answer told it of a minute."""
    blocked_until: float = -math.inf

    @property
    def connected(self) -> bool:
        return not self.switch.away and not self.switch.loses_answers

    def missing(self, start: int) -> int:
        """What it counted alone and Redis has not got, as far as it knows."""
        return self.ledger._carry.missing(CounterId("REQUEST_WEIGHT:1m", 60, start)).used


@dataclass(eq=False)
class Request:
    """A reservation, here and in the two ledgers that go along, and what became of it."""

    life: Life
    reservation: Reservation
    weight: int
    along: tuple[Reservation, ...]
    counted_at: float = 0.0
    told: int = 0


class Fleet(RuleBasedStateMachine):
    """Replicas that crash and start again, on a Redis that is always there."""

    valkey_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.key = domain_key("stateful", "spot", str(next(domains)))
        self.connection = self.run(self._connect())
        self.clock = ManualClock()
        self.model = ModelLedger(self.clock, Tally(), WINDOWS)
        self.memory = MemoryLedger(clock=self.clock, ratios=RATIOS, windows=WINDOWS)
        self.along: tuple[Ledger, ...] = (self.model, self.memory)
        self.lives = [self.life() for _ in range(REPLICAS)]
        self.reserved: list[Request] = []
        self.under_way: list[Request] = []
        self.ours: Counter[int] = Counter()
        """What the origin counted from us, by minute."""
        self.all: Counter[int] = Counter()
        self.alone: Counter[int] = Counter()
        """What replicas reserved on their own."""
        self.gone: Counter[int] = Counter()
        """What crashed replicas took with them."""
        self.forgotten: Counter[int] = Counter()
        """What Redis lost."""
        self.intact = True

    def teardown(self) -> None:
        self.run(self.connection.close())
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def _connect(self) -> Any:
        return connect(self.valkey_url, prefix="t", deadline_seconds=10.0, observer=NullRedisObserver())

    def life(self) -> Life:
        switch = SwitchedConnection(self.connection)
        ledger = RedisLedger(switch, domain_key=self.key, clock=self.clock, ratios=RATIOS, windows=WINDOWS)
        return Life(ledger, switch)

    def in_redis(self, start: int, field: str = "used", window: str = "REQUEST_WEIGHT:1m") -> int:
        async def read() -> int:
            return int(await self.connection.client.hget(f"{self.key}:{window}:{start}", field) or 0)

        return self.run(read())

    @property
    def starts(self) -> list[int]:
        """The minutes of which anybody may still speak."""
        now = minute(self.clock.now)
        return [now - 60, now, now + 60]

    # What may happen.

    @rule(
        which=replicas,
        weight=st.integers(1, 30),
        background=st.booleans(),
        client=st.sampled_from([None, None, "bot", "other bot"]),
    )
    def reserve(self, which: int, weight: int, background: bool, client: str | None) -> None:
        life = self.lives[which]
        asked: dict[str, Any] = {"background": background, "client": None if background else client}
        outcome = self.run(ask(life.ledger, weight, **asked))
        along: list[Reservation] = []
        if self.intact:
            model, memory = (self.run(ask(ledger, weight, **asked)) for ledger in self.along)
            assert isinstance(outcome, Reservation) == isinstance(model, Reservation)
            if isinstance(model, Reservation) and isinstance(memory, Reservation) and isinstance(outcome, Reservation):
                assert outcome.charges == memory.charges == model.charges
                along = [model, memory]
            else:
                assert memory == model
        if not isinstance(outcome, Reservation):
            return
        assert self.clock.now >= life.blocked_until
        for start, _ in minutes(outcome):
            if outcome.local:
                self.alone[start] += weight
                life.alone[start] += weight
                assert life.alone[start] <= LOCAL_BUDGET
                assert life.told[start] + life.unanswered[start] + weight <= LOCAL_BUDGET
            life.unanswered[start] += weight
        self.reserved.append(Request(life, outcome, weight, tuple(along)))

    @precondition(lambda self: self.reserved)
    @rule(which=numbers, way_seconds=st.floats(0, 0.99))
    def send(self, which: int, way_seconds: float) -> None:
        """Unless it took too long to get there: then it is reserved again, which is another step."""
        request = self.reserved.pop(which % len(self.reserved))
        if not request.reservation.covers(self.clock.now, EDGE_SECONDS):
            self.release(request)
            return
        request.counted_at = self.clock.now + way_seconds
        start = minute(request.counted_at)
        self.ours[start] += request.weight
        self.all[start] += request.weight
        request.told = self.all[start]
        self.under_way.append(request)

    @precondition(lambda self: self.reserved)
    @rule(which=numbers)
    def find_no_connection(self, which: int) -> None:
        self.release(self.reserved.pop(which % len(self.reserved)))

    def release(self, request: Request) -> None:
        if request.life in self.lives:
            self.run(request.life.ledger.release(request.reservation))
            self._settled(request)
        if self.intact:
            for ledger, reservation in zip(self.along, request.along, strict=True):
                if request.life in self.lives:
                    self.run(ledger.release(reservation))

    def _settled(self, request: Request) -> None:
        for start, weight in minutes(request.reservation):
            request.life.unanswered[start] -= weight

    @precondition(lambda self: self.under_way)
    @rule(which=numbers, ok=st.booleans(), dated=st.booleans())
    def answer(self, which: int, ok: bool, dated: bool) -> None:
        request = self.under_way.pop(which % len(self.under_way))
        life = request.life
        if life not in self.lives:
            return
        self.clock.now = max(self.clock.now, request.counted_at)
        at = request.counted_at if dated or minute(request.counted_at) != minute(self.clock.now) else None
        told = headers(request.told, at=at)
        self.run(life.ledger.reconcile(request.reservation, told, ok=ok))
        start = minute(request.counted_at)
        self._settled(request)
        if self.clock.now < start + 60 + 120:
            life.told[start] = max(life.told[start], request.told)
            if life.connected:
                assert self.in_redis(start) >= request.told
        if self.intact:
            for ledger, reservation in zip(self.along, request.along, strict=True):
                self.run(ledger.reconcile(reservation, told, ok=ok))

    @precondition(lambda self: self.under_way)
    @rule(which=numbers)
    def lose_an_answer(self, which: int) -> None:
        self.under_way.pop(which % len(self.under_way))

    @precondition(lambda self: self.under_way)
    @rule(which=numbers, seconds=st.none() | st.integers(1, 40))
    def be_told_to_back_off(self, which: int, seconds: int | None) -> None:
        life = self.under_way[which % len(self.under_way)].life
        if life not in self.lives:
            return
        until = None if seconds is None else self.clock.now + seconds
        for ledger in (life.ledger, *(self.along if self.intact else ())):
            self.run(ledger.block(BlockReason.BACK_OFF, until))
        block = life.ledger.view().block
        assert block is not None
        assert block.until > (until or self.clock.now) - 0.0001
        life.blocked_until = max(life.blocked_until, block.until)

    @rule(which=replicas)
    def crash(self, which: int) -> None:
        life = self.lives[which]
        for start in {*life.alone}:
            self.gone[start] += life.missing(start)
        self.lives[which] = self.life()

    @rule(weight=st.integers(1, 40))
    def other_programs_spend(self, weight: int) -> None:
        self.all[minute(self.clock.now)] += weight

    @rule(seconds=st.sampled_from([0.25, 1.0, 5.0, 20.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    # What must be true.

    @invariant()
    def what_the_origin_counted_from_us_is_known(self) -> None:
        for start in self.starts:
            known = self.in_redis(start) + sum(life.missing(start) for life in self.lives)
            assert self.ours[start] <= known + self.gone[start] + self.forgotten[start]

    @invariant()
    def the_budget_holds(self) -> None:
        for start in self.starts:
            assert self.ours[start] <= BUDGET + self.alone[start] + self.forgotten[start]

    @invariant()
    def all_ledgers_count_alike(self) -> None:
        if not self.intact:
            return
        for window, own in zip(self.model.view().windows, self.memory.view().windows, strict=True):
            assert own == window
            interval_seconds = 60 if window.name == "REQUEST_WEIGHT:1m" else 300
            start = window.reset - interval_seconds
            assert self.in_redis(start, "used", window.name) == window.used
            assert self.in_redis(start, "pending", window.name) == window.pending


class Troubled(Fleet):
    """The same, with a Redis that goes, comes back, loses answers, and loses all it knew."""

    @rule(which=replicas, away=st.booleans(), loses_answers=st.booleans())
    def redis_is_away_for(self, which: int, away: bool, loses_answers: bool) -> None:
        self.lives[which].switch.away = away
        self.lives[which].switch.loses_answers = loses_answers
        self.intact = False

    @rule()
    def redis_is_back(self) -> None:
        for life in self.lives:
            life.switch.away = life.switch.loses_answers = False

    @rule()
    def redis_loses_all_it_knew(self) -> None:
        for start in self.starts:
            self.forgotten[start] += self.in_redis(start)
        self.run(self.connection.client.flushall())
        self.intact = False


def test_replicas_that_crash_keep_the_budget_and_count_as_the_model_does(valkey_url: str) -> None:
    machine = type("FleetOnValkey", (Fleet,), {"valkey_url": valkey_url})
    run_state_machine_as_test(machine, settings=settings(max_examples=80, stateful_step_count=50, deadline=None))


def test_whatever_happens_to_redis_no_more_is_spent_than_is_known(valkey_url: str) -> None:
    machine = type("TroubledOnValkey", (Troubled,), {"valkey_url": valkey_url})
    run_state_machine_as_test(machine, settings=settings(max_examples=80, stateful_step_count=50, deadline=None))
