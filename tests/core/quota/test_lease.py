"""Leases as numbers: what is held, how large a grant is, what needs no lease; and what a push proves."""

from __future__ import annotations

import pytest

from proxy.core.quota.charges import WindowUsage
from proxy.core.quota.lease import (
    Lease,
    Totals,
    cannot_bind,
    ceiling_of,
    expected_need,
    half_of,
    largest_grant,
    may_lease,
    most_untold,
)
from proxy.core.quota.lease_need import Rate
from proxy.core.quota.push_trust import TRUST_SECONDS, PushTrust
from proxy.core.quota.ratios import Ratios
from proxy.core.quota.windows import DEFAULT_WINDOWS, RateLimitKind, Window

WEIGHT, RAW = DEFAULT_WINDOWS


def test_what_is_held_is_what_is_left_of_what_was_taken() -> None:
    lease = Lease()
    lease.adopt_taken(100)
    lease.charge(10)
    for weight in (20, 30):
        lease.charge(weight)
        lease.open_order(weight)
    assert lease.held == 40
    lease.settle(20, succeeded=True)
    assert lease.held == 60, "the origin took the weight of an order back"
    lease.settle(30, succeeded=False)
    assert lease.held == 60
    lease.give_back()
    assert (lease.held, lease.totals) == (0, Totals(100, 60, 40))
    lease.adopt_taken(90)
    assert lease.totals.taken == 100, "an answer that comes late tells less"


def test_orders_are_spent_once_the_store_has_lost_them() -> None:
    lease = Lease()
    lease.adopt_taken(10)
    lease.charge(10)
    lease.open_order(10)
    lease.forget_orders()
    lease.settle(10, succeeded=True)

    assert (lease.held, lease.totals.spent) == (0, 10)


@pytest.mark.parametrize(("grant", "spent"), [(100, 50), (40, 16), (13, 4), (4, 1), (1, 1)])
def test_the_next_grant_is_fetched_long_before_a_request_must_wait(grant: int, spent: int) -> None:
    """At half, and below the weight of a heavy request at three quarters."""
    lease = Lease()
    lease.adopt_taken(grant)
    lease.asked()
    lease.charge(spent - 1)
    assert not lease.is_low
    lease.charge(1)
    assert lease.is_low


def test_the_store_is_told_when_so_much_is_spent_as_it_allowed() -> None:
    lease = Lease()
    lease.adopt_taken(100)
    lease.was_told(Totals(100), untold=50)
    seen = []
    for weight, is_order in ((49, False), (20, True), (1, False)):
        lease.charge(weight)
        if is_order:
            lease.open_order(weight)
        seen.append(lease.must_tell)
    assert seen == [False, False, True]
    lease.was_told(lease.totals, untold=0)
    assert [lease.must_tell] == [False]
    lease.charge(1)
    assert [lease.must_tell] == [True], "each request is told"


def test_after_a_call_without_an_answer_the_next_request_is_told() -> None:
    lease = Lease()
    lease.adopt_taken(100)
    lease.was_told(Totals(100), untold=50)
    lease.charge(20)
    lease.may_be_told(lease.totals)
    assert not lease.must_tell
    lease.charge(1)
    assert lease.must_tell


def test_what_needs_no_lease_is_not_told_at_once() -> None:
    lease = Lease()
    lease.charge(5)
    assert not lease.must_tell


@pytest.mark.parametrize(
    ("spent", "others", "held", "half", "parts", "untold"),
    [
        (0, 0, 100, 0, 40, 100),  # clients have no share
        (0, 0, 100, 2700, 40, 100),
        (1200, 0, 500, 2700, 16, 371),  # a quarter of what is left, less a request
        (1200, 1000, 500, 2700, 16, 121),
        (1200, 0, 500, 2700, 40, 211),
        (1200, 0, 500, 2700, 400, 25),
        (2660, 0, 500, 2700, 4, 36),
        (2660, 0, 500, 2700, 40, 2),
        (2660, 0, 500, 2700, 400, 0),
        (2800, 0, 500, 2700, 4, 0),
    ],
)
def test_so_much_may_be_spent_untold_that_all_together_stay_below_half(
    spent: int, others: int, held: int, half: int, parts: int, untold: int
) -> None:
    usage = WindowUsage(spent + others + held, 0, others + held, others + held, others)
    assert most_untold(usage, held=held, half=half, parts=parts) == untold


