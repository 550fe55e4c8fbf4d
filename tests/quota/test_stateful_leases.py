"""Random lives of a fleet that takes its quota in leases: what holds whatever is lost, late, or crashes.

Three replicas share a real Valkey. Nothing runs by itself: each turn of a replica's loop, each push that arrives and
the time are steps. The origin is simulated and counts by true time.

1. The origin's count of a minute is never more than `used` in Redis, with what replicas counted alone, and what
   Redis has lost since.
2. It never passes the budget, whatever crashes, is flushed or rolled back: but for what a replica counted alone, and
   what no replica that lives and hears of the loss had seen.
3. No request leaves out of a lease later than 300 ms after the last push that its replica heard was sent; so none
   later than that after a block was stored.
4. A crash loses at most 1.25 of the largest block.
5. `used` of the status page is what was spent, once all is told; `leased` is what is held, and what crashes lost.
6. Who spent more of a lease than Redis allows it to spend untold is about to tell.

All of that holds too where each replica has a clock of its own that is wrong, learns the origin's time from answers
that take long, and is set forward and back.
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
from proxy.core.quota.clock_offset import JUMP_SECONDS, UNKNOWN_SECONDS
from proxy.core.quota.lease import MARGIN, PARTS, Totals
from proxy.core.quota.push_trust import TRUST_SECONDS
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.replicas import ReplicaCount
from proxy.core.quota.windows import RateLimitKind, Window
from proxy.ports import Clock
from proxy.quota.clock import OriginClock
from proxy.quota.leasing import Leasing
from proxy.quota.limits import FETCH_WEIGHT, KnownLimits
from proxy.quota.scripts import domain_key, push_channel
from proxy.quota.shared import RedisLedger
from proxy.redis_client.connection import connect
from tests.quota.doubles import (
    HOUR,
    Ageing,
    Copied,
    ManualClock,
    SwitchedConnection,
    Tally,
    ask,
    copy_of,
    headers,
    replace_by,
    settled_now,
)
from tests.redis_client.fixtures import NullRedisObserver
from tests.sizes import sized

T = TypeVar("T")
Fleet = TypeVar("Fleet", bound="Leased")
LIMIT = 1000
WINDOWS = (Window(RateLimitKind.REQUEST_WEIGHT, 60, LIMIT), Window(RateLimitKind.RAW_REQUESTS, 300, 100_000))
BUDGET, KEYED_BUDGET = 900, 980
REPLICAS = 3
BLOCK_SECONDS = 5.0
CLIENTS = tuple(f"bot {number}" for number in range(6))
STEPS = sized(quick=600, usual=600, long=6000)
"""Of a long life. A shorter one seldom meets what it must have met at its end."""

numbers = st.integers(0, 99)
replicas = st.integers(0, REPLICAS - 1)
domains = itertools.count()


def minute(at: float) -> int:
    """The start of the one-minute window."""
    return math.floor(at / 60) * 60


def window_of(start: int) -> WindowKey:
    return WindowKey("REQUEST_WEIGHT:1m", 60, start)


class ManualProof:
    """The proof of a channel by a clock that is turned by hand."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.sent_at = -math.inf
        """When the server sent the push that arrives now."""
        self.until = -math.inf
        self.beats = False
        """Whether a heartbeat is due."""

    def holds(self) -> bool:
        return self._clock.now < self.until

    def is_silent(self) -> bool:
        return self._clock.now > self.until + 1.0

    def must_renew(self) -> bool:
        return False

    def pushed(self, server_seconds: float) -> None:
        self.until = max(self.until, self.sent_at + TRUST_SECONDS)

    def answered(self, server_seconds: float, *, sent_at: float) -> None: ...

    def beat(self) -> None:
        self.beats = False

    def beat_in(self) -> float:
        return 0.0 if self.beats else math.inf


