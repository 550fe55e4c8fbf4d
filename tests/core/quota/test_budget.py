"""The model of the quota: what is admitted, what an answer changes, how long a block lasts."""

from __future__ import annotations

import math
from collections import Counter as Tally

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.quota.block import STRIKE_MEMORY_SECONDS, Block, BlockReason, next_block
from proxy.core.quota.budget import Blocked, Budget, Reservation
from proxy.core.quota.charges import KEEP_SECONDS, WindowKey, WindowUsage, budget_of, cost_of
from proxy.core.quota.refusal import Refused
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.windows import DEFAULT_WINDOWS, LONGEST_BLOCK_SECONDS, RateLimitKind, Window

T = 1_785_024_000
"""A full hour."""
MINUTE = WindowKey("REQUEST_WEIGHT:1m", 60, T)
RAW = WindowKey("RAW_REQUESTS:5m", 300, T)


def reserve(
    budget: Budget,
    now: float = T + 30,
    weight: int = 20,
    *,
    windows: tuple[Window, ...] = DEFAULT_WINDOWS,
    ratio: float = 0.9,
) -> Reservation | Refused | Blocked:
    return budget.reserve(now, cost_of(weight), windows, ratio=ratio)


def reserved(budget: Budget, now: float = T + 30, weight: int = 20) -> Reservation:
    outcome = reserve(budget, now, weight)
    assert isinstance(outcome, Reservation)
    return outcome


def answer(budget: Budget, reservation: Reservation, header: int | None, at: float = T + 31) -> int:
    used_weight = {} if header is None else {60: header}
    return budget.reconcile(reservation, UsageReport(at, used_weight, ok=True), now=at).foreign_weight


@pytest.mark.parametrize(
    ("limit", "ratio", "budget"),
    [(6000, 0.9, 5400), (61_000, 0.9, 54_900), (100, 0.29, 29), (10, 0.99, 9), (7, 0.5, 3), (6000, 1.0, 6000)],
)
def test_the_budget_is_our_share_rounded_down(limit: int, ratio: float, budget: int) -> None:
    assert budget_of(limit, ratio) == budget


def test_a_reservation_is_charged_in_every_kind_of_window() -> None:
    budget = Budget()
    reserved(budget)

    assert budget.usage(MINUTE) == WindowUsage(20, 20)
    assert budget.usage(RAW) == WindowUsage(1, 1)


def test_the_budget_may_be_reached_and_not_passed() -> None:
    budget = Budget()

    assert sum(isinstance(reserve(budget), Reservation) for _ in range(400)) == 270
    assert budget.usage(MINUTE).used == 5400
    assert isinstance(reserve(budget, weight=1), Refused)


def test_a_refusal_names_the_window_and_the_moment_from_which_the_request_could_pass() -> None:
    budget = Budget()
    reserved(budget, weight=5400)
    refused = reserve(budget)

    assert refused == Refused(DEFAULT_WINDOWS[0], T + 61)
    assert isinstance(reserve(budget, T + 60.999), Refused)
    assert isinstance(reserve(budget, T + 61), Reservation)


def test_in_the_last_second_the_next_window_is_charged_too() -> None:
    budget = Budget()
    reserved(budget, T + 59.5, weight=5400)

    assert reserve(budget, T + 59.6) == Refused(DEFAULT_WINDOWS[0], T + 121)
    assert isinstance(reserve(budget, T + 90), Refused)
    assert isinstance(reserve(budget, T + 121), Reservation)


def test_of_several_windows_in_the_way_the_last_to_end_is_told() -> None:
    windows = (Window(RateLimitKind.RAW_REQUESTS, 300, 1), Window(RateLimitKind.REQUEST_WEIGHT, 60, 20))
    budget = Budget()
    assert isinstance(reserve(budget, windows=windows, ratio=1.0), Reservation)

    assert reserve(budget, windows=windows, ratio=1.0) == Refused(windows[0], T + 301)


