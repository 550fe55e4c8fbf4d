"""Every trouble of Redis, shortened: hits go on, little is spent, all recovers by itself, and the metrics tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.ordeal import Outcome, Plan, undergo
from tests.chaos.troubles import Trouble
from tests.chaos.verdict import faults

SECONDS = 3.0
AT_ONCE = 6
"""They mostly wait. Their gateways do not: six pairs are ready soon enough also on a busy machine."""

pytestmark = pytest.mark.realtime


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outcomes() -> AsyncIterator[dict[Trouble, Outcome | BaseException]]:
    """Of all troubles, undergone several at a time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(trouble: Trouble) -> Outcome:
        async with free:
            return await undergo(Plan(trouble, replicas=2, seconds=SECONDS, hits_a_second=15, spare_refreshes=1))

    results = await asyncio.gather(*map(one, Trouble), return_exceptions=True)
    yield dict(zip(Trouble, results, strict=True))


@pytest.mark.parametrize("trouble", Trouble)
async def test_hits_go_on_whatever_happens_to_redis(
    outcomes: dict[Trouble, Outcome | BaseException], trouble: Trouble
) -> None:
    outcome = outcomes[trouble]
    if isinstance(outcome, BaseException):
        raise outcome
    assert faults(outcome) == []
