"""When the full document is refreshed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.cache.refresh_schedule import (
    DEMAND_SECONDS,
    RefreshDecision,
    RefreshState,
    decide_refresh,
    retry_seconds,
)

NOW = 1_800_000_000.0
NEVER = float("-inf")
FRESH = RefreshState(stored_at=NOW, fresh_seconds=60.0, wanted_at=NOW)
JITTERS = st.floats(0, 1)


def at_age(age_seconds: float, **changed: float | bool | None) -> RefreshState:
    """A wanted document of this age."""
    known: dict[str, float | bool | None] = {"stored_at": NOW - age_seconds, "fresh_seconds": 60.0, "wanted_at": NOW}
    return RefreshState(**(known | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("age_seconds", "jitter", "expected"),
    [
        (0.0, 0.0, RefreshDecision.LATER),
        (50.99, 0.0, RefreshDecision.LATER),
        (51.0, 0.0, RefreshDecision.NOW),
        (44.99, 1.0, RefreshDecision.LATER),
        (45.0, 1.0, RefreshDecision.NOW),
        (60.0, 0.5, RefreshDecision.NOW),
        (1e6, 0.5, RefreshDecision.NOW),
        (-1.9, 0.5, RefreshDecision.LATER),
        (-3600.0, 0.5, RefreshDecision.NOW),
    ],
)
def test_a_refresh_begins_before_the_document_is_stale(
    age_seconds: float, jitter: float, expected: RefreshDecision
) -> None:
    assert decide_refresh(at_age(age_seconds), NOW, jitter=jitter) is expected


@given(JITTERS, st.floats(0.01, 86_400))
def test_whatever_the_jitter_a_refresh_begins_in_the_last_quarter_of_freshness(jitter: float, fresh: float) -> None:
    assert decide_refresh(at_age(0.7499 * fresh, fresh_seconds=fresh), NOW, jitter=jitter) is RefreshDecision.LATER
    assert decide_refresh(at_age(0.8501 * fresh, fresh_seconds=fresh), NOW, jitter=jitter) is RefreshDecision.NOW


@pytest.mark.parametrize(
    ("wanted_at", "always", "expected"),
    [
        (NOW - DEMAND_SECONDS, False, RefreshDecision.NOW),
        (NOW - DEMAND_SECONDS - 0.01, False, RefreshDecision.UNWANTED),
        (NEVER, False, RefreshDecision.UNWANTED),
        (NEVER, True, RefreshDecision.NOW),
    ],
)
def test_a_document_that_nobody_wants_is_left_to_grow_old(
    wanted_at: float, always: bool, expected: RefreshDecision
) -> None:
    assert decide_refresh(at_age(60, wanted_at=wanted_at, always=always), NOW, jitter=0.5) is expected
    missing = at_age(0, stored_at=None, wanted_at=wanted_at, always=always)
    assert decide_refresh(missing, NOW, jitter=0.5) is expected


@pytest.mark.parametrize("always", [False, True])
def test_what_is_never_fresh_is_not_kept_warm(always: bool) -> None:
    assert decide_refresh(at_age(60, fresh_seconds=0.0, always=always), NOW, jitter=0.5) is RefreshDecision.UNWANTED


@pytest.mark.parametrize(
    ("since_seconds", "expected"), [(5400.0, RefreshDecision.NOW), (5400.01, RefreshDecision.UNWANTED)]
)
def test_demand_lasts_longer_than_a_document_that_stays_fresh_for_long(
    since_seconds: float, expected: RefreshDecision
) -> None:
    """Between two refreshes the fast path may answer everything, and the gateway sees nobody."""
    assert (
        decide_refresh(at_age(3600, fresh_seconds=3600.0, wanted_at=NOW - since_seconds), NOW, jitter=0.5) is expected
    )


@pytest.mark.parametrize("stored_at", [NOW - 60, None])
def test_while_the_quota_holds_nothing_is_asked(stored_at: float | None) -> None:
    held = replace(FRESH, stored_at=stored_at, hold_until=NOW, always=True)
    assert decide_refresh(held, NOW - 0.01, jitter=1.0) is RefreshDecision.LATER
    assert decide_refresh(held, NOW, jitter=1.0) is RefreshDecision.NOW


@pytest.mark.parametrize("stored_at", [NOW - 60, None])
def test_after_a_failure_it_waits(stored_at: float | None) -> None:
    failed = replace(FRESH, stored_at=stored_at, failures=3, failed_at=NOW)
    assert decide_refresh(failed, NOW + 3.99, jitter=1.0) is RefreshDecision.LATER
    assert decide_refresh(failed, NOW + 4.0, jitter=1.0) is RefreshDecision.NOW


def test_a_failure_of_tomorrow_is_of_a_clock_that_was_set_and_delays_nothing() -> None:
    failed = replace(FRESH, stored_at=None, failures=3, failed_at=NOW)
    assert decide_refresh(failed, NOW, jitter=1.0) is RefreshDecision.LATER
    assert decide_refresh(failed, NOW - 0.01, jitter=1.0) is RefreshDecision.NOW


@pytest.mark.parametrize(
    ("failures", "least", "most"),
    [(0, 0, 0), (1, 0.5, 1), (2, 1, 2), (3, 2, 4), (6, 16, 32), (7, 30, 60), (8, 30, 60), (10**6, 30, 60)],
)
def test_the_wait_doubles_from_one_second_to_a_minute_and_half_of_it_is_jitter(
    failures: int, least: float, most: float
) -> None:
    assert retry_seconds(failures, jitter=0.0) == least
    assert retry_seconds(failures, jitter=1.0) == most


@given(st.integers(0, 10**9), JITTERS)
def test_the_wait_stays_within_its_bounds(failures: int, jitter: float) -> None:
    wait = retry_seconds(failures, jitter=jitter)
    assert 0 <= wait <= 60
    assert wait <= retry_seconds(failures + 1, jitter=1.0)
