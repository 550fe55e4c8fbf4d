"""Orders come first: when those who poll have used up the public budget, every order is still answered 200."""

from __future__ import annotations

import pytest

from tests.chaos.polling import MINUTE_SECONDS, learn_limits, replicas
from tests.chaos.trading import CONTRACTS, MANY_ORDERS, Trader, trade_while_others_poll, use_up_the_budget
from tests.gateway.harness import Clock
from tests.simulator import Simulator, Sizes
from tests.sizes import sized

SIZES = Sizes(futures=600, options=400)
SPOT_LIMIT = 1000
ROUNDS = sized(quick=10, usual=10, long=20)
"""In a minute. A cancellation costs 1 on the futures, which have 48 between the two budgets."""
MINUTES = sized(quick=1, usual=1, long=5)


@pytest.mark.slow
async def test_every_order_comes_through_when_the_public_budget_is_used_up(redis_url: str) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock, weight_limit=SPOT_LIMIT, sizes=SIZES, order_sizes=MANY_ORDERS) as origin,
        replicas(origin, redis_url, clock, forward="all") as apps,
    ):
        await learn_limits(apps)
        trader = Trader(apps, clock)
        for minute in range(1, MINUTES + 1):
            await use_up_the_budget(apps)
            used = origin.pools.used()
            polled = await trade_while_others_poll(trader, rounds=ROUNDS)
            assert set(polled) == {429}, "nothing is left for those who poll"
            assert {status for _, _, status in trader.answered} == {200}
            assert sum(trader.answered.values()) == minute * ROUNDS * 2 * len(CONTRACTS)
            assert origin.pools.used()["spot"] == used["spot"], "an order that succeeds costs nothing there"
            clock.push(MINUTE_SECONDS)
        assert origin.answers_429 == origin.answers_418 == 0