@dataclass(eq=False)
class Life:
    """A replica from its start to its crash."""

    ledger: RedisLedger
    leasing: Leasing
    proof: ManualProof
    switch: SwitchedConnection
    tally: Tally
    clock: Clock
    is_deaf: bool = False
    unheard: list[tuple[float, bytes]] = field(default_factory=list)
    """When each push was sent that has not arrived."""

    def covers(self, reservation: Reservation) -> bool:
        """Whether it may be sent now, by what this replica knows of the time: as the gate decides."""
        return reservation.covers(self.clock.origin(), self.clock.guard_seconds())

    def can_tell(self, now: float) -> bool:
        """Whether it hears of a loss and calls Redis at once."""
        return not (self.is_deaf or self.switch.away or self.switch.loses_answers) and self.leasing._retry_at <= now

    def refunds(self, start: int) -> int:
        """What the origin took back and it has not told."""
        settled = self.leasing.leases.news._settled.get(window_of(start))
        return 0 if settled is None else settled.refunded

    def missing(self, start: int) -> int:
        """What it counted alone and Redis has not got."""
        return self.ledger._seen.unsynced.lacking(window_of(start)).used

    def seen(self, start: int, *, number: int) -> int:
        """The most `used` that it can tell a Redis whose last push had this number.

        If it is the last that it heard, only what stays (`kept`) shows that data was lost.
        """
        lease = self.leasing.leases._leases.get(window_of(start))
        seen = lease.seen if lease is not None and self.notices(number) else 0
        return max(seen, self.ledger._seen.floors.get(window_of(start), 0))

    def notices(self, number: int) -> bool:
        """Whether it finds that a Redis whose last push had this number has lost what it heard later."""
        return self.leasing.leases._store.number > number

    def lacks(self, start: int, *, orders: int) -> int:
        """What it misses of its own open orders, where Redis has so much of all orders."""
        news, windows = self.leasing.leases.news, self.leasing.leases._spendings.parts_at(self.clock.origin())
        own = news._orders.get(window_of(start), 0) if window_of(start) in [part.key for part in windows] else 0
        return max(0, own - orders)

    def held(self, start: int) -> int:
        lease = self.leasing.leases._leases.get(window_of(start))
        return 0 if lease is None else max(0, lease.held)

    def totals(self, start: int) -> tuple[Totals, Totals]:
        """Of its lease, and what of them Redis has told to have."""
        lease = self.leasing.leases._leases.get(window_of(start))
        return (Totals(), Totals()) if lease is None else (lease.totals, lease.told)


@dataclass(eq=False)
class Request:
    life: Life
    reservation: Reservation
    weight: int
    refundable: bool
    start: int = 0
    told: int = 0


