"""The simulated fleet, small."""

from __future__ import annotations

import pytest

from proxy.core.quota.ratios import Ratios
from tests.bench import replica
from tests.bench.fleet import BUDGET, HEADS, Figures, Load, simulate, table
from tests.bench.replica import RATIOS
from tests.bench.virtual import LIMIT, Process, World
from tests.sizes import sized

REFRESHING = Load("refreshing", 4, time_per_minute=0.0, unknown_per_minute=0.0)
CALLING = Load("calling", 4)


def test_the_same_seed_gives_the_same_figures_and_another_seed_others() -> None:
    assert simulate(5, CALLING, seed=1) == simulate(5, CALLING, seed=1) != simulate(5, CALLING, seed=2)


@pytest.mark.parametrize("replicas", [1, 30])
def test_all_replicas_together_refresh_as_one(replicas: int) -> None:
    figures = simulate(replicas, REFRESHING, seed=1)

    assert 20 <= figures.refresh_weight == figures.weight <= 27
    assert figures.fresh_ratio == 1.0
    assert figures.refused == 0


def test_redis_is_asked_in_proportion_to_the_fleet() -> None:
    one, ten = (simulate(replicas, REFRESHING, seed=1).redis_operations_a_second for replicas in (3, 30))

    assert 6 < ten / one < 14


def test_a_fleet_that_wants_more_than_the_budget_gets_the_budget_and_no_429() -> None:
    each = sized(quick=40, usual=40, long=300)
    minutes = sized(quick=2, usual=2, long=4)
    figures = simulate(20, Load("too much", minutes, time_per_minute=each, unknown_per_minute=20.0), seed=1)

    assert 20 * (each + 20 * 20.0) > 1.5 * BUDGET
    assert 0.9 < figures.asked / (20 * (each + 20.0)) < 1.1
    assert figures.refused > 0
    assert BUDGET - 200 < figures.peak_weight <= BUDGET
    assert (figures.over_spend, figures.origin_429) == (0, 0)


def test_without_redis_each_replica_refreshes_by_itself_and_a_few_get_the_local_share_each() -> None:
    minutes = sized(quick=2, usual=2, long=4)
    figures = simulate(3, Load("away", minutes, minutes, time_per_minute=600.0, unknown_per_minute=10.0), seed=1)

    assert figures.redis_operations_a_second == 0
    assert LIMIT * RATIOS.local - 20 < figures.peak_weight <= 3 * LIMIT * RATIOS.local < BUDGET
    alone = simulate(12, Load("away", 4, 4, time_per_minute=0.0, unknown_per_minute=0.0), seed=1)
    assert 12 * 20 <= alone.refresh_weight <= 12 * 27


def test_what_was_counted_alone_is_shared_when_redis_is_back() -> None:
    each = sized(quick=25, usual=25, long=300)
    figures = simulate(20, Load("away in between", 6, 2, time_per_minute=each, unknown_per_minute=20.0), seed=3)

    assert figures.redis_operations_a_second > 1
    assert figures.over_spend == 0


@pytest.mark.parametrize("replicas", [12, 100, sized(quick=60, usual=60, long=400)])
def test_without_redis_a_fleet_of_any_size_keeps_the_budget(replicas: int) -> None:
    calls = sized(quick=800, usual=800, long=12_000)
    minutes = sized(quick=2, usual=2, long=3)
    away = Load("away", minutes, minutes, time_per_minute=calls / replicas, unknown_per_minute=240 / replicas)
    figures = simulate(replicas, away, seed=1)

    assert 0 < figures.peak_weight <= BUDGET
    assert (figures.over_spend, figures.origin_429) == (0, 0)


def test_a_fleet_without_a_budget_is_told_as_over_spend(monkeypatch: pytest.MonkeyPatch) -> None:
    away = Load("away", 2, 2, time_per_minute=0.0, unknown_per_minute=0.0)
    monkeypatch.setattr(replica, "RATIOS", Ratios(budget=100.0, refresh=100.0))

    assert simulate(400, away, seed=1).over_spend > 0


def test_the_table_tells_how_each_figure_grows() -> None:
    rows = [Figures(n, 24.0, 24.0, 40, 0, 0, 0.0, 0.0, 0.5 * n, 0.0, 0.0, 1.0) for n in (1, 10)]
    head, first, growth, second = table(rows)

    assert head.split() == " ".join(HEADS).split()
    assert first.split()[:3] == ["1", "24.0", "24.0"]
    assert growth.split() == ["x10.00", "x1.00", "x1.00", "x1.00", "x10.00", "x1.00"]
    assert second.split()[0] == "10"


def test_events_happen_in_the_order_of_their_times() -> None:
    world = World(1)
    seen: list[tuple[str, float]] = []

    def process(name: str, *pauses: float) -> Process[None]:
        for pause in pauses:
            seen.append((name, world.now - began))
            yield pause

    began = world.now
    world.start(process("a", 2.0, 2.0, 2.0))
    world.start(process("b", 3.0, 3.0), after_seconds=1.0)
    world.run(3.0)
    assert seen == [("a", 0.0), ("b", 1.0), ("a", 2.0)]
    world.run(10.0)
    assert seen[3:] == [("b", 4.0), ("a", 4.0)] or seen[3:] == [("a", 4.0), ("b", 4.0)]
    assert world.now == began + 13.0
