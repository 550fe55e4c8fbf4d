"""The simulated fleet with leases, small: no over-spend whatever happens, and little unused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.leases import BUDGET, START_MINUTES, Scenario, play
from tests.sizes import sized

MINUTES = sized(quick=3, usual=3, long=6)
REPLICAS = sized(quick=10, usual=10, long=100)
BUSY = Scenario(replicas=10, demand=1.5)
ALL = replace(BUSY, crashes=0.5, flush_every=45.0, roll_back_every=50.0, freeze_every=40.0, deaf=0.1)
ONE_BY_ONE = {
    "crashes": replace(BUSY, crashes=0.5),
    "flushes": replace(BUSY, flush_every=40.0),
    "fail-overs": replace(BUSY, roll_back_every=40.0),
    "a frozen master": replace(BUSY, freeze_every=40.0),
    "lost pushes": replace(BUSY, deaf=0.1),
    "no Redis": replace(BUSY, redis=False),
}
FAULTS = {"all of them": ALL} | (ONE_BY_ONE if sized(quick=0, usual=0, long=1) else {})


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fleet_spends_more_than_the_budget(fault: str) -> None:
    figures = play(replace(FAULTS[fault], minutes=MINUTES, replicas=REPLICAS), seed=3)

    assert figures.over_spend <= 0
    assert figures.sent > 0


def test_little_is_left_of_a_budget_that_is_asked_for() -> None:
    figures = play(Scenario(replicas=REPLICAS, demand=sized(quick=2, usual=2, long=3), minutes=MINUTES - 1), seed=1)

    assert figures.unused
    assert max(figures.unused) < 0.025
    assert max(figures.counted.values()) <= BUDGET


@pytest.mark.parametrize(("replicas", "demand"), [(10, 0.1), (10, 0.4), (100, 0.4)])
def test_under_half_of_the_budget_few_requests_wait_and_redis_is_asked_seldom(replicas: int, demand: float) -> None:
    figures = play(Scenario(replicas=replicas, demand=demand, minutes=MINUTES), seed=1)

    assert figures.waited < 0.1 * figures.sent
    assert figures.calls / replicas / (MINUTES - START_MINUTES) < 12


def test_without_leases_each_request_asks_redis() -> None:
    figures = play(Scenario(replicas=3, demand=0.1, minutes=MINUTES, leases=False), seed=1)

    assert figures.operations_a_request > 1.5
    assert figures.waited == figures.sent