class Leased(RuleBasedStateMachine):
    """Replicas that crash and start again, on a Redis that keeps its data; pushes are late or lost."""

    valkey_url = ""
    ratios = Ratios()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.key = domain_key("leased", "spot", str(next(domains)))
        self.clock = ManualClock(HOUR + 30.0)
        self.run(self._connect())
        self.aged_at = self.clock.now
        self.lives = [self.life() for _ in range(REPLICAS)]
        self.reserved: list[Request] = []
        self.under_way: list[Request] = []
        self.ours: Counter[int] = Counter()
        """What the origin counted from us, by minute; so all below."""
        self.all: Counter[int] = Counter()
        self.charged: Counter[int] = Counter()
        """What was reserved, less what the origin took back."""
        self.alone: Counter[int] = Counter()
        self.gone: Counter[int] = Counter()
        """What crashed replicas counted alone and took with them."""
        self.forgotten: Counter[int] = Counter()
        """What Redis had and lost."""
        self.unseen: Counter[int] = Counter()
        """The part of that which nobody could tell it."""
        self.crashed: Counter[int] = Counter()
        self.seen: Counter[str] = Counter()
        self.is_plain = True
        """Nothing was lost, and no header told more than Redis knew."""
        self.blocked_at = math.inf
        self.stored: Copied = []
        """An older copy of the data."""
        self.run(self._beat(self.lives[0]))
        self.clock.now = HOUR + 45.0  # a Redis that is not new grants leases

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.get_loop().run_until_complete(work)

    async def _connect(self) -> None:
        self.connection: Any = connect(self.valkey_url, prefix="t", deadline_seconds=10.0, observer=NullRedisObserver())
        self.age = Ageing(self.connection.client, f"{self.key}:block", self.clock)
        self.channel = self.connection.client.pubsub()
        await self.channel.subscribe(push_channel(self.key))
        await self._pushes()

    def teardown(self) -> None:
        self.run(self._close())
        self.runner.close()

    async def _close(self) -> None:
        await self.channel.aclose()  # type: ignore[no-untyped-call]
        await self.connection.close()

    def new_clock(self) -> Clock:
        """What a replica that starts knows of the time."""
        return self.clock

    def life(self) -> Life:
        clock = self.new_clock()
        switch, tally = SwitchedConnection(self.connection, self._age), Tally()
        count = ReplicaCount()
        count.observe(REPLICAS, 0.0)
        ledger = RedisLedger(
            switch,
            domain_key=self.key,
            clock=clock,
            ratios=self.ratios,
            replica_count=count,
            observer=tally,
            limits=KnownLimits(refresh_ratio=0.5, fetch_weight=FETCH_WEIGHT, windows=WINDOWS),
            leases=True,
        )
        leasing, proof = ledger._leasing, ManualProof(self.clock)
        assert leasing is not None
        leasing._monotonic, leasing._running = self.clock, True
        leasing.proof = proof  # type: ignore[assignment]
        leasing._is_proven = proof.holds
        return Life(ledger, leasing, proof, switch, tally, clock)

    async def _age(self) -> None:
        """Let what counts by the server's clock go by the clock of the test."""
        await self.age()
        passed_seconds, self.aged_at = self.clock.now - self.aged_at, self.clock.now
        if passed_seconds:
            name = f"{self.key}:leases"
            born = await self.connection.client.hget(name, "born")
            if born is not None:
                await self.connection.client.hset(name, "born", f"{float(born) - passed_seconds:.6f}")
            if await self.connection.client.exists(f"{self.key}:clock"):
                await self.connection.client.incrbyfloat(f"{self.key}:clock", passed_seconds)

    async def _pushes(self) -> list[bytes]:
        """All that was pushed since."""
        await self.channel.ping("end")
        pushes: list[bytes] = []
        while True:
            message = await self.channel.get_message(timeout=10.0)
            assert message is not None
            if message["type"] == "pong":
                return pushes
            if message["type"] == "message":
                pushes.append(message["data"])

    async def _turn(self, life: Life) -> None:
        await life.leasing.turn(life.clock.origin(), is_active=True)
        for push in await self._pushes():
            for one in self.lives:
                one.unheard.append((self.clock.now, push))

    async def _hear(self, life: Life) -> None:
        """All that was pushed arrives, late or not."""
        unheard, life.unheard = life.unheard, []
        for sent_at, push in unheard:
            life.proof.sent_at = sent_at
            await life.leasing.on_push(push)

    async def _beat(self, life: Life) -> None:
        """A heartbeat, heard by all but the deaf, each of which then does what is due."""
        life.proof.beats = True
        await self._turn(life)
        for one in self.lives:
            if not one.is_deaf:
                await self._hear(one)
                await self._turn(one)

    def orders_in_redis(self, start: int) -> int:
        """The weight of open orders, but of those that were charged to leases."""
        name = f"{self.key}:{window_of(start).key}"
        refundable, leased = self.run(self.connection.client.hmget(name, ["refundable", "leased"]))
        return int(refundable or 0) - int(leased or 0)

    def in_redis(self, start: int) -> tuple[int, int]:
        """Used, and the leased part of it."""
        used, leased = self.run(self.connection.client.hmget(f"{self.key}:{window_of(start).key}", ["used", "leased"]))
        return int(used or 0), int(leased or 0)

    def _spent_in_redis(self, start: int) -> int:
        used, leased = self.in_redis(start)
        return used - leased

    def record_of(self, life: Life, start: int) -> Totals | None:
        """What Redis has of its lease."""
        record = self._record(life, start)
        return None if record is None else Totals(*record[:3])

    def _record(self, life: Life, start: int) -> list[int] | None:
        name, run = f"{self.key}:{window_of(start).key}", life.leasing.leases._run
        record = self.run(self.connection.client.hget(name, f"lease:{run}"))
        return None if record is None else [int(word) for word in record.split()]

    @property
    def starts(self) -> list[int]:
        now = minute(self.clock.now)
        return [now - 60, now, now + 60]

    # What may happen.

    @rule(
        which=replicas,
        weight=st.integers(1, 25),
        client=st.sampled_from(CLIENTS),
        order=st.booleans(),
        then=st.sampled_from(["send", "send", "answer", "wait"]),
    )
    def ask(self, which: int, weight: int, client: str, order: bool, then: str) -> None:
        """Reserve, and perhaps go on at once."""
        life = self.lives[which]
        purpose = Purpose.KEYED if order else Purpose.PUBLIC
        outcome = self.run(ask(life.ledger, weight, purpose=purpose, refundable=order, client=client))
        if isinstance(outcome, Reservation):
            self.seen["leased"] += outcome.leased
            self.seen["at an edge"] += outcome.leased and len({charge.window for charge in outcome.charges}) < len(
                outcome.charges
            )
            leases = life.leasing.leases._leases
            self.seen["leased when over"] += outcome.leased and any(
                leases[charge.window_key].was_exact for charge in outcome.charges
            )
            self.seen["alone"] += outcome.local
            for charge in outcome.charges:
                if charge.window_key.interval_seconds == 60:
                    self.charged[charge.window_key.start] += weight
                    self.alone[charge.window_key.start] += weight if outcome.local else 0
            self.reserved.append(Request(life, outcome, weight, order))
            if then != "wait":
                self.send(len(self.reserved) - 1)
                if then == "answer" and self.under_way:
                    self.answer(len(self.under_way) - 1, True, True)
        else:
            self.seen["refused"] += 1
        if life.leasing._wake.is_set():
            life.leasing._wake.clear()
            self.run(self._turn(life))

    @precondition(lambda self: self.reserved)
    @rule(which=numbers)
    def send(self, which: int) -> None:
        request = self.reserved.pop(which % len(self.reserved))
        life, reservation = request.life, request.reservation
        if life not in self.lives:
            return
        if life.ledger.held_block() is not None or not life.covers(reservation):
            self.run(life.ledger.release(reservation))
            return
        if reservation.leased:
            assert self.clock.now < life.proof.until
            block_seconds = BLOCK_SECONDS - (0.0 if life.clock is self.clock else JUMP_SECONDS)
            assert not self.blocked_at + TRUST_SECONDS < self.clock.now < self.blocked_at + block_seconds
        request.start = minute(self.clock.now)
        self.ours[request.start] += request.weight
        self.all[request.start] += request.weight
        request.told = self.all[request.start]
        self.under_way.append(request)

    @precondition(lambda self: self.under_way)
    @rule(which=numbers, ok=st.booleans(), tells=st.booleans())
    def answer(self, which: int, ok: bool, tells: bool) -> None:
        request = self.under_way.pop(which % len(self.under_way))
        if request.refundable and ok:
            self.ours[request.start] -= request.weight
            self.all[request.start] -= request.weight
        if request.life not in self.lives or minute(self.clock.now) != request.start:
            self.is_plain &= not (request.refundable and ok)
            return
        if request.refundable and ok:
            for charge in request.reservation.charges:
                if charge.window_key.interval_seconds == 60:
                    self.charged[charge.window_key.start] -= request.weight
            request.told = self.all[request.start]
        told = headers(request.told, at=self.clock.now) if tells else {}
        ledger = request.life.ledger
        if not settled_now(ledger, request.reservation, told, ok=ok):
            self.run(ledger.reconcile(request.reservation, told, ok=ok))

    @rule(which=replicas)
    def turn(self, which: int) -> None:
        self.run(self._turn(self.lives[which]))

    @rule(which=replicas)
    def beat(self, which: int) -> None:
        self.run(self._beat(self.lives[which]))

    @rule(which=replicas)
    def be_deaf(self, which: int) -> None:
        self.lives[which].is_deaf = True

    @rule(which=replicas, loses=st.booleans())
    def hear_again(self, which: int, loses: bool) -> None:
        """What was pushed meanwhile is lost, or comes late: a master that was frozen wakes."""
        life = self.lives[which]
        life.is_deaf = False
        if loses:
            life.unheard.clear()
        self.run(self._hear(life))

    @rule(which=replicas)
    def give_back(self, which: int) -> None:
        self.lives[which].leasing.leases.give_back()

    @rule(which=replicas)
    def crash(self, which: int) -> None:
        life = self.lives[which]
        for start in self.starts:
            assert life.held(start) <= math.floor(MARGIN * (BUDGET // (PARTS * REPLICAS)))
            self.gone[start] += life.missing(start)
            self.crashed[start] += 1
        self.lives[which] = self.life()

    @rule(weight=st.integers(1, 20))
    def other_programs_spend(self, weight: int) -> None:
        self.all[minute(self.clock.now)] += weight

    @rule(seconds=st.sampled_from([0.05, 0.05, 0.2, 0.25, 1.0, 5.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(before=st.sampled_from([1.2, 0.9, 0.3, 0.05]))
    def an_edge_comes(self, before: float) -> None:
        """Around it a request may count in either window."""
        edge = minute(self.clock.now) + 60
        self.clock.now = max(self.clock.now, edge - before)

    @precondition(lambda self: self.clock.now > self.blocked_at + 20.0 or math.isinf(self.blocked_at))
    @rule(which=replicas)
    def be_told_to_back_off(self, which: int) -> None:
        life = self.lives[which]
        self.run(life.ledger.block(BlockReason.BACK_OFF, life.clock.origin() + BLOCK_SECONDS))
        if not (life.switch.away or life.switch.loses_answers):
            self.blocked_at = self.clock.now

    @precondition(lambda self: not math.isinf(self.blocked_at))
    @rule()
    def the_block_ends(self) -> None:
        self.clock.now += 7.0
        self.blocked_at = math.inf

    # What must be true.

    @invariant()
    def the_budget_holds(self) -> None:
        for start in self.starts:
            used, leased = self.in_redis(start)
            missing = sum(life.missing(start) for life in self.lives) + self.gone[start]
            assert 0 <= leased <= used
            assert self.ours[start] <= used + missing + self.forgotten[start]
            assert self.ours[start] <= KEYED_BUDGET + self.alone[start] + self.unseen[start]

    @invariant()
    def what_is_spent_untold_is_known_or_about_to_be_told(self) -> None:
        for life, start in itertools.product(self.lives, self.starts):
            record, leases = self._record(life, start), life.leasing.leases
            totals, told = life.totals(start)
            if record is not None and totals.taken and record[2] >= told.spent:  # else Redis has lost data
                _, _, spent, _, untold = record
                assert leases.is_urgent or totals.spent <= spent + untold
                self.seen["untold"] += untold > 0

    @rule()
    def all_is_told_and_used_is_what_was_spent(self) -> None:
        for life in (*self.lives, *self.lives):  # what the first round tells may let others give back
            if not (life.switch.away or life.switch.loses_answers):
                self.run(life.leasing.sync())
        if not self.is_plain or any(life.tally.foreign for life in self.lives):
            self.is_plain = False
            return
        start = minute(self.clock.now)
        *others, life = self.lives  # the last to tell saw what all others told: all but orders whose end is open
        open_orders = sum(one.leasing.leases.untold(window_of(start)) for one in others)
        window = life.ledger.view().windows[0]
        used, leased = window.used + open_orders, window.leased - open_orders
        if self.crashed[start]:
            assert self.charged[start] <= used + leased
        else:
            assert (used, leased) == (self.charged[start], sum(one.held(start) for one in self.lives))
        self.seen["told"] += 1


class Troubled(Leased):
    """The same, with a Redis that is away, loses answers, loses its data, and is replaced by an older copy."""

    @rule(which=replicas, loses_answers=st.booleans())
    def redis_is_away(self, which: int, loses_answers: bool) -> None:
        switch = self.lives[which].switch
        switch.away, switch.loses_answers = not loses_answers, loses_answers
        self.is_plain = False

    @rule()
    def redis_is_back(self) -> None:
        for life in self.lives:
            life.switch.away = life.switch.loses_answers = False

    @rule(first=replicas)
    def redis_loses_all_it_knew(self, first: int) -> None:
        self._lose(first, [])

    @rule()
    def redis_is_copied(self) -> None:
        self.stored = self.run(copy_of(self.connection.client, self.key))

    @rule(first=replicas)
    def redis_is_replaced_by_the_copy(self, first: int) -> None:
        self._lose(first, self.stored)

    def _lose(self, first: int, copy: Copied) -> None:
        """In a busy minute a heartbeat tells of it at once all replicas that hear, and each tells what it had seen."""
        for life in self.lives:
            if not life.is_deaf:
                self.run(self._hear(life))
        before = {start: self.in_redis(start)[0] for start in self.starts}
        spent = {start: self._spent_in_redis(start) for start in self.starts}
        self.run(replace_by(self.connection.client, copy))
        self.is_plain = False
        self.blocked_at = math.inf
        self.seen["lost"] += any(before.values())
        after = {start: self.in_redis(start)[0] for start in self.starts}
        number = int(self.run(self.connection.client.hget(f"{self.key}:leases", "number")) or -1)
        tells = [life for life in self.lives if life.can_tell(self.clock.now)]
        told = {}
        for start in self.starts:
            orders = self.orders_in_redis(start)
            seen = max((life.seen(start, number=number) for life in tells), default=0)
            lacking = max((life.lacks(start, orders=orders) for life in tells), default=0)
            seen = told[start] = max(seen, after[start] + lacking)
            self.seen["orders lost"] += lacking > 0
            is_over = start + 60 <= self.clock.now  # nobody tells of it: what a copy has as leased may be given back
            lost = spent[start] - self._spent_in_redis(start) if is_over else 0
            self.forgotten[start] += max(0, before[start] - after[start], lost)
            self.unseen[start] += max(0, before[start] - max(after[start], seen))
        now = minute(self.clock.now)
        known = min(before[now], told[now])
        heard = {self.lives[first], *tells}  # the first may hear no answer
        known -= sum(life.refunds(now) for life in heard)
        returns = [self._may_return(life, now, number=number) for life in heard]
        self.run(self._beat(self.lives[first]))
        for life in tells:
            self.run(self._beat(life))
        known -= sum(returned() for returned in returns)
        assert self.in_redis(now)[0] >= known

    def _may_return(self, life: Life, start: int, *, number: int) -> Callable[[], int]:
        """What it takes from `used` from now on, as a silent channel or a near edge makes it give back what it holds.

        Only what Redis has not been told, and still has as leased. Nothing, if it finds that data was lost: then it
        tells the most it saw, which holds all leases.
        """
        (totals, told), record = life.totals(start), self.record_of(life, start)
        if life.notices(number) or record is None or record.taken < totals.taken:
            return lambda: 0
        return lambda: min(record.held, life.totals(start)[0].returned - told.returned)


class OwnClocks(Troubled):
    """The same where each replica has a clock of its own, which is wrong, and is set forward and back."""

    def new_clock(self) -> Clock:
        clock = OwnClock(self.clock, 7.0 * (next(self._births) % 5 - 2))
        clock.learn(delay_seconds=0.2, part=0.3)
        return clock

    def __init__(self) -> None:
        self._births = itertools.count()
        super().__init__()

    @rule(which=replicas, seconds=st.sampled_from([-59.0, -30.0, -5.0, -0.7, 0.7, 5.0, 30.0, 59.0]))
    def a_clock_is_set(self, which: int, seconds: float) -> None:
        clock = self.lives[which].clock
        assert isinstance(clock, OwnClock)
        if abs(clock.wrong_seconds + seconds) < UNKNOWN_SECONDS:
            clock.wrong_seconds += seconds
            self.seen["set"] += 1

    @rule(which=replicas, delay=st.sampled_from([0.1, 0.8, 2.0]), part=st.sampled_from([0.0, 0.5, 1.0]))
    def a_clock_learns(self, which: int, delay: float, part: float) -> None:
        clock = self.lives[which].clock
        assert isinstance(clock, OwnClock)
        clock.learn(delay_seconds=delay, part=part)


class OwnClock(OriginClock):
    """A machine's clock that is wrong by some seconds, and what its gateway knows of the origin's."""

    def __init__(self, true: ManualClock, wrong_seconds: float) -> None:
        self.true, self.wrong_seconds = true, wrong_seconds
        super().__init__(lambda: true.now + self.wrong_seconds, monotonic=true)

    def learn(self, *, delay_seconds: float, part: float) -> None:
        """An answer that took so long; the origin told its time after this part of that, and again a moment later."""
        for later in (0.0, 0.001):
            received_at = self.wall() + later
            told = self.true.now + later - delay_seconds * (1 - part)
            self.observe_server_time(told, sent_at=received_at - delay_seconds, received_at=received_at)


class Shareless(Troubled):
    """The same where clients have no share, so that leases are granted until nine tenths are used."""

    ratios = Ratios(client=1.0)


def on(kind: type[Fleet], valkey_url: str) -> type[Fleet]:
    return type(kind.__name__, (kind,), {"valkey_url": valkey_url})


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", [Leased, Troubled, OwnClocks])
def test_any_short_life_of_a_fleet(kind: type[Leased], valkey_url: str) -> None:
    lives = sized(quick=3, usual=5, long=100)
    run_state_machine_as_test(on(kind, valkey_url), settings=settings(max_examples=lives, stateful_step_count=40))


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", [Leased, Troubled, Shareless, OwnClocks])
@pytest.mark.parametrize("seed", range(sized(quick=1, usual=1, long=6)))
def test_a_long_life_of_a_fleet(kind: type[Leased], seed: int, valkey_url: str) -> None:
    """What chance seldom brings together in a short one."""
    dice = Random(seed)
    fleet = on(kind, valkey_url)()
    try:
        for _ in range(STEPS):
            step(fleet, dice)
            fleet.the_budget_holds()
            fleet.what_is_spent_untold_is_known_or_about_to_be_told()
    finally:
        fleet.teardown()
    assert fleet.seen["leased"] > STEPS // 100
    assert fleet.seen["untold"] > STEPS // 100
    assert fleet.seen["at an edge"] > 0 or isinstance(fleet, Troubled)
    assert fleet.seen["refused"] > 0
    assert fleet.seen["told"] > 0 or isinstance(fleet, Troubled)
    assert (fleet.seen["lost"] > 0) == isinstance(fleet, Troubled)


@pytest.mark.no_cover
def test_after_a_clock_was_set_back_nothing_is_spent_from_leases_until_it_is_learned(valkey_url: str) -> None:
    """By that clock the last minute goes on; in the origin's next one nothing of it is charged."""
    fleet = on(OwnClocks, valkey_url)()
    try:
        fleet.beat(1)
        for _ in range(2):
            fleet.ask(0, 1, CLIENTS[0], False, "answer")
        assert fleet.seen["leased"] == 1
        fleet.clock.now += 25.0
        fleet.a_clock_is_set(0, -30.0)
        fleet.beat(1)
        fleet.ask(0, 1, CLIENTS[0], False, "answer")
        fleet.the_budget_holds()
        assert fleet.seen["leased"] == 1
        fleet.a_clock_learns(0, 0.1, 0.5)
        fleet.beat(1)
        for _ in range(2):
            fleet.ask(0, 1, CLIENTS[0], False, "answer")
        assert fleet.seen["leased"] > 1
    finally:
        fleet.teardown()


@pytest.mark.no_cover
def test_a_replica_knows_what_the_origin_told_when_redis_goes_away_before_it_learns_of_it(valkey_url: str) -> None:
    fleet = on(Troubled, valkey_url)()
    try:
        hold(fleet)
        fleet.other_programs_spend(BUDGET * 3 // 4)
        for life in fleet.lives:
            life.switch.away = True
        fleet.ask(0, 1, CLIENTS[0], False, "answer")  # out of its lease
        fleet.clock.now += 1.0
        fleet.ask(0, 25, CLIENTS[0], False, "send")
        assert fleet.seen["alone"] == 0
    finally:
        fleet.teardown()


@pytest.mark.no_cover
def test_an_order_that_a_copy_lacks_is_counted_again(valkey_url: str) -> None:
    """Nothing was pushed since the copy was made, and an order's weight may fall: only who reserved it can tell."""
    fleet = on(Troubled, valkey_url)()
    try:
        fleet.redis_is_copied()
        fleet.ask(0, 10, CLIENTS[0], True, "send")
        assert fleet.in_redis(fleet.starts[1])[0] == 10
        fleet.redis_is_replaced_by_the_copy(1)
        assert fleet.seen["orders lost"] == 1
        assert fleet.in_redis(fleet.starts[1])[0] >= 10
        fleet.the_budget_holds()
    finally:
        fleet.teardown()


@pytest.mark.no_cover
def test_what_is_held_may_be_given_back_to_a_copy_that_lacks_nothing(valkey_url: str) -> None:
    """The channel was silent, so what is held is given back at once, by a replica that finds nothing lost."""
    fleet = on(Troubled, valkey_url)()
    try:
        hold(fleet)
        fleet.redis_is_copied()
        fleet.time_passes(2.0)
        fleet.redis_is_replaced_by_the_copy(0)
        assert fleet.lives[0].totals(fleet.starts[1])[0].returned > 0
        fleet.the_budget_holds()
    finally:
        fleet.teardown()


@pytest.mark.no_cover
@pytest.mark.parametrize("is_answered", [True, False])
def test_what_was_given_back_after_a_copy_was_made_is_not_taken_from_used_again(
    valkey_url: str, is_answered: bool
) -> None:
    """The replica that gave it back is deaf, so all it can tell of the loss is what Redis had told it.

    Where the answer was lost that is nothing: but Redis knows of the loss by others then.
    """
    fleet = on(Troubled, valkey_url)()
    try:
        hold(fleet)
        fleet.redis_is_copied()
        fleet.be_deaf(0)
        fleet.time_passes(2.0)
        if not is_answered:
            fleet.redis_is_away(0, loses_answers=True)
        fleet.turn(0)
        assert fleet.lives[0].totals(fleet.starts[1])[0].returned > 0
        assert (fleet.lives[0].totals(fleet.starts[1])[1].returned > 0) is is_answered
        while not fleet.seen["refused"] or fleet.ours[fleet.starts[1]] < BUDGET:
            fleet.ask(1, 25, CLIENTS[fleet.ours[fleet.starts[1]] % 6], False, "answer")
            fleet.beat(1)
        fleet.redis_is_replaced_by_the_copy(1)
        fleet.redis_is_back()
        fleet.turn(0)
        fleet.run(fleet.lives[0].leasing.sync())
        fleet.ask(0, 1, CLIENTS[0], False, "send")
        assert fleet.ours[fleet.starts[1]] == fleet.in_redis(fleet.starts[1])[0] == BUDGET
    finally:
        fleet.teardown()


@pytest.mark.no_cover
def test_a_minute_over_half_is_leased_again_when_it_is_over(valkey_url: str) -> None:
    fleet = on(Leased, valkey_url)()
    try:
        start = fleet.starts[1]
        fleet.clock.now = start + 58.0
        hold(fleet)
        while fleet.ours[start] <= BUDGET // 2:
            fleet.ask(0, 10, CLIENTS[fleet.ours[start] % 6], False, "answer")
            fleet.beat(1)
        for after, leased in ((-0.5, 0), (-0.1, 0), (0.0, 0), (0.0, 1), (0.2, 2)):
            fleet.clock.now = start + 60 + after
            fleet.beat(1)
            fleet.ask(0, 1, CLIENTS[0], False, "answer")
            fleet.the_budget_holds()
            assert fleet.seen["leased when over"] == leased
    finally:
        fleet.teardown()


def hold(fleet: Leased) -> None:
    """Let the first replica hold a lease, as all hear."""
    fleet.beat(1)
    for _ in range(2):
        fleet.ask(0, 25, CLIENTS[0], False, "answer")
    fleet.beat(1)
    assert fleet.lives[0].held(fleet.starts[1]) > 0


def step(fleet: Leased, dice: Random) -> None:
    """One step of a long life: a busy one, in which heartbeats come often."""
    number, which = dice.randrange(100), dice.randrange(REPLICAS)
    acts: list[tuple[float, bool, Callable[[], None]]] = [
        (
            60,
            True,
            lambda: fleet.ask(
                which,
                dice.choice([1, 2, 10, 25, 40, 40]),
                dice.choice(CLIENTS),
                dice.random() < 0.1,
                dice.choice(["send", "answer", "answer", "answer", "answer", "wait"]),
            ),
        ),
        (6, bool(fleet.reserved), lambda: fleet.send(number)),
        (8, bool(fleet.under_way), lambda: fleet.answer(number, dice.random() < 0.8, dice.random() < 0.3)),
        (5, True, lambda: fleet.turn(which)),
        (25, True, lambda: fleet.beat(which)),
        (1, True, lambda: fleet.be_deaf(which)),
        (2, True, lambda: fleet.hear_again(which, dice.random() < 0.5)),
        (0.5, True, lambda: fleet.give_back(which)),
        (4, True, fleet.all_is_told_and_used_is_what_was_spent),
        (1.5, True, lambda: fleet.crash(which)),
        (0.3, True, lambda: fleet.other_programs_spend(dice.randint(1, 20))),
        (12, True, lambda: fleet.time_passes(dice.choice([0.05, 0.1, 0.1, 0.2, 0.2, 0.25, 0.25, 0.25, 1.0, 20.0]))),
        (1, True, lambda: fleet.an_edge_comes(dice.choice([1.2, 0.9, 0.3]))),
        (0.3, math.isinf(fleet.blocked_at), lambda: fleet.be_told_to_back_off(which)),
        (8, not math.isinf(fleet.blocked_at), fleet.the_block_ends),
    ]
    if isinstance(fleet, Troubled):
        acts += [
            (1.5, True, lambda: fleet.redis_is_away(which, dice.random() < 0.5)),
            (4, True, fleet.redis_is_back),
            (0.8, True, lambda: fleet.redis_loses_all_it_knew(which)),
            (2, True, fleet.redis_is_copied),
            (0.8, True, lambda: fleet.redis_is_replaced_by_the_copy(which)),
        ]
    if isinstance(fleet, OwnClocks):
        acts += [
            (0.8, True, lambda: fleet.a_clock_is_set(which, dice.choice([-59.0, -30.0, -5.0, -0.7, 0.7, 5.0, 30.0]))),
            (8, True, lambda: fleet.a_clock_learns(which, dice.choice([0.1, 0.1, 0.8, 2.0]), dice.random())),
        ]
    (act,) = dice.choices([act for _, _, act in acts], [weight * possible for weight, possible, _ in acts])
    act()
