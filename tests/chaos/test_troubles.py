"""Every trouble of Redis, shortened: hits go on, little is spent, all recovers by itself, and the metrics tell."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.fleet import hosted
from tests.chaos.ordeal import Load, Outcome, Plan, undergo
from tests.chaos.troubles import Trouble
from tests.chaos.verdict import faults

SECONDS = 1.5
PATIENCE_SECONDS = 12.0
REDIS_SECONDS = 0.5
"""Most troubles wait for such a deadline three times; a busy machine needs more than the usual quarter of a second."""


async def ordeal(trouble: Trouble) -> Outcome:
    plan = Plan(
        trouble,
        replicas=2,
        seconds=SECONDS,
        patience_seconds=PATIENCE_SECONDS,
        redis_seconds=REDIS_SECONDS,
        hits_a_second=3,
        is_short=True,
    )
    return await undergo(plan, start=hosted)


@pytest.mark.realtime
@pytest.mark.slow
async def test_hits_go_on_whatever_happens_to_redis(subtests: pytest.Subtests) -> None:
    """All at once, for they mostly wait; each with its own Redis, origin and gateways, all in this process."""
    outcomes = await asyncio.gather(*map(ordeal, Trouble), return_exceptions=True)
    for trouble, outcome in zip(Trouble, outcomes, strict=True):
        with subtests.test(trouble.value):
            if isinstance(outcome, BaseException):
                raise outcome
            assert faults(outcome) == []


@pytest.mark.parametrize(("lifetimes", "most"), [(1, 66), (2, 88), (3, 132)])
def test_a_trouble_of_several_lifetimes_may_cost_a_refresh_of_each_replica_in_each(lifetimes: int, most: int) -> None:
    outcome = Outcome(
        plan=Plan(Trouble.PAUSED),
        load=Load(),
        weight=0,
        lifetimes=lifetimes,
        seen_down=3,
        errors=1,
        told_weight=0,
        recovered_seconds=5.0,
        shares_again=True,
    )
    assert outcome.most_extra_weight == most
