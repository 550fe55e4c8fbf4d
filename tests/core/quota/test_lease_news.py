"""Orders that were reserved by themselves: a store that lacks one has lost data."""

from __future__ import annotations

from proxy.core.quota.budget import Budget, Reservation
from proxy.core.quota.charges import WindowKey, WindowUsage, cost_of
from proxy.core.quota.lease_calls import Settled
from proxy.core.quota.lease_news import News
from proxy.core.quota.lease_store import LeaseStore
from proxy.core.quota.process_leases import ProcessLeases
from proxy.core.quota.ratios import Ratios
from proxy.core.quota.windows import DEFAULT_WINDOWS, GUARD_SECONDS

START = 1_785_024_000
KEY = WindowKey("REQUEST_WEIGHT:1m", 60, START)


def order(budget: Budget, weight: int, at: float) -> Reservation:
    reservation = budget.reserve(at, cost_of(weight), DEFAULT_WINDOWS, ratio=0.9, refundable=True)
    assert isinstance(reservation, Reservation)
    return reservation


def test_an_answer_that_lacks_an_open_order_shows_a_loss() -> None:
    news = News()
    news.open(order(Budget(), 5, START + 2.0))
    news.take()

    assert news.missing(KEY, WindowUsage(used=9, refundable=9, leased=0)) == 0
    assert news.missing(KEY, WindowUsage(used=9, refundable=9, leased=6)) == 2


def test_an_answer_to_a_call_before_the_order_shows_nothing_nor_one_while_an_order_ends() -> None:
    news, first, second = News(), order(Budget(), 5, START + 2.0), order(Budget(), 5, START + 2.0)
    news.take()
    news.open(first)
    assert news.missing(KEY, WindowUsage()) == 0
    news.take()
    news.settle(first, START + 3.0, ok=True)
    news.open(second)
    assert news.missing(KEY, WindowUsage()) == 0


def test_a_store_that_has_lost_an_order_is_not_told_to_take_it_back() -> None:
    news, lost = News(), order(Budget(), 5, START + 2.0)
    news.open(lost)
    news.lose(START + 3.0)
    kept = order(Budget(), 7, START + 4.0)
    news.settle(lost, START + 5.0, ok=True)
    news.settle(kept, START + 5.0, ok=True)

    assert news.take()[KEY] == Settled(pending=12, refunded=7)


def test_a_copy_that_lacks_an_order_counts_it_again_and_grants_nothing() -> None:
    """Its push has the number that was last heard, and no weight that stays is missing."""
    store = LeaseStore(Budget(), birth="b", born_at=START - 100.0)
    leases = ProcessLeases("a", Ratios(client=1.0))
    store.budget.put(KEY, WindowUsage(used=1000))
    leases.news.open(order(store.budget, 50, START + 2.0))
    copy = LeaseStore(Budget(), birth="b", born_at=START - 100.0)
    copy.budget.put(KEY, WindowUsage(used=1000))
    for at in (START + 3.0, START + 3.1, START + 3.2):
        leases.frame(at, DEFAULT_WINDOWS, GUARD_SECONDS)
        call = leases.call(at, replicas=1, floors={KEY: 1000})
        leases.answered(call, copy.call(call))

    assert copy.is_exact(KEY)
    assert copy.budget.usage(KEY).used == 1050 + 1088  # a quarter of what is left, once
    assert not leases.is_urgent
