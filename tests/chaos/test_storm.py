"""The storm notices what it is for. It rages by hand: `python -m tests.chaos.storm`."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.chaos.relay import relay
from tests.chaos.storm import Outcome, Plan, Refusal
from tests.chaos.weather import LAG_MEMORY_SECONDS, Arrival, Lag, StormOrigin, Weather
from tests.redis_client.valkey import Valkey

DOOR, OTHER, PATH = "http://127.0.0.1:1", "http://127.0.0.1:2", "/api/v3/time"
REFUSED = Refusal(DOOR, known_at=100.0, ends_at=105.0)


@pytest.mark.parametrize(
    ("arrival", "is_late"),
    [
        (Arrival(DOOR, 99.9, 99.9, PATH), False),
        (Arrival(DOOR, 100.05, 100.05, PATH), False),
        (Arrival(DOOR, 100.2, 100.2, PATH), True),
        (Arrival(DOOR, 104.9, 104.9, PATH), True),
        (Arrival(DOOR, 105.0, 105.0, PATH), False),
        (Arrival(OTHER, 102.0, 102.0, PATH), False),
        (Arrival(DOOR, 100.05, 103.0, PATH), False),  # it may have been on its way
        (Arrival(DOOR, 103.0, 105.1, PATH), False),  # the refusal may have been over
    ],
)
async def test_a_request_after_a_logged_refusal_is_a_fault(arrival: Arrival, *, is_late: bool) -> None:
    chance = random.Random(1)
    origin, server = StormOrigin(weight_limit=100, chance=chance), Valkey()
    try:
        async with relay("unused") as network:
            outcome = Outcome(Plan(), Weather(origin, server, network, chance), refusals=[REFUSED])
            origin.storm.statuses[200] = origin.storm.statuses[418] = 1
            origin.storm.arrivals.append(arrival)
            assert bool(outcome.faults()) is is_late
            origin.storm.most_used = Plan().weight_limit + 1
            assert len(outcome.faults()) == 1 + is_late
    finally:
        server.remove()


def test_a_request_may_have_waited_as_long_as_a_probe_that_waits_or_that_was_seen_lately() -> None:
    now = 0.0
    lag = Lag(lambda: now)
    assert lag.seconds() == 0
    lag.sent(1)
    now = 2.0
    assert lag.seconds() == 2
    lag.sent(2)
    now = 3.0
    lag.seen(1)
    lag.seen(2)
    assert lag.seconds() == 3
    now += LAG_MEMORY_SECONDS / 2
    assert lag.seconds() == 3
    now += LAG_MEMORY_SECONDS
    assert lag.seconds() == 0


async def test_a_storm_measures_how_long_its_origin_lets_requests_wait() -> None:
    origin = StormOrigin(weight_limit=100, chance=random.Random(1))
    async with origin:
        measuring = asyncio.create_task(origin.measure_lag())
        async with asyncio.timeout(20):
            while not origin.storm.longest_lag_seconds:  # noqa: ASYNC110 - a number
                await asyncio.sleep(0.01)
        measuring.cancel()
        await asyncio.gather(measuring, return_exceptions=True)
    assert not origin.storm.arrivals