def test_a_lost_answer_stays_charged_and_pending() -> None:
    budget = Budget()
    reserved(budget)
    answer(budget, reserved(budget), 40)

    assert budget.usage(MINUTE) == WindowUsage(60, 20)


def test_a_request_that_was_never_sent_is_no_more_pending_and_stays_used() -> None:
    budget = Budget()
    budget.release(reserved(budget), now=T + 31)

    assert budget.usage(MINUTE) == WindowUsage(20, 0)


def test_a_header_that_is_explained_raises_nothing() -> None:
    budget = Budget()

    assert answer(budget, reserved(budget), 20) == 0
    assert budget.usage(MINUTE) == WindowUsage(20, 0)


def test_a_lower_header_takes_nothing_away() -> None:
    budget = Budget()
    reserved(budget, weight=100)
    answer(budget, reserved(budget), 1)

    assert budget.usage(MINUTE).used == 120


def test_other_programs_on_the_same_ip_are_followed() -> None:
    budget = Budget()
    first, second = reserved(budget), reserved(budget)

    assert answer(budget, first, 3020) == 3000
    assert budget.usage(MINUTE) == WindowUsage(3040, 20)
    assert answer(budget, second, 3040) == 0


def test_a_header_counts_in_the_window_of_its_answer() -> None:
    budget = Budget()
    answer(budget, reserved(budget, T + 58), 1000, at=T + 60)

    assert budget.usage(MINUTE) == WindowUsage(20, 0)
    assert budget.usage(WindowKey("REQUEST_WEIGHT:1m", 60, T + 60)).used == 1000


def test_a_header_dated_far_from_our_clock_counts_in_the_current_window() -> None:
    budget = Budget()
    reservation = reserved(budget)
    budget.reconcile(reservation, UsageReport(T - 86_400.0, {60: 1000}, ok=True), now=T + 31)

    assert budget.usage(MINUTE).used == 1000


def test_an_answer_without_headers_only_ends_the_waiting() -> None:
    budget = Budget()

    assert answer(budget, reserved(budget), None) == 0
    assert budget.usage(MINUTE) == WindowUsage(20, 0)


def test_pending_never_falls_below_zero() -> None:
    budget = Budget()
    reservation = reserved(budget)
    budget.release(reservation, now=T + 31)
    budget.release(reservation, now=T + 31)

    assert budget.usage(MINUTE) == WindowUsage(20, 0)


def test_an_expired_counter_stays_forgotten() -> None:
    budget = Budget()
    reservation = reserved(budget)
    late = T + 60 + KEEP_SECONDS
    reserved(budget, late)
    budget.release(reservation, now=late)

    assert budget.usage(MINUTE) == WindowUsage(0, 0)


def test_what_is_reconciled_is_told_for_every_counter_it_touches() -> None:
    budget = Budget()
    reconciled = budget.reconcile(reserved(budget), UsageReport(T + 31, {60: 50}, ok=True), now=T + 31)

    assert reconciled.usages == {MINUTE: WindowUsage(50, 0), RAW: WindowUsage(1, 0)}


def test_a_reservation_covers_the_moments_that_it_was_charged_for() -> None:
    reservation = reserved(Budget(), T + 30)

    assert reservation.covers(T + 58.9)
    assert not reservation.covers(T + 59)
    assert reserved(Budget(), T + 59.5).covers(T + 60.5)


def test_a_raised_limit_keeps_what_was_used() -> None:
    budget = Budget()
    reserved(budget, weight=5400)
    raised = (Window(RateLimitKind.REQUEST_WEIGHT, 60, 12_000),)

    assert isinstance(reserve(budget, weight=5400, windows=raised), Reservation)
    assert isinstance(reserve(budget, weight=1, windows=raised), Refused)


# One request: (seconds since the last, weight, how late the origin counts it as a part of the edge).
requests = st.tuples(st.floats(0, 20), st.integers(1, 40), st.floats(-0.999, 0.999))


