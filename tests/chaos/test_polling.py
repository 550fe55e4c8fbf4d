"""Clients that poll without a pause get nearly the whole budget of each pool, and the origin never says 429."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.polling import CLIENTS, MINUTE_SECONDS, TARGETS, learn_limits, poll, replicas
from tests.gateway.harness import Clock
from tests.simulator import Simulator, Sizes
from tests.sizes import sized

SIZES = Sizes(futures=400, options=400)
SPOT_LIMIT = 500
BUDGETS = {"spot": 450, "futures": 360, "options": 360}
MINUTES = sized(quick=1, usual=1, long=5)


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
async def test_polling_clients_get_the_budget_of_each_pool_and_no_429(named: bool, redis_url: str) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock, weight_limit=SPOT_LIMIT, sizes=SIZES) as origin,
        replicas(origin, redis_url, clock) as apps,
    ):
        await learn_limits(apps)
        for _ in range(MINUTES):
            refused: Counter[int] = Counter()

            def goes_on(number: int, status: int, refused: Counter[int] = refused) -> bool:
                """Until every target was refused in a row."""
                refused[number] = refused[number] + 1 if status == 429 else 0
                return refused[number] <= len(TARGETS)

            statuses = await poll(apps, named=named, goes_on=goes_on, pause_seconds=0.01)
            assert set(statuses) == {200, 429}
            used = origin.pools.used()
            for pool, budget in BUDGETS.items():
                assert 0.85 * budget <= used[pool] <= budget, pool
            clock.push(MINUTE_SECONDS)
        assert origin.answers_429 == origin.answers_418 == 0
        assert origin.count() > CLIENTS
