"""Two quota domains on one Redis: each has its own IP, budget and bans; what was fetched serves both."""

from __future__ import annotations

import asyncio
import re

from redis.asyncio import Redis

from tests.gateway.harness import INFO, Client, Clock, client, gateway
from tests.simulator import Fault, Simulator

TIME = "/api/v3/time"
LIMIT = 200


async def spend_all(asking: Client, url: str, name: str) -> int:
    """Ask until the budget is used up; how often that went well."""
    answers = await asyncio.gather(
        *(asking.ask(f"{INFO}?symbol={name}{i}", url=url, X_Sidecar_Client=f"c{i}") for i in range(LIMIT // 20))
    )
    return sum(answer.status == 400 for answer in answers)


async def test_two_quota_domains_on_one_redis_do_not_touch_each_other(redis_url: str) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock, weight_limit=LIMIT) as north,
        Simulator(clock=clock, weight_limit=LIMIT) as south,
        gateway(north, clock, redis_url=redis_url, quota_domain="north") as one,
        gateway(south, clock, redis_url=redis_url, quota_domain="south") as other,
        client(one.url) as asking,
    ):
        assert (await asking.ask(url=one.url)).status == 200
        shared = await asking.ask(url=other.url)
        assert (shared.status, south.count()) == (200, 0), "entries belong to the exchange, not to an IP"

        assert await spend_all(asking, one.url, "NORTH") == LIMIT * 9 // 10 // 20 - 1
        assert (await asking.ask(f"{INFO}?symbol=NOSUCH", url=one.url)).status == 429
        assert await spend_all(asking, other.url, "SOUTH") == LIMIT * 9 // 10 // 20
        assert (north.used_weight, south.used_weight) == (LIMIT * 9 // 10, LIMIT * 9 // 10)

        clock.push(120)  # what was sent before the first answer may have counted in the next minute too
        north.set_fault(Fault.TEAPOT_418, retry_after=600)
        assert (await asking.ask(TIME, url=one.url)).status == 418
        assert (await asking.ask(TIME, url=one.url)).status == 418
        assert (await asking.ask(TIME, url=other.url)).status == 200
        assert (north.count(TIME), south.count(TIME)) == (1, 1)

    async with Redis.from_url(redis_url, decode_responses=True) as admin:
        keys = {str(key) for key in await admin.keys("*")}
    own = {key for key in keys if "{" in key and not re.search(":(probe|changes):", key)}
    tags = {key.partition("{")[2].partition("}")[0] for key in own}
    assert tags == {"spot:north", "spot:south"}