@pytest.mark.no_cover
@given(
    st.lists(requests, max_size=60),
    st.sampled_from([0.0, 0.25, 1.0, 2.5]),
    st.sampled_from([0.5, 0.9, 1.0]),
)
def test_no_window_of_the_origin_passes_the_budget_even_at_its_edges(
    sent: list[tuple[float, int, float]], edge: float, ratio: float
) -> None:
    windows = (Window(RateLimitKind.REQUEST_WEIGHT, 10, 100), Window(RateLimitKind.RAW_REQUESTS, 60, 12))
    budget, now = Budget(), float(T)
    counted: Tally[WindowKey] = Tally()
    for pause, weight, late in sent:
        now += pause
        outcome = budget.reserve(now, cost_of(weight), windows, ratio=ratio, guard_seconds=edge)
        if isinstance(outcome, Reservation):
            for window in windows:
                counted[WindowKey(window.name, 0, window.start(now + late * edge))] += cost_of(weight)[window.kind]
    for window in windows:
        own = [weight for window_key, weight in counted.items() if window_key.name == window.name]
        assert all(weight <= budget_of(window.limit, ratio) for weight in own)


steps = st.tuples(
    st.floats(0, 15),
    st.integers(1, 60),
    st.sampled_from(["answered", "lost", "never sent"]),
    st.integers(0, 150),
)


@pytest.mark.no_cover
@given(st.lists(steps, max_size=60))
def test_used_never_falls_and_a_refusal_changes_nothing(plan: list[tuple[float, int, str, int]]) -> None:
    windows = (Window(RateLimitKind.REQUEST_WEIGHT, 60, 100), Window(RateLimitKind.RAW_REQUESTS, 300, 9))
    budget, now = Budget(), float(T)
    seen: dict[WindowKey, WindowUsage] = {}
    for pause, weight, end, header in plan:
        now += pause
        before = {window_key: budget.usage(window_key) for window_key in seen if now < window_key.expires}
        outcome = reserve(budget, now, weight, windows=windows)
        if isinstance(outcome, Refused):
            assert {window_key: budget.usage(window_key) for window_key in before} == before
            assert outcome.until > now
            continue
        assert isinstance(outcome, Reservation)
        for charge in outcome.charges:
            assert budget.usage(charge.window_key).used <= budget_of(charge.window.limit, 0.9)
            seen[charge.window_key] = budget.usage(charge.window_key)
        if end == "answered":
            answer(budget, outcome, header, at=now)
        elif end == "never sent":
            budget.release(outcome, now=now)
        assert all(budget.usage(window_key).used >= known.used for window_key, known in before.items())
        assert all(0 <= budget.usage(window_key).pending <= budget.usage(window_key).used for window_key in seen)


# Blocks.

BACK_OFF, BAN, PAUSE = BlockReason.BACK_OFF, BlockReason.BAN, BlockReason.PAUSE


@pytest.mark.parametrize(
    ("reason", "second", "strikes", "seconds"),
    [
        (BACK_OFF, 10, 0, 51),
        (BACK_OFF, 59, 0, 5),
        (BACK_OFF, 59, 1, 10),
        (BACK_OFF, 59, 2, 20),
        (BACK_OFF, 10, 2, 51),
        (BACK_OFF, 10, 4, 80),
        (BAN, 10, 0, 120),
        (BAN, 10, 1, 240),
        (BAN, 10, 20, LONGEST_BLOCK_SECONDS),
        (BAN, 10, 5000, LONGEST_BLOCK_SECONDS),
        (PAUSE, 10, 0, 60),
        (PAUSE, 10, 1, 120),
        (PAUSE, 10, 7, 3600),
    ],
)
def test_a_block_without_a_told_end_lasts_as_the_penalty_says(
    reason: BlockReason, second: int, strikes: int, seconds: int
) -> None:
    earlier = Block(BAN, T - 1.0, strikes - 1) if strikes else None
    block = next_block(earlier, reason, T + second, until=None, guard_seconds=1.0)

    assert block == Block(reason, T + second + seconds, strikes)


