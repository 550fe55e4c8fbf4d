"""A machine's clock that is set forward and back makes no ledger forget a window that has not ended."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Budget, Reservation
from proxy.core.quota.charges import KEEP_SECONDS, cost_of, window_key_of
from proxy.core.quota.windows import DEFAULT_WINDOWS, RateLimitKind, Window
from proxy.errors import BudgetUsedUp
from proxy.quota.block_file import BlockFile
from proxy.quota.clock import OriginClock, watch_clock
from proxy.quota.local import MemoryLedger
from proxy.quota.shared import RedisLedger
from proxy.redis_client.connection import RedisConnection
from tests.quota.conftest import Domain
from tests.quota.doubles import HOUR, RATIOS, ManualClock, SwitchedConnection, admitted, ask, headers

FAR = [KEEP_SECONDS + 61.0, 400.0, 3600.0, 86_400.0]
WINDOWS = (Window(RateLimitKind.REQUEST_WEIGHT, 60, 1000), Window(RateLimitKind.RAW_REQUESTS, 300, 100))


class Machine:
    """The clocks of one machine: one that somebody sets, and one that nobody can."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.set_by = 0.0
        self.clock = OriginClock(lambda: HOUR + 130.0 + self.passed + self.set_by, monotonic=lambda: self.passed)
        self.learn()

    def learn(self) -> None:
        """The origin answers, whose clock is right."""
        now, true = self.clock.wall(), HOUR + 130.0 + self.passed
        for _ in range(2):
            self.clock.observe_date(math.floor(true), sent_at=now, received_at=now)
            self.clock.observe_server_time(true, sent_at=now, received_at=now)
            now += 0.001


@pytest.mark.parametrize("ahead", FAR)
@pytest.mark.parametrize("back", ["the clock is set back", "the origin tells the time"])
async def test_what_was_sent_counts_again_when_the_clock_is_right_again(ahead: float, back: str) -> None:
    machine = Machine()
    ledger = MemoryLedger(clock=machine.clock, ratios=RATIOS)
    ledger.learn(WINDOWS)
    for _ in range(90):
        await ledger.reconcile(await admitted(ledger, 1), headers(), ok=True)
    machine.set_by = ahead
    await ask(ledger, 1)
    machine.passed += 5
    if back == "the clock is set back":
        machine.set_by = 0.0
    machine.learn()

    assert all(window.used >= 90 for window in ledger.view().windows)
    with pytest.raises(BudgetUsedUp):
        await ledger.reserve(1)


@pytest.mark.parametrize("ahead", FAR)
async def test_so_does_what_a_replica_counted_alone_and_redis_learns_of_it(
    domain: Domain, connection: RedisConnection, ahead: float
) -> None:
    machine, switch = Machine(), SwitchedConnection(connection)
    ledger = RedisLedger(switch, domain_key=domain.key, clock=machine.clock, ratios=RATIOS)
    switch.away = True
    for _ in range(20):
        await ledger.reconcile(await admitted(ledger, 3), headers(), ok=True)
    machine.set_by = ahead
    await admitted(ledger, 1)
    switch.away = False
    await admitted(ledger, 1)
    machine.set_by = 0.0
    machine.learn()
    await admitted(ledger, 3)

    start = HOUR + 120
    assert (await domain.used(start))[0] == 63
    assert (await domain.used(HOUR, "RAW_REQUESTS:5m"))[0] >= 21


@pytest.mark.parametrize("ahead", [100.0, KEEP_SECONDS + 40.0, KEEP_SECONDS + 170.0, 3600.0])
async def test_a_replica_whose_clock_is_ahead_ends_no_window_in_redis(
    domain: Domain, connection: RedisConnection, ahead: float
) -> None:
    clock = ManualClock(HOUR + 1.5)
    ledger = RedisLedger(connection, domain_key=domain.key, clock=clock, ratios=RATIOS)
    reservation = await admitted(ledger, 5)
    clock.now += ahead
    await ledger.reconcile(reservation, headers(7, at=clock.now - ahead), ok=True)

    for name, interval in (("REQUEST_WEIGHT:1m", 60), ("RAW_REQUESTS:5m", 300)):
        left_ms = await connection.client.pttl(f"{domain.key}:{name}:{HOUR}")
        assert left_ms > (interval - 1.5) * 1000


