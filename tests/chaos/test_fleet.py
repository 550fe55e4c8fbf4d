"""Many gateways on one Valkey: one fill for all, one budget for all, one ban for all."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from proxy.cache.fill_lock import LOCK_SECONDS
from tests.chaos.fleet import Gateway, fleet, hosted
from tests.gateway.harness import INFO, Answer, Client, client
from tests.simulator import Fault, Simulator
from tests.sizes import sized

pytestmark = pytest.mark.slow

REPLICAS = sized(quick=3, usual=3, long=8)
CLIENTS_EACH = sized(quick=20, usual=20, long=100)
LIMIT = 1000
BUDGET = 900
QUERIES = 200
RULES = "/api/v3/executionRules?symbol=BTCUSDT"
TIME = "/api/v3/time"
LEAST_BAN_SECONDS = 1
LATE_SECONDS = 5
"""A ban may seem to last so much longer: the doubt about the origin's clock, and a busy machine."""
PATIENT_SECONDS = "10"
"""Other tests run beside, and a Redis that seems slow would be left alone."""


async def ask_all(asking: Client, replicas: Sequence[Gateway], target: str, *, each: int = 1) -> list[Answer]:
    """Every replica the same, so many times at once."""
    return await asyncio.gather(
        *(asking.ask(target, url=one.url, X_Sidecar_Client=f"c{i}") for i in range(each) for one in replicas)
    )


async def fill_waits(replicas: Sequence[Gateway], end: str) -> float:
    return sum([(await one.series()).sum("fill_waits_total", end=end) for one in replicas])


async def test_cold_processes_fill_once_and_spend_one_budget(redis_url: str) -> None:
    async with (
        Simulator(weight_limit=LIMIT) as origin,
        fleet(REPLICAS, origin.url, redis_url, redis_seconds=PATIENT_SECONDS) as replicas,
        client(replicas[0].url) as asking,
    ):
        origin.answer_delay_seconds = 0.3
        for count, target in enumerate((INFO, RULES), start=1):
            answers = await ask_all(asking, replicas, target, each=CLIENTS_EACH)
            assert len(answers) == REPLICAS * CLIENTS_EACH
            assert {answer.status for answer in answers} == {200}
            assert len({answer.body for answer in answers}) == 1
            assert origin.count() == count

        answers = await asyncio.gather(
            *(
                asking.ask(f"{INFO}?symbol=NOSUCH{i}", url=replicas[i % REPLICAS].url, X_Sidecar_Client=f"c{i}")
                for i in range(QUERIES)
            )
        )
        sent = origin.count() - 2
        assert 0 < sent < QUERIES, "the limit was too small for all"
        assert Counter(answer.status for answer in answers) == {400: sent, 429: QUERIES - sent}
        assert origin.answers_429 == 0
        weights: Counter[int] = Counter()
        for seen in origin.requests:
            weights[int(seen.at) // 60] += seen.weight
        assert max(weights.values()) <= BUDGET


async def test_the_holder_of_the_fill_lock_is_killed_and_another_replica_fills(redis_url: str) -> None:
    async with (
        Simulator() as origin,
        fleet(3, origin.url, redis_url, redis_seconds=PATIENT_SECONDS) as (holder, *others),
        client(holder.url) as asking,
    ):
        origin.set_fault(Fault.SLOW, times=1, delay_seconds=60)
        lost = asyncio.create_task(asking.ask(url=holder.url))
        await origin.wait_for(1)
        waiting = asyncio.create_task(ask_all(asking, others, INFO, each=20))
        await asyncio.sleep(0.5)
        assert origin.count() == 1, "the others wait"

        await holder.kill()
        killed_at = time.monotonic()
        answers = await waiting

        assert time.monotonic() - killed_at < 2 * LOCK_SECONDS
        assert {answer.status for answer in answers} == {200}
        assert origin.count() == 2
        assert await fill_waits(others, "expired") >= 1
        await asyncio.gather(lost, return_exceptions=True)


@pytest.mark.realtime
async def test_a_ban_is_known_to_a_gateway_started_later_and_lifted_on_time_in_all(redis_url: str) -> None:
    started = time.monotonic()
    async with (
        Simulator() as origin,
        hosted(2, origin.url, redis_url) as replicas,
        client(replicas[0].url) as asking,
    ):
        # Long enough for another start, however slow this machine is just now.
        ban_seconds = LEAST_BAN_SECONDS + math.ceil(2 * (time.monotonic() - started))
        origin.set_fault(Fault.TEAPOT_418, times=1, retry_after=ban_seconds)
        earliest = time.time() + ban_seconds
        assert (await asking.ask(TIME)).status == 418
        latest = time.time() + ban_seconds
        async with hosted(1, origin.url, redis_url) as later:
            everyone = [*replicas, *later]
            banned = await ask_all(asking, everyone, TIME)
            assert [answer.status for answer in banned] == [418] * 3
            assert origin.count() == 1

            async with asyncio.timeout(4 * ban_seconds):
                lifted = await asyncio.gather(*(first_success(asking, one) for one in everyone))

            assert all(earliest <= at < latest + LATE_SECONDS for at in lifted), (earliest, lifted)
            assert origin.answers_418 == 1, "nobody asked before it was over"


async def first_success(asking: Client, one: Gateway) -> float:
    """When it first answers from the origin again."""
    while (await asking.ask(TIME, url=one.url)).status != 200:  # noqa: ASYNC110 - that is how clients find out
        await asyncio.sleep(0.05)
    return time.time()
