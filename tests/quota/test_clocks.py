"""The budget holds whatever the clocks of the replicas say, before the first answer and after it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.windows import RateLimitKind, Window
from proxy.quota.clock import OriginClock
from proxy.quota.local import MemoryLedger
from proxy.quota.shared import RedisLedger
from proxy.redis_client.connection import RedisConnection
from tests.quota.conftest import Domain
from tests.quota.doubles import HOUR, RATIOS, Ledger, ManualClock, SwitchedConnection, ask, headers
from tests.sizes import sized

WINDOWS = (Window(RateLimitKind.REQUEST_WEIGHT, 60, 100), Window(RateLimitKind.RAW_REQUESTS, 300, 1000))
BUDGET = 90


@dataclass
class Replica:
    """One process: its ledger and its clock, which is off by so many seconds."""

    ledger: Ledger
    clock: OriginClock


@dataclass
class UnderWay:
    """A request that the origin has counted."""

    replica: Replica
    reservation: Reservation
    sent_at: float
    counted_at: float


@dataclass
class World:
    """True time, which is the origin's, the origin's count by minute, and what is under way."""

    make: Callable[[OriginClock], Ledger]
    true: ManualClock = field(default_factory=ManualClock)
    counted: Counter[int] = field(default_factory=Counter)
    under_way: list[UnderWay] = field(default_factory=list)

    def replica(self, skew: float) -> Replica:
        """A process that was just started."""
        clock = OriginClock(lambda: self.true.now + skew)
        ledger = self.make(clock)
        ledger.learn(WINDOWS)
        return Replica(ledger, clock)

    async def send(self, replica: Replica, weight: int, way_seconds: float) -> None:
        """Reserve, and if that is granted let the origin count the request after its way there."""
        outcome = await ask(replica.ledger, weight)
        if isinstance(outcome, Reservation):
            counted_at = self.true.now + way_seconds
            self.counted[math.floor(counted_at / 60)] += weight
            self.under_way.append(UnderWay(replica, outcome, replica.clock.wall(), counted_at))

    async def answer(self, which: int, *, exact: bool) -> None:
        """One answer arrives."""
        if not self.under_way:
            return
        sent = self.under_way.pop(which % len(self.under_way))
        self.true.now = max(self.true.now, sent.counted_at)
        clock, received_at = sent.replica.clock, sent.replica.clock.wall()
        clock.observe_date(math.floor(sent.counted_at), sent_at=sent.sent_at, received_at=received_at)
        if exact:
            clock.observe_server_time(sent.counted_at, sent_at=sent.sent_at, received_at=received_at)
        told = headers(self.counted[math.floor(sent.counted_at / 60)], at=sent.counted_at)
        await sent.replica.ledger.reconcile(sent.reservation, told, ok=True)


steps = st.tuples(
    st.sampled_from(["send", "send", "send", "answer", "lost", "restart"]),
    st.floats(0, 25),
    st.integers(0, 8),
    st.integers(1, 40),
    st.floats(0, 0.99),
)
skews = st.lists(st.floats(-59, 59) | st.sampled_from([-30.0, 0.0, 30.0]), min_size=3, max_size=3)


async def play(world: World, skews: list[float], plan: list[tuple[str, float, int, int, float]]) -> None:
    world.true.now = HOUR + 30.0
    replicas = [world.replica(skew) for skew in skews]
    for act, pause, which, weight, way in plan:
        world.true.now += pause
        number = which % len(replicas)
        if act == "send":
            await world.send(replicas[number], weight, way)
        elif act == "answer":
            await world.answer(which, exact=weight % 2 == 0)
        elif act == "lost" and world.under_way:
            world.under_way.pop()
        elif act == "restart":
            replicas[number] = world.replica(skews[number])
        assert max(world.counted.values(), default=0) <= BUDGET


@pytest.mark.no_cover
@given(skews, st.lists(steps, min_size=10, max_size=60))
@settings(max_examples=sized(quick=15, usual=20, long=200), suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_three_replicas_with_clocks_up_to_a_minute_off_keep_the_budget(
    domain: Domain, connection: RedisConnection, skews: list[float], plan: list[tuple[str, float, int, int, float]]
) -> None:
    domain.renew()

    def make(clock: OriginClock) -> Ledger:
        switch = SwitchedConnection(connection)
        return RedisLedger(switch, domain_key=domain.key, clock=clock, ratios=RATIOS)

    await play(World(make), skews, plan)


@pytest.mark.no_cover
@given(st.floats(-59, 59), st.lists(steps, min_size=10, max_size=60))
async def test_one_process_with_a_clock_up_to_a_minute_off_keeps_the_budget(
    skew: float, plan: list[tuple[str, float, int, int, float]]
) -> None:
    def make(clock: OriginClock) -> Ledger:
        return MemoryLedger(clock=clock, ratios=RATIOS)

    await play(World(make), [skew], [step for step in plan if step[0] != "restart"])


@pytest.mark.parametrize("skew", [-30.0, 0.0, 30.0])
async def test_once_the_first_answer_is_known_a_whole_minute_can_be_used(skew: float) -> None:
    world = World(lambda clock: MemoryLedger(clock=clock, ratios=RATIOS))
    replica = world.replica(skew)
    await world.send(replica, 10, 0.0)
    await world.answer(0, exact=True)
    for minute in range(3):
        world.true.now = HOUR + 180 + 60 * minute + 30.0
        await world.send(replica, BUDGET, 0.0)
        await world.answer(0, exact=True)

    assert [world.counted[HOUR // 60 + 3 + minute] for minute in range(3)] == [BUDGET] * 3


# What the replicas tell each other of the origin's clock. It goes by Redis' own, so time must be real here.


def sharing(domain: Domain, connection: RedisConnection, skew: float) -> Replica:
    clock = OriginClock(lambda: time.time() + skew, monotonic=time.monotonic)
    switch = SwitchedConnection(connection)
    return Replica(RedisLedger(switch, domain_key=domain.key, clock=clock, ratios=RATIOS), clock)


@pytest.mark.parametrize("skew", [-30.0, 30.0, 3000.0])
async def test_a_new_replica_learns_the_origins_time_from_the_others_at_once(
    domain: Domain, connection: RedisConnection, skew: float
) -> None:
    old, new = sharing(domain, connection, -7.0), sharing(domain, connection, skew)
    now = old.clock.wall()
    old.clock.observe_date(math.floor(time.time()), sent_at=now, received_at=now)
    old.clock.observe_server_time(time.time(), sent_at=now, received_at=now)
    reservation = await old.ledger.reserve(20)
    await old.ledger.reconcile(reservation, headers(20), ok=True)
    charged = await new.ledger.reserve(20)

    assert new.clock.is_synchronized()
    assert new.clock.origin() == pytest.approx(time.time(), abs=5)
    assert new.clock.guard_seconds() < 2.6
    assert len(charged.charges) <= 4


async def test_who_is_not_sure_tells_nobody(domain: Domain, connection: RedisConnection) -> None:
    fast, slow = sharing(domain, connection, 30.0), sharing(domain, connection, -30.0)
    await fast.ledger.reconcile(await fast.ledger.reserve(20), headers(20), ok=True)
    charged = await slow.ledger.reserve(20)

    assert not slow.clock.is_synchronized()
    assert len({charge.window_key.start for charge in charged.charges if charge.window_key.interval_seconds == 60}) >= 3


@pytest.mark.parametrize("skew", [-30.0, 30.0])
async def test_a_ban_is_known_to_a_process_started_later_with_its_true_end(
    domain: Domain, connection: RedisConnection, skew: float
) -> None:
    old, new = sharing(domain, connection, 0.0), sharing(domain, connection, skew)
    now = time.time()
    old.clock.observe_server_time(now, sent_at=now, received_at=now)
    reservation = await old.ledger.reserve(20)
    await old.ledger.block(BlockReason.BAN, now + 100)
    await old.ledger.reconcile(reservation, {}, ok=False)
    outcome = await ask(new.ledger, 1)

    assert isinstance(outcome, tuple)
    assert outcome[0] == "ban"
    assert outcome[1] == pytest.approx(100, abs=10)
