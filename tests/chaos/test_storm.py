"""The storm notices what it is for. It rages by hand: `python -m tests.chaos.storm`."""

from __future__ import annotations

import random

import pytest

from tests.chaos.relay import relay
from tests.chaos.storm import Outcome, Plan, Refusal
from tests.chaos.weather import Arrival, StormOrigin, Weather
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
