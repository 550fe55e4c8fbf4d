"""Which names are shown, and that their counters only grow."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.heavy_hitters import OTHER, SHOWN, HeavyHitters
from tests.sizes import sized


def test_ten_names_are_shown_from_the_first() -> None:
    heavy_hitters = HeavyHitters()
    for number in range(SHOWN):
        heavy_hitters.spend(f"bot-{number}", number + 1)

    assert heavy_hitters.counters() == {f"bot-{number}": number + 1 for number in range(SHOWN)} | {OTHER: 0}


def test_the_eleventh_is_other_until_it_is_twice_as_heavy_as_the_lightest() -> None:
    heavy_hitters = HeavyHitters()
    for number in range(SHOWN):
        heavy_hitters.spend(f"bot-{number}", 100 + number)
    heavy_hitters.spend("late", 200)
    assert heavy_hitters.counters()[OTHER] == 200
    heavy_hitters.spend("late", 1)

    counters = heavy_hitters.counters()
    assert (counters["late"], counters[OTHER]) == (1, 200)
    assert "bot-0" not in counters
    assert len(counters) == SHOWN + 1


def test_a_client_that_calls_itself_other_is_one_of_the_others() -> None:
    heavy_hitters = HeavyHitters()
    heavy_hitters.spend(OTHER, 7)

    assert heavy_hitters.counters() == {OTHER: 7}


@pytest.mark.no_cover
def test_a_flood_of_names_neither_costs_memory_nor_hides_the_heavy_ones() -> None:
    heavy_hitters, flood = HeavyHitters(), sized(quick=2000, usual=2000, long=20_000)
    for number in range(flood):
        heavy_hitters.spend(f"flood-{number}", 1)
        if number >= flood // 4 and number % 10 == 0:
            heavy_hitters.spend(f"heavy-{number // 10 % 5}", 20)

    counters = heavy_hitters.counters()
    assert {f"heavy-{number}" for number in range(5)} < set(counters)
    assert len(heavy_hitters._weights) <= 256
    assert counters["heavy-0"] > flood // 4


ROUNDS = sized(quick=40, usual=60, long=400)
names = st.sampled_from([f"n{number}" for number in range(14)] + [OTHER])


@given(st.lists(st.tuples(names, st.integers(1, 40)), max_size=300))
def test_counters_only_grow_while_they_are_there_and_all_growth_is_all_that_was_spent(
    plan: list[tuple[str, int]],
) -> None:
    heavy_hitters = HeavyHitters()
    totals: Counter[str] = Counter()
    before: dict[str, int] = {}
    grown = 0
    for name, weight in plan:
        heavy_hitters.spend(name, weight)
        totals[name] += weight
        after = dict(heavy_hitters.counters())
        assert all(after[known] >= before[known] for known in before if known in after)
        grown += sum(value - before.get(known, 0) for known, value in after.items())
        assert len(after) <= SHOWN + 1
        before = after
    assert grown == sum(totals.values())
    # Whoever has more than twice the weight of all but nine others is shown.
    named = sorted((weight for name, weight in totals.items() if name != OTHER), reverse=True)
    bar = 2 * named[SHOWN] if len(named) > SHOWN else 0
    assert all(name in before for name, weight in totals.items() if weight > bar and name != OTHER)


@given(st.lists(st.lists(st.tuples(names, st.sampled_from((1, 1, 20))), min_size=5), min_size=3), st.integers(1, 20))
def test_many_at_once_count_as_one_after_the_other(plan: list[list[tuple[str, int]]], times: int) -> None:
    at_once, one_by_one = HeavyHitters(), HeavyHitters()
    for spending in plan:
        at_once.spend_all(spending * times)
        for name, weight in spending * times:
            one_by_one.spend(name, weight)
        assert at_once.counters() == one_by_one.counters()


@pytest.mark.no_cover
@given(st.integers(11, 40), st.integers(1, ROUNDS))
def test_names_of_the_same_weight_do_not_chase_each_other(clients: int, rounds: int) -> None:
    heavy_hitters = HeavyHitters()
    changes = 0
    shown: set[str] = set()
    for _ in range(rounds):
        for number in range(clients):
            heavy_hitters.spend(str(number), 20)
            now = set(heavy_hitters.counters())
            changes, shown = changes + len(now - shown), now

    assert changes <= SHOWN + 1


@given(st.lists(st.tuples(st.sampled_from([f"n{number}" for number in range(30)]), st.integers(1, 1000)), max_size=300))
def test_names_ever_shown_are_few(plan: list[tuple[str, int]]) -> None:
    heavy_hitters = HeavyHitters()
    changes = 0
    shown: set[str] = set()
    for name, weight in plan:
        heavy_hitters.spend(name, weight)
        now = set(heavy_hitters.counters())
        changes, shown = changes + len(now - shown), now
    total = sum(weight for _, weight in plan)

    assert changes <= 1 + SHOWN * (2 + math.log2(max(1, total)))
