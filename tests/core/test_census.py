"""How many replicas are believed to live."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.census import REMEMBER_SECONDS, Census


def test_before_anything_is_heard_there_is_this_one() -> None:
    assert Census().replicas == 1


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 1000)), min_size=1, max_size=50))
def test_it_is_the_largest_count_of_the_last_minute_that_was_heard(steps: list[tuple[float, int]]) -> None:
    census, heard, now = Census(), [], 0.0
    for pause_seconds, count in steps:
        now += pause_seconds
        heard.append((now, count))
        census.hear(count, now)
        assert census.replicas == max(count for at, count in heard if at > now - REMEMBER_SECONDS)