@pytest.mark.parametrize("redis", ["none", "there", "away"])
async def test_a_ban_in_the_file_outlasts_a_clock_that_is_set_forward(
    tmp_path: Path, domain: Domain, connection: RedisConnection, redis: str
) -> None:
    machine, switch = Machine(), SwitchedConnection(connection)
    file = BlockFile(tmp_path, "block.json", machine.clock)
    ledger: MemoryLedger | RedisLedger
    if redis == "none":
        ledger = MemoryLedger(clock=machine.clock, ratios=RATIOS, keeper=file)
    else:
        ledger = RedisLedger(switch, domain_key=domain.key, clock=machine.clock, ratios=RATIOS, keeper=file)
    await ledger.block(BlockReason.BAN, machine.clock.origin() + 600)
    switch.away = redis == "away"
    ticks = iter([10.0, 10.0, 10.0])

    async def sleep(_: float) -> None:
        passed = next(ticks, None)
        if passed is None:
            raise StopAsyncIteration
        machine.passed += passed
        machine.set_by = 3600.0 if machine.passed >= 20 else 0.0

    with pytest.raises(StopAsyncIteration):
        await watch_clock(machine.clock, ledger.keep_block, sleep=sleep)
    restarted = MemoryLedger(clock=machine.clock, ratios=RATIOS)
    block = BlockFile(tmp_path, "block.json", machine.clock).load()
    assert block is not None
    restarted.restore(block)
    outcome = await ask(restarted, 1)

    assert isinstance(outcome, tuple)
    assert outcome[0] == "ban"
    assert outcome[1] == pytest.approx(570, abs=0.1)


@pytest.mark.parametrize("kind", ["memory", "redis", "leases"])
async def test_an_answer_to_a_request_from_before_the_clock_was_set_back_ends_no_block(
    domain: Domain, connection: RedisConnection, kind: str
) -> None:
    """By its clock of then it was reserved after the block, which begins only now."""
    machine = Machine()
    machine.set_by = 50.0
    ledger: MemoryLedger | RedisLedger = MemoryLedger(clock=machine.clock, ratios=RATIOS)
    if kind != "memory":
        ledger = RedisLedger(
            connection, domain_key=domain.key, clock=machine.clock, ratios=RATIOS, leases=kind == "leases"
        )
    early = await admitted(ledger, 1)
    machine.set_by = 0.0
    machine.learn()
    if kind == "leases":  # another replica is refused, and this one does not know it yet
        other = RedisLedger(connection, domain_key=domain.key, clock=machine.clock, ratios=RATIOS)
        await other.block(BlockReason.BAN, machine.clock.origin() + 30)
        ledger.settle_now(early, headers(1), ok=True)
        assert isinstance(ledger, RedisLedger)
        assert ledger._leasing is not None
        await ledger._leasing.sync()
    else:
        await ledger.block(BlockReason.BAN, machine.clock.origin() + 30)
        await ledger.reconcile(early, headers(1), ok=True)

    assert kind == "memory" or await domain.stored("block")
    block = ledger.held_block()
    assert block is not None
    assert block.until - machine.clock.origin() == pytest.approx(30, abs=0.1)


steps = st.tuples(
    st.sampled_from(["send", "send", "send", "send", "set", "right"]),
    st.floats(0, 70),
    st.floats(-90_000, 90_000) | st.sampled_from([-61.0, 121.0, 181.0, 500.0, 3600.0]),
    st.integers(1, 40),
)


@given(st.lists(steps, min_size=5, max_size=80))
def test_a_budget_whose_clock_is_set_at_random_counts_what_was_sent_while_it_was_right(
    plan: list[tuple[str, float, float, int]],
) -> None:
    budget, true, ahead = Budget(), HOUR + 30.0, 0.0
    sent: Counter[tuple[RateLimitKind, int]] = Counter()
    for act, pause, jump, weight in plan:
        true += pause
        if act == "send":
            made = budget.reserve(true + ahead, cost_of(weight), DEFAULT_WINDOWS, ratio=1.0)
            assert isinstance(made, Reservation)
            if not ahead:
                for window in DEFAULT_WINDOWS:
                    sent[window.kind, window.start(true)] += cost_of(weight)[window.kind]
        else:
            moved, ahead = (jump, ahead + jump) if act == "set" else (-ahead, 0.0)
            budget.move(moved)
        if not ahead:
            for window in DEFAULT_WINDOWS:
                key = window_key_of(window, window.start(true))
                assert budget.usage(key).used >= sent[window.kind, key.start]
