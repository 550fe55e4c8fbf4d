"""Weight that the origin takes back: the one case in which `used` falls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.quota.budget import Budget, Reservation
from proxy.core.quota.charges import WindowKey, WindowUsage, cost_of
from proxy.core.quota.client_share import Limit, share_of
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.refusal import Refused
from proxy.core.quota.replica_view import ReplicaView, Wanted
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.windows import DEFAULT_WINDOWS, GUARD_SECONDS

T = 1_785_024_000.0 + 30
WEIGHT = WindowKey("REQUEST_WEIGHT:1m", 60, 1_785_024_000)
RAW = WindowKey("RAW_REQUESTS:5m", 300, 1_785_024_000)


def reserve(budget: Budget, weight: int = 1, *, now: float = T, refundable: bool = True) -> Reservation:
    outcome = budget.reserve(now, cost_of(weight), DEFAULT_WINDOWS, ratio=1.0, refundable=refundable)
    assert isinstance(outcome, Reservation)
    return outcome


def answer(budget: Budget, reservation: Reservation, *, ok: bool, used: int | None = None, now: float = T) -> int:
    told = {} if used is None else {60: used}
    return budget.reconcile(reservation, UsageReport(now, told, ok), now=now).foreign_weight


@pytest.mark.parametrize(("ok", "used"), [(True, 10), (False, 11)])
def test_only_a_good_answer_takes_the_weight_back(ok: bool, used: int) -> None:
    budget = Budget()
    answer(budget, reserve(budget, 10, refundable=False), ok=True)
    order = reserve(budget)
    assert budget.usage(WEIGHT) == WindowUsage(11, 1, 1)
    answer(budget, order, ok=ok)
    assert budget.usage(WEIGHT) == WindowUsage(used, 0, 0)
    assert budget.usage(RAW) == WindowUsage(2, 0, 0)  # a request stays a request


def test_what_was_not_sent_and_what_was_not_answered_stays() -> None:
    budget = Budget()
    budget.release(reserve(budget), now=T)
    reserve(budget)  # no answer comes
    assert budget.usage(WEIGHT) == WindowUsage(2, 1, 1)


def test_the_headers_of_an_order_are_read_after_the_refund() -> None:
    budget = Budget()
    other = reserve(budget, 5, refundable=False)
    assert answer(budget, reserve(budget), ok=True, used=2) == 2  # another program used 2
    assert budget.usage(WEIGHT) == WindowUsage(7, 5, 0)
    assert answer(budget, other, ok=True, used=7) == 0


def test_near_the_end_of_a_minute_both_windows_get_the_weight_back() -> None:
    budget = Budget()
    order = reserve(budget, now=T + 29.5)
    keys = [charge.window_key for charge in order.charges if charge.window_key.interval_seconds == 60]
    assert len(keys) == 2
    answer(budget, order, ok=True, now=T + 29.6)
    assert [budget.usage(key).used for key in keys] == [0, 0]


Step = tuple[str, int, int]
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(["order", "ask", "good", "bad", "release", "lost"]), st.integers(0, 9), st.integers(1, 9)
    ),
    max_size=60,
)


@given(steps)
def test_what_is_kept_never_falls_and_used_is_all_that_the_origin_may_have_counted(plan: list[Step]) -> None:
    budget, opened, counted = Budget(), list[tuple[Reservation, bool, int]](), 0
    kept = 0
    for act, which, weight in plan:
        if act in ("order", "ask"):
            opened.append((reserve(budget, weight, refundable=act == "order"), act == "order", weight))
            counted += weight
        elif opened:
            reservation, is_order, charged = opened.pop(which % len(opened))
            match act:
                case "good":
                    counted -= charged if is_order else 0
                    answer(budget, reservation, ok=True, used=counted)
                case "bad":
                    answer(budget, reservation, ok=False, used=counted)
                case "release":
                    budget.release(reservation, now=T)
        usage = budget.usage(WEIGHT)
        assert usage.used >= counted
        assert usage.kept >= kept
        assert 0 <= usage.refundable <= usage.used
        kept = usage.kept


def test_an_answer_that_comes_late_lowers_nothing_that_is_kept() -> None:
    budget = Budget()
    budget.adopt(WEIGHT, WindowUsage(50, 4, 4))
    budget.adopt(WEIGHT, WindowUsage(30, 0, 0))
    assert budget.usage(WEIGHT).used == 46


def test_a_refund_of_another_replica_is_adopted() -> None:
    budget = Budget()
    budget.adopt(WEIGHT, WindowUsage(50, 4, 4))
    budget.adopt(WEIGHT, WindowUsage(46, 0, 0))
    assert budget.usage(WEIGHT) == WindowUsage(46, 0, 0)


def wanted(weight: int, purpose: Purpose = Purpose.PUBLIC) -> Wanted:
    return Wanted(
        now=T, weight=weight, windows=DEFAULT_WINDOWS, ratios=Ratios(), purpose=purpose, guard_seconds=GUARD_SECONDS
    )


def test_a_refusal_without_a_round_trip_is_proven_by_what_is_kept() -> None:
    view = ReplicaView()
    view.adopt({WEIGHT: WindowUsage(5400, 100, 100)})
    assert view.refuse(wanted(1)) is None  # refunds may make room
    assert view.refuse(wanted(100)) is None
    assert view.refuse(wanted(101)) is not None


def test_alone_what_may_be_taken_back_counts_as_used_and_nothing_is_taken_back() -> None:
    view = ReplicaView()
    view.adopt({WEIGHT: WindowUsage(1490, 100, 100)})
    assert not isinstance(view.reserve_alone(wanted(11), replicas=1), Reservation)
    order = Wanted(
        now=T,
        weight=10,
        windows=DEFAULT_WINDOWS,
        ratios=Ratios(),
        purpose=Purpose.KEYED,
        guard_seconds=GUARD_SECONDS,
        refundable=True,
    )
    reservation = view.reserve_alone(order, replicas=1)
    assert isinstance(reservation, Reservation)
    view.reconcile_alone(view.settle_alone(reservation, T), UsageReport(T, {}, ok=True), T)
    assert view.budget.usage(WEIGHT).used == 1500


@pytest.mark.parametrize(
    ("purpose", "shared", "local"),
    [(Purpose.PUBLIC, 0.9, 0.25), (Purpose.BACKGROUND, 0.5, 0.5 / 3.6), (Purpose.KEYED, 0.98, 0.98 / 3.6)],
)
def test_each_purpose_has_its_ratio_and_keeps_its_proportion_while_redis_is_away(
    purpose: Purpose, shared: float, local: float
) -> None:
    assert Ratios().of(purpose, local=False) == shared
    assert Ratios().of(purpose, local=True) == pytest.approx(local)


def test_trading_never_gets_less_than_all_others() -> None:
    assert Ratios(budget=1.0, trading=0.5).of(Purpose.KEYED, local=False) == 1.0


def test_a_refusal_while_refunds_are_open_names_what_they_cannot_change() -> None:
    view, share = ReplicaView(), share_of("bot", 0.25)
    assert share is not None
    view.adopt({WEIGHT: WindowUsage(5390, 2000, 2000)})
    view.adopt_clients(share, {WEIGHT: 1300}, {WEIGHT: 2})
    refused = view.refuse(replace(wanted(100), client_share=share))
    assert isinstance(refused, Refused)
    assert refused.by is Limit.CLIENT_SHARE  # by all that is used it would be the budget


def test_alone_an_answer_ends_one_request_and_no_other() -> None:
    view = ReplicaView()
    first, second = (view.reserve_alone(wanted(20), replicas=1) for _ in range(2))
    assert isinstance(first, Reservation)
    assert isinstance(second, Reservation)
    view.reconcile_alone(view.settle_alone(first, T), UsageReport(T, {60: 40}, ok=True), T)
    assert view.budget.usage(WEIGHT) == WindowUsage(60, 20), "what the header tells may be without the second one"