@pytest.mark.parametrize(
    ("per_second", "seconds_left", "need"), [(10.0, 100.0, 600), (10.0, 5.0, 50), (0.01, 50.0, 1), (1.0, -3.0, 2)]
)
def test_a_block_lasts_to_the_end_of_the_window_or_a_minute(per_second: float, seconds_left: float, need: int) -> None:
    assert expected_need(per_second, seconds_left) == need


@pytest.mark.parametrize(
    ("used", "leased", "held", "parts", "grant"),
    [
        (0, 0, 0, 40, 135),
        (0, 0, 0, 4000, 1),
        (1000, 1000, 0, 40, 135),
        (135, 135, 135, 40, 33),  # never more than one grant and a quarter
        (135, 135, 169, 40, 0),
        (4850, 0, 0, 4, 10),
        (5000, 0, 0, 4, 0),
    ],
)
def test_a_block_is_at_most_a_part_of_each_replicas_part_of_what_is_left(
    used: int, leased: int, held: int, parts: int, grant: int
) -> None:
    usage = WindowUsage(used, 0, leased, leased)
    assert largest_grant(usage, held=held, budget=5400, ceiling=4860, parts=parts) == grant


def test_leases_end_where_shares_begin_or_little_is_left() -> None:
    assert (half_of(WEIGHT, Ratios()), ceiling_of(WEIGHT, Ratios())) == (2700, 4860)
    assert half_of(WEIGHT, Ratios(client=1.0)) == 0


def test_a_limit_that_another_one_keeps_needs_no_lease() -> None:
    assert cannot_bind(RAW, DEFAULT_WINDOWS, Ratios())
    assert not cannot_bind(WEIGHT, DEFAULT_WINDOWS, Ratios())
    low = Window(RateLimitKind.RAW_REQUESTS, 300, 6100)
    assert not cannot_bind(low, (WEIGHT, low), Ratios())
    assert not cannot_bind(low, (low,), Ratios())


def test_short_windows_are_not_leased() -> None:
    assert may_lease(DEFAULT_WINDOWS, 1.0)
    assert not may_lease((*DEFAULT_WINDOWS, Window(RateLimitKind.REQUEST_WEIGHT, 10, 500)), 1.0)
    assert not may_lease(DEFAULT_WINDOWS, 61.0), "the time is not known"


def test_the_rate_follows_what_is_spent() -> None:
    rate = Rate()
    assert rate.per_second(0.0) == 0.0
    for number in range(300):
        rate.add(2, number / 10)
    assert rate.per_second(30.0) == pytest.approx(20, rel=0.05)
    assert rate.requests_per_second(30.0) == pytest.approx(10, rel=0.05)
    assert rate.per_second(70.0) < 4
    rate.add(5, 1000.0)
    assert rate.per_second(1000.0) == 10.0, "the first request after a pause is taken for the rate of half a second"


def test_a_push_proves_the_channel_for_300_ms_from_when_it_was_sent() -> None:
    trust = PushTrust()
    trust.pushed(1000.0, received_at=50.0)
    assert trust.trusted_until < 50.0, "how the server's clock stands is not known yet"
    trust.answered(1000.001, sent_at=50.0)
    trust.pushed(1000.101, received_at=50.102)
    assert trust.trusted_until == pytest.approx(50.1 + TRUST_SECONDS)


def test_an_old_push_of_a_server_that_woke_proves_nothing() -> None:
    trust = PushTrust()
    trust.answered(1000.0, sent_at=50.0)
    trust.pushed(1000.1, received_at=55.1)

    assert trust.trusted_until < 51.0


def test_a_clock_that_was_set_ends_the_proof_until_the_next_answers() -> None:
    trust = PushTrust()
    trust.answered(1000.0, sent_at=50.0)
    trust.pushed(1009.0, received_at=50.1)
    assert trust.trusted_until < 50.0
    trust.answered(1009.2, sent_at=50.2)
    trust.pushed(1009.3, received_at=50.3)
    assert trust.trusted_until == pytest.approx(50.6)
