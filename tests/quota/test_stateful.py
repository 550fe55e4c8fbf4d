"""Random lives of a fleet on one quota: what holds whatever happens, and what holds while Redis is there.

The origin is simulated and counts by true time. Three replicas share a real Valkey; each can crash and start again.

The origin takes the weight of some requests back when they succeed (orders).

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
4. After an answer, and after each reservation, Redis knows at least all that the origin ever told this replica of the
   window and did not take back, whoever spent it and whatever Redis lost meanwhile.

Without a loss the model, the ledger in memory and the three replicas in Redis give the same answers to the same steps.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.charges import WindowKey
from proxy.core.quota.client_share import Address
from proxy.core.quota.ratios import Purpose
from proxy.core.quota.windows import GUARD_SECONDS, RateLimitKind, Window
from proxy.quota.limits import FETCH_WEIGHT, KnownLimits
from proxy.quota.local import MemoryLedger
from proxy.quota.scripts import domain_key
from proxy.quota.shared import RedisLedger
from proxy.redis_client.connection import connect
from tests.quota.doubles import (
    RATIOS,
    Ageing,
    Ledger,
    ManualClock,
    ModelLedger,
    SwitchedConnection,
    Tally,
    ask,
    headers,
)
from tests.redis_client.fixtures import NullRedisObserver
from tests.sizes import sized

T = TypeVar("T")
WINDOWS = (Window(RateLimitKind.REQUEST_WEIGHT, 60, 100), Window(RateLimitKind.RAW_REQUESTS, 300, 60))
BUDGETS = {Purpose.PUBLIC: 90, Purpose.BACKGROUND: 50, Purpose.KEYED: 98}
LOCAL_BUDGETS = {Purpose.PUBLIC: 25, Purpose.BACKGROUND: 13, Purpose.KEYED: 27}


def limits() -> KnownLimits:
    return KnownLimits(refresh_ratio=RATIOS.refresh, fetch_weight=FETCH_WEIGHT, windows=WINDOWS)


REPLICAS = 3
CLIENTS = (None, "bot", "other bot", Address("10.0.0.1"))
STEPS = sized(quick=250, usual=250, long=2000)
"""Of a long life. A shorter one seldom meets what it must have met at its end."""

numbers = st.integers(0, 99)
replicas = st.integers(0, REPLICAS - 1)
domains = itertools.count()


def minute(counter_or_time: WindowKey | float) -> int:
    """The start of the one-minute window."""
    at = counter_or_time.start if isinstance(counter_or_time, WindowKey) else counter_or_time
    return math.floor(at / 60) * 60


def minutes(reservation: Reservation) -> list[tuple[int, int]]:
    """Start and weight of the charges in one-minute windows."""
    return [
        (charge.window_key.start, charge.weight)
        for charge in reservation.charges
        if charge.window_key.interval_seconds == 60
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
    """The most that an answer told it of a minute, without what the origin took back later."""
    forgotten: Counter[int] = field(default_factory=Counter)
    """What could still be taken back of its requests when Redis lost its data."""
    blocked_until: float = -math.inf

    @property
    def connected(self) -> bool:
        return not self.switch.away and not self.switch.loses_answers

    def missing(self, start: int) -> int:
        """What it counted alone and Redis has not got, as far as it knows."""
        return self.ledger._seen.unsynced.lacking(WindowKey("REQUEST_WEIGHT:1m", 60, start)).used


@dataclass(eq=False)
class Request:
    """A reservation, here and in the two ledgers that go along, and what became of it."""

    life: Life
    reservation: Reservation
    weight: int
    along: tuple[Reservation, ...]
    refundable: bool
    counted_at: float = 0.0
    told: int = 0
    kept: int = 0
    """What was told, without what the origin may still take back."""


class Fleet(RuleBasedStateMachine):
    """Replicas that crash and start again, on a Redis that is always there."""

    valkey_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.key = domain_key("stateful", "spot", str(next(domains)))
        self.connection = self.run(self._connect())
        self.clock = ManualClock()
        self.age = Ageing(self.connection.client, f"{self.key}:block", self.clock)
        self.model = ModelLedger(self.clock, Tally(), WINDOWS)
        self.memory = MemoryLedger(clock=self.clock, ratios=RATIOS, limits=limits())
        self.along: tuple[Ledger, ...] = (self.model, self.memory)
        self.lives = [self.life() for _ in range(REPLICAS)]
        self.reserved: list[Request] = []
        self.under_way: list[Request] = []
        self.ours: Counter[int] = Counter()
        """What the origin counted from us, by minute."""
        self.sent = 0
        self.taken_back = 0
        self.all: Counter[int] = Counter()
        self.kept: Counter[int] = Counter()
        """Of all, what the origin does not take back any more."""
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
        # Not Runner.run, which takes over Ctrl-C and gives it back each time: a fifth of all the time of a life.
        return self.runner.get_loop().run_until_complete(work)

    async def _connect(self) -> Any:
        return connect(self.valkey_url, prefix="t", deadline_seconds=10.0, observer=NullRedisObserver())

    def life(self) -> Life:
        switch = SwitchedConnection(self.connection, self.age)
        ledger = RedisLedger(switch, domain_key=self.key, clock=self.clock, ratios=RATIOS, limits=limits())
        return Life(ledger, switch)

    def in_redis(self, *keys: str) -> list[tuple[int, int]]:
        """Used and pending of counters."""

        async def read() -> Any:
            async with self.connection.client.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.hmget(f"{self.key}:{key}", ["used", "pending"])
                return await pipeline.execute()

        return [(int(used or 0), int(pending or 0)) for used, pending in self.run(read())]

    def used_in_redis(self, *starts: int) -> list[int]:
        """Of one-minute windows."""
        return [used for used, _ in self.in_redis(*(f"REQUEST_WEIGHT:1m:{start}" for start in starts))]

    @property
    def starts(self) -> list[int]:
        """The minutes of which anybody may still speak."""
        now = minute(self.clock.now)
        return [now - 60, now, now + 60]

    # What may happen.

    @rule(
        which=replicas,
        weight=st.integers(1, 30),
        purpose=st.sampled_from(Purpose),
        refundable=st.booleans(),
        client=st.sampled_from(CLIENTS),
        then=st.sampled_from(["send", "send", "answer", "wait"]),
    )
    def ask(self, which: int, weight: int, purpose: Purpose, refundable: bool, client: str | None, then: str) -> None:
        """Reserve, and perhaps go on at once."""
        self.reserve(self.lives[which], weight, purpose, refundable, client)
        if then != "wait" and self.reserved:
            self.send(len(self.reserved) - 1, 0.0)
        if then == "answer" and self.under_way:
            self.answer(len(self.under_way) - 1, True, True)

    def reserve(self, life: Life, weight: int, purpose: Purpose, refundable: bool, client: str | None) -> None:
        asked: dict[str, Any] = {
            "purpose": purpose,
            "refundable": refundable and purpose is Purpose.KEYED,
            "client": None if purpose is Purpose.BACKGROUND else client,
        }
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
                most = LOCAL_BUDGETS[purpose]
                assert life.alone[start] <= most
                assert life.told[start] + life.unanswered[start] + weight <= most + life.forgotten[start]
            elif life.connected:
                assert life.told[start] + weight <= self.used_in_redis(start)[0] <= BUDGETS[purpose]
            life.unanswered[start] += weight
        self.reserved.append(Request(life, outcome, weight, tuple(along), asked["refundable"]))

    @precondition(lambda self: self.reserved)
    @rule(which=numbers, way_seconds=st.floats(0, 0.99))
    def send(self, which: int, way_seconds: float) -> None:
        """Unless it took too long to get there: then it is reserved again, which is another step."""
        request = self.reserved.pop(which % len(self.reserved))
        if not request.reservation.covers(self.clock.now, GUARD_SECONDS):
            self.release(request)
            return
        request.counted_at = self.clock.now + way_seconds
        start = minute(request.counted_at)
        self.sent += request.weight
        self.ours[start] += request.weight
        self.all[start] += request.weight
        self.kept[start] += 0 if request.refundable else request.weight
        request.told, request.kept = self.all[start], self.kept[start]
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
        self._end_order(request, succeeds=ok)
        if life not in self.lives:
            return
        self.clock.now = max(self.clock.now, request.counted_at)
        at = request.counted_at if dated or minute(request.counted_at) != minute(self.clock.now) else None
        told = headers(request.told, at=at)
        self.run(life.ledger.reconcile(request.reservation, told, ok=ok))
        start = minute(request.counted_at)
        self._settled(request)
        if self.clock.now < start + 60 + 120:
            life.told[start] = max(life.told[start], request.kept)
            if life.connected:
                assert self.used_in_redis(start)[0] >= life.told[start]
        if self.intact:
            for ledger, reservation in zip(self.along, request.along, strict=True):
                self.run(ledger.reconcile(reservation, told, ok=ok))

    def _end_order(self, request: Request, *, succeeds: bool) -> None:
        """The origin takes its weight back or keeps it, and tells what is used after that."""
        if not request.refundable:
            return
        start = minute(request.counted_at)
        if succeeds:
            self.taken_back += request.weight
            self.ours[start] -= request.weight
            self.all[start] -= request.weight
        else:
            self.kept[start] += request.weight
        request.told, request.kept = self.all[start], self.kept[start]

    @precondition(lambda self: self.under_way)
    @rule(which=numbers, succeeds=st.booleans())
    def lose_an_answer(self, which: int, succeeds: bool) -> None:
        self._end_order(self.under_way.pop(which % len(self.under_way)), succeeds=succeeds)

    @precondition(lambda self: self.under_way)
    @rule(which=numbers, seconds=st.none() | st.integers(1, 5))
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
        self.kept[minute(self.clock.now)] += weight

    @rule(seconds=st.sampled_from([0.25, 1.0, 5.0, 20.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    # What must be true.

    @invariant()
    def all_is_known_and_the_budget_holds(self) -> None:
        for start, in_redis in zip(self.starts, self.used_in_redis(*self.starts), strict=True):
            local_view = in_redis + sum(life.missing(start) for life in self.lives)
            assert self.ours[start] <= local_view + self.gone[start] + self.forgotten[start]
            assert self.ours[start] <= BUDGETS[Purpose.KEYED] + self.alone[start] + self.forgotten[start]

    @invariant()
    def all_ledgers_count_alike(self) -> None:
        if not self.intact:
            return
        windows = self.model.view().windows
        assert self.memory.view().windows == windows
        intervals = (60, 300)
        keys = [f"{window.name}:{window.reset - seconds}" for window, seconds in zip(windows, intervals, strict=True)]
        assert self.in_redis(*keys) == [(window.used, window.pending) for window in windows]


class Troubled(Fleet):
    """The same, with a Redis that goes, comes back, loses answers, and loses all it knew."""

    @rule(which=st.sets(replicas, min_size=1), loses_answers=st.booleans())
    def redis_is_away(self, which: set[int], loses_answers: bool) -> None:
        for number in which:
            self.lives[number].switch.away = not loses_answers
            self.lives[number].switch.loses_answers = loses_answers
        self.intact = False

    @rule()
    def redis_is_back(self) -> None:
        for life in self.lives:
            life.switch.away = life.switch.loses_answers = False

    @rule()
    def redis_loses_all_it_knew(self) -> None:
        for start, used in zip(self.starts, self.used_in_redis(*self.starts), strict=True):
            self.forgotten[start] += used
        for request in (*self.reserved, *self.under_way):
            for start, weight in minutes(request.reservation):
                request.life.forgotten[start] += weight if request.refundable else 0
        self.run(self.connection.client.flushall())
        self.intact = False


def on(kind: type[Fleet], valkey_url: str) -> type[Fleet]:
    return type(kind.__name__, (kind,), {"valkey_url": valkey_url})


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", [Fleet, Troubled])
def test_any_short_life_of_a_fleet(kind: type[Fleet], valkey_url: str) -> None:
    lives = sized(quick=5, usual=8, long=100)
    run_state_machine_as_test(on(kind, valkey_url), settings=settings(max_examples=lives, stateful_step_count=40))


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", [Fleet, Troubled])
@pytest.mark.parametrize("seed", range(sized(quick=1, usual=2, long=4)))
def test_a_long_life_of_a_fleet(kind: type[Fleet], seed: int, valkey_url: str) -> None:
    """What chance seldom brings together in a short one."""
    dice = Random(seed)
    fleet = on(kind, valkey_url)()
    try:
        for _ in range(STEPS):
            step(fleet, dice)
            fleet.all_is_known_and_the_budget_holds()
            fleet.all_ledgers_count_alike()
    finally:
        fleet.teardown()
    assert fleet.sent > STEPS
    assert fleet.taken_back > STEPS // 8
    assert (sum(fleet.alone.values()) > STEPS // 8) == isinstance(fleet, Troubled)


def step(fleet: Fleet, dice: Random) -> None:
    """One step of a long life."""
    number = dice.randrange(100)
    purpose = dice.choice([Purpose.PUBLIC, Purpose.PUBLIC, Purpose.BACKGROUND, Purpose.KEYED, Purpose.KEYED])
    client, then = dice.choice(CLIENTS), dice.choice(["send", "send", "answer", "wait"])
    seconds, back_off = dice.choice([0.25, 1.0, 5.0, 20.0, 61.0]), dice.choice([None, 2, 5])
    acts: list[tuple[int, bool, Callable[[], None]]] = [
        (
            50,
            True,
            lambda: fleet.ask(number % REPLICAS, dice.randint(1, 20), purpose, dice.random() < 0.7, client, then),
        ),
        (10, bool(fleet.reserved), lambda: fleet.send(number, dice.uniform(0, 0.99))),
        (5, bool(fleet.reserved), lambda: fleet.find_no_connection(number)),
        (10, bool(fleet.under_way), lambda: fleet.answer(number, dice.random() < 0.8, dice.random() < 0.8)),
        (4, bool(fleet.under_way), lambda: fleet.lose_an_answer(number, dice.random() < 0.5)),
        (1, bool(fleet.under_way), lambda: fleet.be_told_to_back_off(number, back_off)),
        (1, True, lambda: fleet.crash(number % REPLICAS)),
        (2, True, lambda: fleet.other_programs_spend(dice.randint(1, 20))),
        (8, True, lambda: fleet.time_passes(seconds)),
    ]
    if isinstance(fleet, Troubled):
        away = set(dice.sample(range(REPLICAS), dice.randint(1, REPLICAS)))
        acts += [
            (6, True, lambda: fleet.redis_is_away(away, dice.random() < 0.3)),
            (3, True, fleet.redis_is_back),
            (1, True, fleet.redis_loses_all_it_knew),
        ]
    (act,) = dice.choices([act for _, _, act in acts], [weight * possible for weight, possible, _ in acts])
    act()