@pytest.mark.parametrize(
    ("told", "until"),
    [(T + 7.25, T + 7.25), (T + 90 * 86_400.0, T + LONGEST_BLOCK_SECONDS), (T + 0.0, T + 120), (T - 5.0, T + 120)],
)
def test_a_told_end_is_obeyed_within_bounds(told: float, until: float) -> None:
    assert next_block(None, BAN, T, until=told, guard_seconds=1.0) == Block(BAN, until)


def test_of_two_blocks_the_one_that_ends_later_holds_with_its_reason() -> None:
    back_off = next_block(None, BACK_OFF, T, until=T + 500.0, guard_seconds=1.0)

    assert next_block(back_off, BAN, T + 1, until=T + 300.0, guard_seconds=1.0) == back_off
    assert next_block(back_off, BAN, T + 1, until=T + 900.0, guard_seconds=1.0) == Block(BAN, T + 900.0)


def test_a_storm_of_refusals_is_one_strike() -> None:
    budget = Budget()
    blocks = [budget.block(BAN, T + i * 0.25, until=None) for i in range(50)]

    assert blocks[-1] == Block(BAN, T + 12.25 + 120, 0)
    assert budget.block(BAN, T + 300, until=None) == Block(BAN, T + 540.0, 1)


def test_strikes_are_forgotten_after_a_day() -> None:
    earlier = Block(BAN, float(T), 3)

    assert next_block(earlier, BAN, T + STRIKE_MEMORY_SECONDS - 1, until=None, guard_seconds=1.0).strikes == 4
    assert next_block(earlier, BAN, T + STRIKE_MEMORY_SECONDS, until=None, guard_seconds=1.0).strikes == 0


def test_while_a_block_holds_nothing_is_reserved() -> None:
    budget = Budget()
    budget.block(BAN, T, until=T + 100.0)

    assert reserve(budget, T + 99.9, weight=1) == Blocked(BAN, T + 100.0)
    assert budget.usage(RAW) == WindowUsage()
    assert isinstance(reserve(budget, T + 100), Reservation)


def test_a_good_answer_after_the_block_ends_the_strikes() -> None:
    budget = Budget()
    budget.block(BAN, T, until=T + 10.0)
    answer(budget, reserved(budget, T + 11), 20, at=T + 12)

    assert budget.block(BAN, T + 13, until=None).strikes == 0


def test_a_bad_answer_after_the_block_does_not() -> None:
    budget = Budget()
    budget.block(BAN, T, until=T + 10.0)
    budget.reconcile(reserved(budget, T + 11), UsageReport(T + 12, {}, ok=False), now=T + 12)

    assert budget.block(BAN, T + 13, until=None).strikes == 1


def test_a_good_answer_to_a_request_from_before_the_block_does_not() -> None:
    budget = Budget()
    early = reserved(budget, T)
    budget.block(BAN, T + 1, until=T + 10.0)
    answer(budget, early, 20, at=T + 12)

    assert budget.block(BAN, T + 13, until=None).strikes == 1


def test_a_good_answer_while_the_block_holds_does_not_lift_it() -> None:
    budget = Budget()
    early = reserved(budget, T)
    budget.block(BAN, T + 1, until=T + 100.0)
    answer(budget, early, 20, at=T + 2)

    assert budget.block_at(T + 99) == Block(BAN, T + 100.0)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 200),
            st.sampled_from(BlockReason),
            st.none() | st.floats(-10, 400_000),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_block_never_ends_earlier_than_it_was_told_nor_later_than_three_days(
    plan: list[tuple[float, BlockReason, float | None]],
) -> None:
    budget, now, until = Budget(), float(T), -math.inf
    for pause, reason, lasts in plan:
        now += pause
        block = budget.block(reason, now, until=None if lasts is None else now + lasts)
        assert now - 0.0001 < block.until <= now + LONGEST_BLOCK_SECONDS + 0.001
        assert until <= now or block.until >= until
        until = block.until
