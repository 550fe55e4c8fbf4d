"""Rows that are kept are those that would be made anew."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.quota.budget import Blocked, Budget, Reservation
from proxy.core.quota.charges import WindowKey, WindowUsage, charges_of, cost_of
from proxy.core.quota.client_share import share_of
from proxy.core.quota.counts import RowTable, WindowCount
from proxy.core.quota.refusal import Refused
from proxy.core.quota.usage_report import UsageReport, reported_usage
from proxy.core.quota.windows import DEFAULT_WINDOWS, RateLimitKind, Window

START = 1_785_024_000
CHOICES = (DEFAULT_WINDOWS, (Window(RateLimitKind.REQUEST_WEIGHT, 10, 100),), (*DEFAULT_WINDOWS,), ())
asked = st.tuples(
    st.floats(0.0, 150.0),
    st.sampled_from((1, 2, 40)),
    st.sampled_from(CHOICES),
    st.sampled_from((0.0, 1.0, 1.5, 40.0)),
    st.booleans(),
    st.sampled_from((0.5, 0.9)),
)


@pytest.mark.no_cover
@given(st.lists(asked, min_size=1, max_size=30))
def test_kept_rows_are_those_that_would_be_made_anew(
    requests: list[tuple[float, int, tuple[Window, ...], float, bool, float]],
) -> None:
    counts: dict[WindowKey, WindowCount] = {}

    def count_of(key: WindowKey) -> WindowCount:
        return counts.setdefault(key, WindowCount(key.expires))

    def table() -> RowTable:
        return RowTable(count_of)

    kept = table()
    for after, weight, windows, guard_seconds, refundable, ratio in requests:
        now, cost = START + after, cost_of(weight)
        made, anew = (
            of.of(now, cost, windows, ratio=ratio, refundable=refundable, guard_seconds=guard_seconds)
            for of in (kept, table())
        )
        charges = charges_of(now, cost, windows, guard_seconds=guard_seconds, refundable=refundable)
        assert made.charges == anew.charges == charges
        assert made.rows == anew.rows
        assert [count for count, *_ in made.rows] == [counts[charge.window_key] for charge in charges]


@pytest.mark.no_cover
@given(st.lists(st.tuples(asked, st.booleans()), min_size=1, max_size=30))
def test_a_request_that_comes_again_is_charged_as_the_first_was(
    requests: list[tuple[tuple[float, int, tuple[Window, ...], float, bool, float], bool]],
) -> None:
    again, anew = Budget(), Budget()
    for (after, weight, windows, guard_seconds, refundable, ratio), asks_for_clients in requests:
        now, name = START + after, (weight, refundable, ratio)
        share = None if refundable else share_of("bot", 0.25)
        taken = again.reserve_again(now, windows, guard_seconds, name)
        outcomes = [
            of.reserve(
                now,
                cost_of(weight),
                windows,
                ratio=ratio,
                client_share=share,
                refundable=refundable,
                guard_seconds=guard_seconds,
                name=name,
            )
            for of in ((again, anew) if taken is None else (anew,))
        ]
        assert _charged(taken or outcomes[0]) == _charged(outcomes[-1])
        if not asks_for_clients:
            continue
        keys = [charge.window_key for charge in charges_of(now, cost_of(weight), windows, guard_seconds=guard_seconds)]
        assert [again.usage(key) for key in keys] == [anew.usage(key) for key in keys]
        assert [again.client_usage(key, share) for key in keys] == [anew.client_usage(key, share) for key in keys]


def test_what_is_known_by_name_is_counted_for_its_clients_whenever_somebody_asks() -> None:
    budget, clients = Budget(), [share_of(f"bot {number}", 0.25) for number in range(3)]
    known = 0
    for _ in range(4):
        for number, share in enumerate(clients):
            again = budget.reserve_again(START + 5.0, DEFAULT_WINDOWS, 1.0, (number,))
            known += again is not None
            if again is None:
                budget.reserve(START + 5.0, cost_of(7), DEFAULT_WINDOWS, ratio=0.9, client_share=share, name=(number,))
    usages = [budget.client_usage(WindowKey("REQUEST_WEIGHT:1m", 60, START), share) for share in clients]
    assert [(usage.used, usage.others) for usage in usages] == [(28, 2)] * 3
    assert known == 9


def test_what_is_known_by_name_is_counted_for_its_client_when_the_guard_changes() -> None:
    budget, share = Budget(), share_of("bot", 0.25)
    for guard_seconds in (1.0, 1.0, 1.5, 1.0, 1.0):
        now, name = START + 5.0, ("bot",)
        if budget.reserve_again(now, DEFAULT_WINDOWS, guard_seconds, name) is None:
            cost = cost_of(7)
            budget.reserve(
                now, cost, DEFAULT_WINDOWS, ratio=0.9, client_share=share, guard_seconds=guard_seconds, name=name
            )
    assert budget.client_usage(WindowKey("REQUEST_WEIGHT:1m", 60, START), share).used == 35


def test_a_request_that_leaves_the_first_half_of_one_window_changes_no_other() -> None:
    budget, windows = Budget(), (Window(RateLimitKind.RAW_REQUESTS, 60, 100), DEFAULT_WINDOWS[0])
    charges = charges_of(START + 5.0, cost_of(1000), windows, guard_seconds=1.0)
    for _ in range(2):
        budget.reserve(START + 5.0, cost_of(1000), windows, ratio=0.9, name=("heavy",))
    before = [budget.usage(charge.window_key) for charge in charges]
    assert budget.reserve_again(START + 5.0, windows, 1.0, ("heavy",)) is None
    assert [budget.usage(charge.window_key) for charge in charges] == before


told = st.tuples(
    st.floats(0.0, 400.0),
    st.floats(-130.0, 130.0),
    st.dictionaries(st.sampled_from((10, 60, 3600)), st.integers(0, 200), max_size=3),
    st.booleans(),
    st.sampled_from((1.0, 40.0)),
)


@pytest.mark.no_cover
@given(st.lists(told, min_size=1, max_size=30))
def test_windows_that_are_kept_are_those_that_answers_report(
    answers: list[tuple[float, float, dict[int, int], bool, float]],
) -> None:
    """The reference finds each window anew, and each counter by its window."""
    budget, used, pending = Budget(), Counter[WindowKey](), Counter[WindowKey]()
    now = START + 0.0
    for passed, ago, used_weight, ok, guard_seconds in answers:
        taken = budget.reserve(now, cost_of(5), DEFAULT_WINDOWS, ratio=0.9, guard_seconds=guard_seconds)
        assert isinstance(taken, Reservation)
        for charge in taken.charges:
            used[charge.window_key] += charge.weight
        now += passed / 8
        report = UsageReport(math.floor(now - ago), used_weight, ok)
        budget.settle(taken, report, now=now, guard_seconds=guard_seconds)
        for key, header in reported_usage(report, taken.at, now, guard_seconds).items():
            used[key] = max(used[key], header)
        for key, total in used.items():
            if now < key.expires:
                assert budget.usage(key) == WindowUsage(total, pending[key])
        assert budget.minute(now).counter.used == used[WindowKey("REQUEST_WEIGHT:1m", 60, int(now) // 60 * 60)]


def _charged(outcome: Reservation | Refused | Blocked) -> object:
    """Without the counters, which each budget has for itself."""
    return replace(outcome, rows=None) if isinstance(outcome, Reservation) else outcome
