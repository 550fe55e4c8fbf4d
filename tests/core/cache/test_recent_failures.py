"""How long a failed fill counts for those who come after."""

from __future__ import annotations

import pytest

from proxy.core.cache.recent_failures import HOLD_DOWN_SECONDS, RecentFailures
from proxy.errors import BadAnswer, Banned, BudgetUsedUp

NOW = 1000.0


def test_a_failure_of_the_origin_counts_until_a_fill_succeeds() -> None:
    failures = RecentFailures()
    failures.remember("a", BadAnswer("no"), NOW)
    assert failures.of("a", NOW + 1e6) is not None
    assert failures.of("b", NOW) is None
    failures.forget("a")
    assert failures.of("a", NOW) is None
    failures.forget("a")


@pytest.mark.parametrize("seconds", [0.0, 0.5, HOLD_DOWN_SECONDS - 0.001])
def test_the_origin_is_not_asked_again_too_early(seconds: float) -> None:
    failures = RecentFailures()
    error = BadAnswer("no")
    failures.remember("a", error, NOW)
    with pytest.raises(BadAnswer) as raised:
        failures.raise_if_held_down("a", NOW + seconds)
    assert raised.value is error
    failures.raise_if_held_down("b", NOW + seconds)


@pytest.mark.parametrize("seconds", [-5.0, HOLD_DOWN_SECONDS, 100.0])
def test_after_a_second_or_a_clock_set_back_it_is(seconds: float) -> None:
    failures = RecentFailures()
    failures.remember("a", BadAnswer("no"), NOW)
    failures.raise_if_held_down("a", NOW + seconds)


def test_a_refusal_of_ours_counts_until_it_is_over_and_holds_nobody_down() -> None:
    failures = RecentFailures()
    failures.remember("a", Banned("no", retry_after_seconds=30), NOW)
    failures.raise_if_held_down("a", NOW)
    assert failures.of("a", NOW + 29.9) is not None
    assert failures.of("a", NOW + 30) is None
    failures.remember("b", BudgetUsedUp("no"), NOW)
    assert failures.of("b", NOW) is None


def test_a_traceback_does_not_grow_with_each_client() -> None:
    failures = RecentFailures()
    failures.remember("a", BadAnswer("no"), NOW)
    depths = []
    for _ in range(3):
        with pytest.raises(BadAnswer) as raised:
            failures.raise_if_held_down("a", NOW)
        depths.append(len(raised.traceback))
    assert len(set(depths)) == 1


def test_the_oldest_failures_are_forgotten_beyond_the_bound() -> None:
    failures = RecentFailures(max_failures=2)
    for key in ("a", "b", "a", "c"):
        failures.remember(key, BadAnswer("no"), NOW)
    assert len(failures) == 2
    assert failures.of("b", NOW) is None
    assert failures.of("a", NOW) is not None


@pytest.mark.parametrize(("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (50, 60)])
def test_fills_in_the_background_wait_longer_with_each_failure(failures: int, seconds: float) -> None:
    recent = RecentFailures()
    for _ in range(failures):
        recent.remember("a", BadAnswer("no"), NOW)
        recent.remember("a", Banned("no", retry_after_seconds=30), NOW)
    failure = recent.of("a", NOW)
    assert failure is not None
    assert failure.in_a_row == failures
    assert (failure.backs_off(NOW + seconds - 0.001), failure.backs_off(NOW + seconds)) == (True, False)
    recent.forget("a")
    recent.remember("a", BadAnswer("no"), NOW)
    assert [failure.in_a_row for failure in [recent.of("a", NOW)] if failure is not None] == [1]
