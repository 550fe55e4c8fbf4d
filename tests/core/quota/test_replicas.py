"""How many replicas are believed to live."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.quota.charges import budget_of, charges_of, cost_of
from proxy.core.quota.refusal import Refused
from proxy.core.quota.replicas import COUNT_MEMORY_SECONDS, ReplicaCount, refuse_without_redis
from proxy.core.quota.windows import GUARD_SECONDS, RateLimitKind, Window

WINDOW = Window(RateLimitKind.REQUEST_WEIGHT, 60, limit=100)
RATIO = 0.9
BUDGET = budget_of(WINDOW.limit, RATIO)


def test_before_anything_is_heard_there_is_this_one() -> None:
    assert ReplicaCount().replicas == 1


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 1000)), min_size=1, max_size=50))
def test_it_is_the_largest_count_of_the_last_minute_that_was_heard(steps: list[tuple[float, int]]) -> None:
    replica_count, heard, now = ReplicaCount(), [], 0.0
    for pause_seconds, count in steps:
        now += pause_seconds
        heard.append((now, count))
        replica_count.observe(count, now)
        if count >= 1:
            counts = [count for at, count in heard if at > now - COUNT_MEMORY_SECONDS]
            assert replica_count.replicas == max(counts)
        assert replica_count.replicas >= 1


def test_a_number_that_could_not_be_read_leaves_the_last_one() -> None:
    replica_count = ReplicaCount()
    replica_count.observe(0, 1.0)
    assert replica_count.replicas == 1
    replica_count.observe(4, 2.0)
    for now in range(3, 200):
        replica_count.observe(0, float(now))
    assert replica_count.replicas == 4
    replica_count.observe(-1, 300.0)
    assert replica_count.replicas == 4


@pytest.mark.parametrize("replicas", [0, -1, 1])
def test_there_is_always_at_least_this_one_who_spends_alone(replicas: int) -> None:
    assert asks(BUDGET, before=0, own=0, replicas=replicas) is None
    assert asks(BUDGET + 1, before=0, own=0, replicas=replicas) is not None


def asks(weight: int, *, before: int, own: int, replicas: int) -> Refused | None:
    return refuse_without_redis(
        charges_of(30.0, cost_of(weight), (WINDOW,), guard_seconds=GUARD_SECONDS),
        used=lambda _: before + own,
        unsynced=lambda _: own,
        replicas=replicas,
        ratio=RATIO,
        guard_seconds=GUARD_SECONDS,
    )


@given(
    before=st.integers(0, 120),
    replicas=st.integers(1, 8),
    attempts=st.lists(st.tuples(st.integers(0, 7), st.integers(1, 20)), max_size=60),
)
def test_replicas_that_count_alone_never_pass_the_budget_together(
    before: int, replicas: int, attempts: list[tuple[int, int]]
) -> None:
    """Each knows what was used before, and of what came after only its own."""
    alone = [0] * replicas
    for asked, weight in attempts:
        number = asked % replicas
        refused = asks(weight, before=before, own=alone[number], replicas=replicas)
        assert (refused is None) == (before + replicas * (alone[number] + weight) <= BUDGET)
        alone[number] += weight if refused is None else 0
    assert sum(alone) <= max(0, BUDGET - before)
