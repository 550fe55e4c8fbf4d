"""One contract for the model, the ledger in memory and the ledger in Redis, on a real Valkey.

The model decides what is right; the generated runs at the end hold the other two to it, step by step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.client_share import MAX_CLIENTS, Address
from proxy.core.quota.ratios import Purpose
from proxy.core.quota.view import LedgerView
from proxy.core.quota.windows import RateLimitKind, Window
from proxy.errors import BackedOff, Banned, BudgetUsedUp, Paused, SendingRefused
from proxy.quota.local import MemoryLedger
from proxy.quota.shared import RedisLedger
from tests.events import capture_logs
from tests.quota.conftest import Domain
from tests.quota.doubles import HOUR, RATIOS, Ledger, ManualClock, ModelLedger, Tally, admitted, ask, headers
from tests.sizes import sized


@pytest.mark.no_cover
async def test_four_hundred_at_once_and_exactly_the_budget_passes(ledger: Ledger, tally: Tally) -> None:
    outcomes = await asyncio.gather(*(ask(ledger, 20) for _ in range(400)))

    assert sum(isinstance(outcome, Reservation) for outcome in outcomes) == 270
    assert {outcome for outcome in outcomes if not isinstance(outcome, Reservation)} == {("quota", 31.0)}
    assert ledger.used_weight() == 5400
    assert tally.refusals == ["quota"] * 130


async def test_a_refusal_charges_nothing_and_a_smaller_request_still_passes(ledger: Ledger) -> None:
    await admitted(ledger, 5390)

    assert await ask(ledger, 20) == ("quota", 31.0)
    assert ledger.view().windows[1].used == 1
    await admitted(ledger, 10)
    assert ledger.used_weight() == 5400


async def test_retry_after_is_true(ledger: Ledger, clock: ManualClock) -> None:
    await admitted(ledger, 5400)
    refused = await ask(ledger, 20)
    assert refused == ("quota", 31.0)
    clock.now += 30.999
    assert await ask(ledger, 20) == ("quota", 0.001)
    clock.now = HOUR + 61.0

    await admitted(ledger, 20)


async def test_background_fills_have_the_smaller_share(ledger: Ledger) -> None:
    await admitted(ledger, 3000)

    assert await ask(ledger, 1, purpose=Purpose.BACKGROUND) == ("quota", 31.0)
    await admitted(ledger, 1)


@pytest.mark.no_cover
async def test_a_client_takes_its_share_of_the_second_half_and_the_others_still_pass(
    ledger: Ledger, clock: ManualClock, tally: Tally
) -> None:
    greedy = [await ask(ledger, 20, client="greedy") for _ in range(200)]
    assert sum(isinstance(outcome, Reservation) for outcome in greedy) == 2700 // 20
    assert greedy[-1] == ("client-share", 31.0)
    modest = [await ask(ledger, 20, client="modest") for _ in range(100)]
    assert sum(isinstance(outcome, Reservation) for outcome in modest) == 1350 // 20
    await admitted(ledger, 20)
    await admitted(ledger, 5400 - ledger.used_weight())
    assert await ask(ledger, 1, client="third") == ("quota", 31.0)
    assert set(tally.refusals) == {"client-share", "quota"}
    clock.now = HOUR + 61.0

    assert isinstance(await ask(ledger, 20, client="greedy"), Reservation)


@pytest.mark.no_cover
async def test_clients_beyond_the_most_share_one_share(ledger: Ledger) -> None:
    """Of 6000 the second half begins at 2700; one share is 1350."""
    for number in range(MAX_CLIENTS):
        assert isinstance(await ask(ledger, 1, client=f"bot {number}"), Reservation)
    await admitted(ledger, 2700 - MAX_CLIENTS)
    assert isinstance(await ask(ledger, 1000, client="late"), Reservation)
    assert isinstance(await ask(ledger, 350, client="later"), Reservation)
    assert await ask(ledger, 1, client="latest") == ("client-share", 31.0)

    assert await ask(ledger, 1, client="late") == ("client-share", 31.0)
    assert isinstance(await ask(ledger, 1, client="bot 7"), Reservation)


async def test_used_weight_is_of_this_minute(ledger: Ledger, clock: ManualClock) -> None:
    assert ledger.used_weight() == 0
    await admitted(ledger, 20)
    assert ledger.used_weight() == 20
    clock.now = HOUR + 60.0

    assert ledger.used_weight() == 0


async def test_a_request_near_the_edge_counts_in_both_minutes(ledger: Ledger, clock: ManualClock) -> None:
    clock.now = HOUR + 59.5
    await admitted(ledger, 20)
    clock.now = HOUR + 60.5

    assert ledger.used_weight() == 20


async def test_the_view_shows_every_window(ledger: Ledger) -> None:
    await admitted(ledger, 20)
    weight, raw = ledger.view().windows

    assert (weight.name, weight.used, weight.pending, weight.budget) == ("REQUEST_WEIGHT:1m", 20, 20, 5400)
    assert (weight.limit, weight.reset) == (6000, HOUR + 60)
    assert (raw.name, raw.used, raw.pending, raw.budget) == ("RAW_REQUESTS:5m", 1, 1, 54_900)
    assert (raw.limit, raw.reset) == (61_000, HOUR + 300)
    assert ledger.view().block is None
    assert not ledger.view().local


async def test_an_answer_ends_the_waiting_and_follows_the_origin(
    ledger: Ledger, clock: ManualClock, tally: Tally
) -> None:
    first, _ = await admitted(ledger, 20), await admitted(ledger, 20)
    await ledger.reconcile(first, headers(1020, at=clock.now), ok=True)
    weight = ledger.view().windows[0]

    assert (weight.used, weight.pending) == (1040, 20)
    assert tally.foreign == 1000


async def test_an_answer_of_the_next_minute_counts_there(ledger: Ledger, clock: ManualClock) -> None:
    reservation = await admitted(ledger, 20)
    clock.now = HOUR + 62.0
    await ledger.reconcile(reservation, headers(500, at=HOUR + 61), ok=True)

    assert ledger.used_weight() == 500


async def test_an_answer_without_date_is_of_now(ledger: Ledger) -> None:
    await ledger.reconcile(await admitted(ledger, 20), headers(500), ok=True)

    assert ledger.used_weight() == 500


async def test_an_answer_without_weight_only_ends_the_waiting(ledger: Ledger, tally: Tally) -> None:
    await ledger.reconcile(await admitted(ledger, 20), {}, ok=False)
    weight = ledger.view().windows[0]

    assert (weight.used, weight.pending) == (20, 0)
    assert tally.foreign == 0


async def test_a_released_request_stays_used_and_is_not_pending(ledger: Ledger) -> None:
    await ledger.release(await admitted(ledger, 20))
    weight = ledger.view().windows[0]

    assert (weight.used, weight.pending) == (20, 0)


async def test_a_very_late_answer_does_no_harm(ledger: Ledger, clock: ManualClock) -> None:
    reservation = await admitted(ledger, 20)
    clock.now += 86_400
    await ledger.reconcile(reservation, headers(20, at=HOUR + 30), ok=True)
    await ledger.release(reservation)

    assert ledger.used_weight() == 0, "it tells of a window that is long over"


async def test_new_limits_hold_at_once_and_windows_not_told_of_stay(ledger: Ledger) -> None:
    await admitted(ledger, 5400)
    assert await ask(ledger, 20) == ("quota", 31.0)
    ledger.learn((Window(RateLimitKind.REQUEST_WEIGHT, 60, 12_000),))
    await admitted(ledger, 20)
    ledger.learn((Window(RateLimitKind.REQUEST_WEIGHT, 60, 1200),))
    ledger.learn(())  # an answer without limits changes nothing

    assert await ask(ledger, 1) == ("quota", 31.0)
    assert [window.name for window in ledger.view().windows] == ["REQUEST_WEIGHT:1m", "RAW_REQUESTS:5m"]


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("reason", "told", "seconds"),
    [
        (BlockReason.BACK_OFF, 7.0, 7.0),
        (BlockReason.BACK_OFF, None, 31.0),
        (BlockReason.BAN, 600.5, 600.5),
        (BlockReason.BAN, None, 120.0),
        (BlockReason.BAN, -5.0, 120.0),
        (BlockReason.BAN, 1e9, 259_200.0),
        (BlockReason.PAUSE, None, 60.0),
    ],
)
async def test_a_block_refuses_everything_until_it_ends(
    ledger: Ledger,
    clock: ManualClock,
    tally: Tally,
    reason: BlockReason,
    told: float | None,
    seconds: float,
) -> None:
    await ledger.block(reason, None if told is None else clock.now + told)

    assert await ask(ledger, 1) == (reason.value, seconds)
    block = ledger.view().block
    assert block is not None
    assert ledger.held_block() == block
    assert (block.reason, block.until, block.strikes) == (reason, clock.now + seconds, 0)
    assert tally.refusals == [reason.value]
    clock.now += seconds
    assert ledger.held_block() is None
    await admitted(ledger, 1)
    assert ledger.view().block is None


async def test_strikes_double_until_a_good_answer(ledger: Ledger, clock: ManualClock) -> None:
    for seconds in (120.0, 240.0, 480.0):
        await ledger.block(BlockReason.BAN, None)
        await ledger.block(BlockReason.BAN, None)
        assert await ask(ledger, 1) == ("ban", seconds)
        clock.now += seconds
        await ledger.reconcile(await admitted(ledger, 1), {}, ok=False)
    await ledger.reconcile(await admitted(ledger, 1), {}, ok=True)
    await ledger.block(BlockReason.BAN, None)

    assert await ask(ledger, 1) == ("ban", 120.0)


async def test_the_later_of_two_blocks_holds(ledger: Ledger, clock: ManualClock) -> None:
    await ledger.block(BlockReason.BACK_OFF, clock.now + 500)
    await ledger.block(BlockReason.BAN, clock.now + 300)
    assert await ask(ledger, 1) == ("back-off", 500.0)
    await ledger.block(BlockReason.BAN, clock.now + 900)

    assert await ask(ledger, 1) == ("ban", 900.0)


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_a_refusal_is_the_error_that_clients_know(
    kind: str, clock: ManualClock, tally: Tally, domain: Domain
) -> None:
    def fresh() -> Ledger:
        domain.renew()
        memory = MemoryLedger(clock=clock, ratios=RATIOS, observer=tally)
        return memory if kind == "memory" else domain.replica()[0]

    expected: list[tuple[BlockReason, type[SendingRefused], str]] = [
        (BlockReason.BACK_OFF, BackedOff, "Too much request weight used"),
        (BlockReason.BAN, Banned, f"IP banned until {HOUR + 40}000."),
        (BlockReason.PAUSE, Paused, "firewall"),
    ]
    for reason, error, text in expected:
        ledger = fresh()
        await ledger.block(reason, HOUR + 40.0)
        with pytest.raises(error, match=text):
            await ledger.reserve(1)
    with pytest.raises(BudgetUsedUp, match="budget of 5400 request weight per 1 MINUTE is used up"):
        await fresh().reserve(5401)


# Generated runs.


@dataclass(frozen=True)
class Pass:
    """Time."""

    seconds: float


@dataclass(frozen=True)
class Reserve:
    weight: int
    purpose: Purpose
    client: str | None
    refundable: bool = False


@dataclass(frozen=True)
class Settle:
    """End one of the open reservations: answered, or not sent (`used` below zero)."""

    which: int
    used: int
    dated: float
    ok: bool


@dataclass(frozen=True)
class Forbid:
    reason: BlockReason
    seconds: float | None


@dataclass(frozen=True)
class Learn:
    weight: int
    raw: int


CLIENTS = ("bot", "other bot", Address("10.0.0.1"), Address("10.0.0.2"))
Step = Pass | Reserve | Settle | Forbid | Learn
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Pass, st.sampled_from([0.25, 1.0, 7.0, 29.0, 61.5, 400.0, 90_000.0])),
    st.builds(Reserve, st.integers(1, 60), st.sampled_from(Purpose), st.none()),
    st.builds(Reserve, st.integers(1, 30), st.just(Purpose.PUBLIC), st.sampled_from(CLIENTS)),
    st.builds(Reserve, st.integers(1, 30), st.just(Purpose.KEYED), st.sampled_from(CLIENTS), st.booleans()),
    st.builds(
        Settle, st.integers(0, 9), st.integers(-20, 120), st.sampled_from([-60.0, -1.0, 0.0, 2.0]), st.booleans()
    ),
    st.builds(Forbid, st.sampled_from(BlockReason), st.none() | st.sampled_from([-1.0, 3.0, 20.1234, 700.0])),
    st.builds(Learn, st.integers(50, 200), st.integers(5, 30)),
)


@dataclass
class Run:
    """One ledger going through a run, and everything it said."""

    replicas: Sequence[Ledger]
    clock: ManualClock
    open: list[Reservation] = field(default_factory=list)
    steps: int = 0

    async def take(self, step: Step) -> object:
        """Take a step with the replica whose turn it is."""
        self.steps += 1
        ledger = self.replicas[self.steps % len(self.replicas)]
        match step:
            case Reserve(weight, purpose, client, refundable):
                asked = ask(ledger, weight, purpose=purpose, refundable=refundable, client=client)
                return self._opened(await asked)
            case Settle(which, used, dated, ok) if self.open:
                reservation = self.open.pop(which % len(self.open))
                if used < 0:
                    await ledger.release(reservation)
                else:
                    await ledger.reconcile(reservation, headers(used, at=self.clock.now + dated), ok=ok)
            case Forbid(reason, seconds):
                await ledger.block(reason, None if seconds is None else self.clock.now + seconds)
            case Learn(weight, raw):
                windows = (
                    Window(RateLimitKind.REQUEST_WEIGHT, 60, weight),
                    Window(RateLimitKind.RAW_REQUESTS, 300, raw),
                )
                for replica in self.replicas:
                    replica.learn(windows)
        return None

    def _opened(self, outcome: Reservation | tuple[str, float]) -> object:
        if isinstance(outcome, Reservation):
            self.open.append(outcome)
            return [(charge.window_key.key, charge.weight) for charge in outcome.charges]
        return outcome


@dataclass
class Heard:
    """What one who keeps the used weight of a ledger has of it."""

    minute: float = -1.0
    version: int = -1
    used: int = 0

    def listen(self, ledger: Ledger, now: float) -> None:
        """With the same version, in the same minute, the used weight is the same."""
        assert isinstance(ledger, MemoryLedger | RedisLedger)
        before, version = self.minute, ledger.local_view.version
        self.minute = now // 60
        assert ledger.used_weight() == self.used or (self.minute, version) != (before, self.version)
        self.version, self.used = version, ledger.used_weight()


def local_view(view: LedgerView) -> LedgerView:
    """A view without the strikes of the block: they are compared by their effect."""
    return view if view.block is None else structs.replace(view, block=structs.replace(view.block, strikes=0))


def agrees(outcome: object, expected: object) -> bool:
    """Whether the ledger in Redis says what the model does.

    What it refuses without a round trip it has proven from what no refund can take back. So while refunds are open it
    may name another limit than the model, or one that ends earlier.
    """
    if outcome == expected:
        return True
    match outcome, expected:
        case ("quota" | "client-share", float(seconds)), ("quota" | "client-share", float(most)):
            return seconds <= most
    return False


@pytest.mark.no_cover
@given(st.lists(steps, min_size=10, max_size=50))
@settings(max_examples=sized(quick=20, usual=30, long=300), suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_model_memory_and_redis_answer_any_run_alike(domain: Domain, plan: list[Step]) -> None:
    domain.renew()
    clock = domain.clock
    clock.now = HOUR + 30.0
    tallies = [Tally(), Tally(), Tally()]
    runs = [
        Run([ModelLedger(clock, tallies[0])], clock),
        Run([MemoryLedger(clock=clock, ratios=RATIOS, observer=tallies[1])], clock),
        Run([domain.replica(tallies[2])[0]], clock),
    ]
    heard = [Heard(), Heard()]
    for step in (Learn(100, 12), *plan):
        if isinstance(step, Pass):
            clock.now += step.seconds
        model, memory, redis = [await run.take(step) for run in runs]
        assert memory == model
        assert agrees(redis, model)
        assert redis == model or any(isinstance(taken, Reserve) and taken.refundable for taken in plan)
        views = [run.replicas[0].view() for run in runs]
        assert views[1] == views[0]
        assert local_view(views[2]) == local_view(views[0])
        assert len({run.replicas[0].used_weight() for run in runs}) == 1
        for told, run in zip(heard, runs[1:], strict=True):
            told.listen(run.replicas[0], clock.now)
    assert tallies[1] == tallies[0]
    assert len(tallies[2].refusals) == len(tallies[0].refusals)
    assert replace(tallies[2], refusals=tallies[0].refusals) == tallies[0]


@pytest.mark.no_cover
@given(st.lists(steps, min_size=10, max_size=50))
@settings(max_examples=sized(quick=20, usual=30, long=200), suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_three_replicas_count_as_one(domain: Domain, plan: list[Step]) -> None:
    domain.renew()
    clock = domain.clock
    clock.now = HOUR + 30.0
    budget = ModelLedger(clock, Tally())
    model = Run([budget], clock)
    replicas = Run([domain.replica(Tally())[0] for _ in range(3)], clock)
    for step in (Learn(100, 12), *plan):
        if isinstance(step, Pass):
            clock.now += step.seconds
        expected, outcome = await model.take(step), await replicas.take(step)
        # What one replica knows of the others may be old: then, of what stands in the way, it names what it knows.
        if isinstance(expected, tuple):
            assert isinstance(outcome, tuple)
            assert outcome[0] != expected[0] or outcome[1] <= expected[1]
        else:
            assert outcome == expected
        for window in budget.view().windows:
            start = window.reset - (60 if window.name == "REQUEST_WEIGHT:1m" else 300)
            assert await domain.used(start, window.name) == (window.used, window.pending)


# Limits that are not believed. `ModelLedger` knows no limits of its own.


WEIGHT_NAMED = [("REQUEST_WEIGHT:1m", 6000), ("RAW_REQUESTS:5m", 61_000)]


def limits_of(ledger: Ledger) -> list[tuple[str, int]]:
    return [(window.name, window.limit) for window in ledger.view().windows]


@pytest.fixture(params=["memory", "redis"])
def real_ledger(request: pytest.FixtureRequest, domain: Domain, clock: ManualClock, tally: Tally) -> Ledger:
    if request.param == "memory":
        return MemoryLedger(clock=clock, ratios=RATIOS, observer=tally)
    return domain.replica()[0]


@pytest.mark.parametrize(
    "absurd",
    [
        (Window(RateLimitKind.REQUEST_WEIGHT, 60, 15),),
        (Window(RateLimitKind.REQUEST_WEIGHT, 60, 39),),
        (Window(RateLimitKind.RAW_REQUESTS, 300, 1),),
        tuple(Window(RateLimitKind.REQUEST_WEIGHT, 60 * n, 6000) for n in range(1, 2001)),
    ],
)
async def test_absurd_limits_leave_the_last_good_ones_and_are_told_once(
    real_ledger: Ledger, tally: Tally, absurd: tuple[Window, ...]
) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            real_ledger.learn(absurd)
    assert limits_of(real_ledger) == WEIGHT_NAMED
    assert isinstance(await ask(real_ledger, 20, purpose=Purpose.BACKGROUND), Reservation)
    assert len(tally.disbelieved) == 3
    assert [line["event"] for line in logs] == ["limits_not_believed"]
    assert len(str(logs[0])) < 400


async def test_a_high_limit_and_the_lowest_good_one_are_believed_at_once(real_ledger: Ledger, tally: Tally) -> None:
    for limit in (10**15, 40, 6000):
        real_ledger.learn((Window(RateLimitKind.REQUEST_WEIGHT, 60, limit),))
        assert limits_of(real_ledger)[0] == ("REQUEST_WEIGHT:1m", limit)
    assert tally.disbelieved == []


async def test_a_limit_below_what_is_used_refuses_until_the_window_ends(
    real_ledger: Ledger, clock: ManualClock
) -> None:
    await admitted(real_ledger, 3000)
    real_ledger.learn((Window(RateLimitKind.REQUEST_WEIGHT, 60, 100),))
    assert await ask(real_ledger, 1) == ("quota", 31.0)
    clock.now = HOUR + 90
    await admitted(real_ledger, 20)


# Dates that are wrong.


@pytest.mark.parametrize("wrong", [-3600, -120, -60, 60, 3600])
async def test_a_wrong_date_hides_no_used_weight(ledger: Ledger, clock: ManualClock, wrong: int) -> None:
    reservation = await admitted(ledger, 1)
    await ledger.reconcile(reservation, headers(5400, at=clock.now + wrong), ok=True)
    assert await ask(ledger, 1) == ("quota", 31.0)
