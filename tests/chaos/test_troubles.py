"""Every trouble of Redis, shortened: hits go on, little is spent, all recovers by itself, and the metrics tell."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.ordeal import Outcome, Plan, undergo
from tests.chaos.troubles import Trouble
from tests.chaos.verdict import faults

SECONDS = 3.0
AT_ONCE = 4
"""They mostly wait. Their gateways do not: four pairs are ready soon enough also on a busy machine."""


async def ordeal(trouble: Trouble, free: asyncio.Semaphore) -> Outcome:
    async with free:
        return await undergo(Plan(trouble, replicas=2, seconds=SECONDS, hits_a_second=15, spare_refreshes=1))


@pytest.mark.realtime
@pytest.mark.slow
async def test_hits_go_on_whatever_happens_to_redis(subtests: pytest.Subtests) -> None:
    """All troubles in one test, several at a time."""
    free = asyncio.Semaphore(AT_ONCE)
    outcomes = await asyncio.gather(*(ordeal(trouble, free) for trouble in Trouble), return_exceptions=True)
    for trouble, outcome in zip(Trouble, outcomes, strict=True):
        with subtests.test(trouble.value):
            if isinstance(outcome, BaseException):
                raise outcome
            assert faults(outcome) == []
