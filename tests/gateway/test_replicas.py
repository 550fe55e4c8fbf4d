"""Several gateways on one Redis: shared entries, one fill, restarts, and a Redis that comes and goes."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.harness import INFO, Clock, client, gateway
from tests.simulator import Fault, Simulator


async def test_what_one_asked_is_a_hit_on_the_other_and_after_a_restart(redis_url: str) -> None:
    clock = Clock()
    async with Simulator(clock=clock) as origin:
        async with (
            gateway(origin, clock, redis_url=redis_url) as one,
            gateway(origin, clock, redis_url=redis_url) as two,
            client(one.url) as asking,
        ):
            first = await asking.ask()
            assert first.cache_status == "binance-sidecar; fwd=uri-miss; stored"
            other = await asking.ask(url=two.url)
            assert (other.body, other.cache_status) == (first.body, "binance-sidecar; hit; ttl=60")
        async with gateway(origin, clock, redis_url=redis_url) as restarted, client(restarted.url) as asking:
            again = await asking.ask()
            assert (again.body, again.cache_status) == (first.body, "binance-sidecar; hit; ttl=60")
            assert again.headers["etag"] == first.headers["etag"]
        assert origin.count() == 1


async def test_a_warm_redis_means_no_request_at_the_start(redis_url: str) -> None:
    clock = Clock()
    async with Simulator(clock=clock) as origin:
        async with gateway(origin, clock, redis_url=redis_url, keep_warm="always"):
            assert origin.count() == 1
        async with gateway(origin, clock, redis_url=redis_url, keep_warm="always"):
            assert origin.count() == 1


async def test_a_restart_during_a_ban_still_answers_from_redis(redis_url: str) -> None:
    clock = Clock()
    async with Simulator(clock=clock) as origin:
        async with gateway(origin, clock, redis_url=redis_url) as app, client(app.url) as asking:
            stored = await asking.ask()
        clock.push(3600)
        origin.set_fault(Fault.TEAPOT_418)
        async with gateway(origin, clock, redis_url=redis_url) as app, client(app.url) as asking:
            stale = await asking.ask(f"{INFO}?symbolStatus=TRADING")
            assert stale.status == 200
            assert (await asking.ask()).body == stored.body


@pytest.mark.no_cover
async def test_cold_replicas_fill_once_for_all(redis_url: str) -> None:
    clock = Clock()
    async with Simulator(clock=clock) as origin:
        origin.answer_delay_seconds = 0.5
        async with (
            gateway(origin, clock, redis_url=redis_url) as one,
            gateway(origin, clock, redis_url=redis_url) as two,
            gateway(origin, clock, redis_url=redis_url) as three,
            client(one.url) as asking,
        ):
            urls = [one.url, two.url, three.url] * 30
            answers = await asyncio.gather(*(asking.ask(url=url) for url in urls))
            assert {answer.status for answer in answers} == {200}
            assert len({answer.body for answer in answers}) == 1
            assert origin.count() == 1


async def test_gateways_for_different_venues_do_not_share(redis_url: str) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock) as spot,
        Simulator(clock=clock, symbols=7) as us,
        gateway(spot, clock, redis_url=redis_url) as one,
        gateway(us, clock, redis_url=redis_url, venue="us") as two,
        client(one.url) as asking,
    ):
        assert len((await asking.ask()).json["symbols"]) > 90
        assert len((await asking.ask(url=two.url)).json["symbols"]) < 10
        assert (spot.count(), us.count()) == (1, 1)
