"""The simulated fleet with leases, small: no over-spend whatever happens, and little unused."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from proxy.core.quota.push_trust import TRUST_SECONDS
from tests.bench.lease_costs import MINUTES_NEAR_HALF, NEAR_HALF, SHARES, SIZES, cost_of
from tests.bench.leases import BUDGET, START_MINUTES, Scenario, play
from tests.sizes import sized

MINUTES = sized(quick=3, usual=3, long=6)
REPLICAS = sized(quick=10, usual=10, long=100)
BUSY = Scenario(replicas=10, demand=1.5)
ALL = replace(BUSY, crashes=0.5, flush_every=45.0, roll_back_every=50.0, freeze_every=40.0, deaf=0.1)
SWINGS = replace(ALL, demand=3.0, swings=True)
ONE_BY_ONE = {
    "crashes": replace(BUSY, crashes=0.5),
    "flushes": replace(BUSY, flush_every=40.0),
    "fail-overs": replace(BUSY, roll_back_every=40.0),
    "a frozen master": replace(BUSY, freeze_every=40.0),
    "lost pushes": replace(BUSY, deaf=0.1),
    "no Redis": replace(BUSY, redis=False),
}
FAULTS = {"all of them": ALL, "demand that swings": SWINGS} | (ONE_BY_ONE if sized(quick=0, usual=0, long=1) else {})


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fleet_spends_more_than_the_budget(fault: str) -> None:
    figures = play(replace(FAULTS[fault], minutes=MINUTES, replicas=REPLICAS), seed=3)

    assert figures.over_spend <= 0
    assert figures.sent.total() > 0


def test_little_is_left_of_a_budget_that_is_asked_for() -> None:
    figures = play(Scenario(replicas=REPLICAS, demand=sized(quick=2, usual=2, long=3), minutes=MINUTES - 1), seed=1)

    assert figures.unused
    assert max(figures.unused) < 0.025
    assert max(figures.counted.values()) <= BUDGET


FEW = [(3, 0.4), (1, 0.3), (2, 0.4), (10, 0.1), (30, 0.4), (100, 0.3)]
CELLS = FEW[: sized(quick=2, usual=6, long=0)] or list(itertools.product(SIZES, SHARES))


@pytest.mark.parametrize(("replicas", "demand"), CELLS)
def test_under_half_of_the_budget_few_requests_wait_and_redis_is_asked_seldom(replicas: int, demand: float) -> None:
    cost = cost_of(replicas, demand, seed=1, minutes=START_MINUTES + sized(quick=1, usual=1, long=6))

    assert cost.steady.sent > 0
    assert cost.beyond() == ""


NEAR = [(2, 13, MINUTES_NEAR_HALF), (100, 1, 6)]
"""Of seed 13 nearly each minute under half comes after one over half."""
MORE = [(replicas, seed, MINUTES_NEAR_HALF) for replicas in SIZES for seed in (1, 2, 3, 4, 13)]


@pytest.mark.parametrize(("replicas", "seed", "minutes"), [NEAR, MORE][sized(quick=0, usual=0, long=1)])
def test_the_same_holds_where_half_is_nearly_used(replicas: int, seed: int, minutes: int) -> None:
    cost = cost_of(replicas, NEAR_HALF, seed=seed, minutes=minutes)

    assert cost.steady.minutes > 0
    assert cost.beyond() == ""


@pytest.mark.parametrize("replicas", [1, 3, 10])
def test_a_heartbeat_is_heard_before_the_last_one_proves_nothing_any_more(replicas: int) -> None:
    beats = cost_of(replicas, 0.1, seed=1, minutes=MINUTES).steady.beats_a_second

    assert 1 / TRUST_SECONDS < beats < 1.8 / TRUST_SECONDS


def test_without_leases_each_request_asks_redis() -> None:
    figures = play(Scenario(replicas=3, demand=0.1, minutes=MINUTES, leases=False), seed=1)

    assert figures.steady().calls_a_request > 1.5
    assert figures.waited == figures.sent
