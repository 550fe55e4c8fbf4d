"""The storm notices what it is for. It rages by hand: `python -m tests.chaos.storm`."""

from __future__ import annotations

import random

import pytest

from tests.chaos.relay import relay
from tests.chaos.storm import Outcome, Plan, Refusal
from tests.chaos.weather import StormOrigin, Weather
from tests.redis_client.valkey import Valkey

DOOR, OTHER = "http://127.0.0.1:1", "http://127.0.0.1:2"
REFUSED = Refusal(DOOR, known_at=100.0, ends_at=105.0)


@pytest.mark.parametrize(
    ("door", "at", "is_late"),
    [
        (DOOR, 99.9, False),
        (DOOR, 100.0, False),
        (DOOR, 100.001, True),
        (DOOR, 104.9, True),
        (DOOR, 105.0, False),
        (OTHER, 102.0, False),
    ],
)
async def test_a_request_after_a_logged_refusal_is_a_fault(door: str, at: float, *, is_late: bool) -> None:
    chance = random.Random(1)
    origin, server = StormOrigin(weight_limit=100, chance=chance), Valkey()
    try:
        async with relay("unused") as network:
            outcome = Outcome(Plan(), Weather(origin, server, network, chance), refusals=[REFUSED], sent={door: [at]})
            origin.storm.statuses[200] = origin.storm.statuses[418] = 1
            origin.storm.arrivals[door] = 1
            assert bool(outcome.faults()) is is_late
            origin.storm.most_used = Plan().weight_limit + 1
            assert len(outcome.faults()) == 1 + is_late
            origin.storm.arrivals[door] = 2
            assert len(outcome.faults()) == 2 + is_late
    finally:
        server.remove()
