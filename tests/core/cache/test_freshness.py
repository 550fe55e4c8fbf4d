"""The boundaries of the freshness policy (RFC 9111 section 4.2, RFC 5861)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.cache.freshness import Freshness, decide
from proxy.core.messages import Entry, Lifetimes

NOW = 1_800_000_000.0


def entry(*, age_seconds: float, lifetimes: Lifetimes) -> Entry:
    return Entry(
        status=200,
        content_type="application/json",
        body=b"{}",
        gzip=None,
        etag="e",
        stored_at=NOW - age_seconds,
        lifetimes=lifetimes,
    )


def lifetimes(fresh: float, while_revalidate: float, if_error: float) -> Lifetimes:
    return Lifetimes(
        fresh_seconds=fresh,
        stale_while_revalidate_seconds=while_revalidate,
        stale_if_error_seconds=if_error,
    )


USUAL = lifetimes(60.0, 60.0, 86_400.0)
NO_REVALIDATE = lifetimes(60.0, 0.0, 100.0)
NEGATIVE = lifetimes(10.0, 0.0, 0.0)
ERROR_SHORTER = lifetimes(60.0, 60.0, 30.0)
NEVER = lifetimes(0.0, 0.0, 0.0)


def test_nothing_stored_is_absent() -> None:
    assert decide(None, NOW) is Freshness.ABSENT


@pytest.mark.parametrize(
    ("policy", "age_seconds", "expected"),
    [
        (USUAL, -1.9, Freshness.FRESH),
        (USUAL, -2.1, Freshness.STALE_IF_ERROR),
        (USUAL, -3600.0, Freshness.STALE_IF_ERROR),
        (ERROR_SHORTER, -3600.0, Freshness.STALE_WHILE_REVALIDATE),
        (NEGATIVE, -3600.0, Freshness.EXPIRED),
        (USUAL, 0.0, Freshness.FRESH),
        (USUAL, 59.999, Freshness.FRESH),
        (USUAL, 60.0, Freshness.STALE_WHILE_REVALIDATE),
        (USUAL, 119.999, Freshness.STALE_WHILE_REVALIDATE),
        (USUAL, 120.0, Freshness.STALE_IF_ERROR),
        (USUAL, 86_459.999, Freshness.STALE_IF_ERROR),
        (USUAL, 86_460.0, Freshness.EXPIRED),
        (USUAL, 1e9, Freshness.EXPIRED),
        (NO_REVALIDATE, 59.0, Freshness.FRESH),
        (NO_REVALIDATE, 60.0, Freshness.STALE_IF_ERROR),
        (NO_REVALIDATE, 160.0, Freshness.EXPIRED),
        (NEGATIVE, 9.999, Freshness.FRESH),
        (NEGATIVE, 10.0, Freshness.EXPIRED),
        (ERROR_SHORTER, 119.999, Freshness.STALE_WHILE_REVALIDATE),
        (ERROR_SHORTER, 120.0, Freshness.EXPIRED),
        (NEVER, 0.0, Freshness.EXPIRED),
        (NEVER, -1.0, Freshness.EXPIRED),
    ],
)
def test_each_lifetime_ends_where_the_next_begins(policy: Lifetimes, age_seconds: float, expected: Freshness) -> None:
    assert decide(entry(age_seconds=age_seconds, lifetimes=policy), NOW) is expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(USUAL, 86_460.0), (NO_REVALIDATE, 160.0), (NEGATIVE, 10.0), (ERROR_SHORTER, 120.0)],
)
def test_the_horizon_is_where_an_entry_expires(policy: Lifetimes, expected: float) -> None:
    assert policy.horizon_seconds == expected
    assert decide(entry(age_seconds=expected, lifetimes=policy), NOW) is Freshness.EXPIRED
    assert decide(entry(age_seconds=expected - 0.001, lifetimes=policy), NOW) is not Freshness.EXPIRED


SECONDS = st.integers(0, 1000).map(float)
ORDER = (Freshness.FRESH, Freshness.STALE_WHILE_REVALIDATE, Freshness.STALE_IF_ERROR, Freshness.EXPIRED)


@given(st.builds(lifetimes, SECONDS, SECONDS, SECONDS), SECONDS, SECONDS)
def test_an_entry_never_gets_better(policy: Lifetimes, age: float, later: float) -> None:
    first = decide(entry(age_seconds=age, lifetimes=policy), NOW)
    second = decide(entry(age_seconds=age + later, lifetimes=policy), NOW)
    assert ORDER.index(first) <= ORDER.index(second)
