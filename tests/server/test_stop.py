"""The end of a gateway's life, when it is itself cut short."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.chaos.stops import CLIENTS, Stops, ask_until
from tests.events import capture_logs
from tests.gateway.harness import Clock, gateway
from tests.server.twins import until
from tests.simulator import Fault, Simulator
from tests.sizes import sized

MAY_TAKE_SECONDS = 1.0
"""What requests under way get of a stop: half of it."""


@pytest.mark.no_cover
async def test_whoever_cancels_a_gateway_that_stops_is_not_mistaken_for_the_end_of_its_tasks() -> None:
    clock, cancelled = Clock(), 0
    async with Simulator(clock=clock) as origin:
        for turns in range(40):
            leaving = asyncio.Event()

            async def live(leaving: asyncio.Event = leaving) -> None:
                async with gateway(origin, clock):
                    leaving.set()

            life = asyncio.create_task(live())
            await leaving.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
            if life.done():
                break
            assert life.cancel()
            await asyncio.wait([life])
            assert life.cancelled(), turns
            cancelled += 1
    assert cancelled > 0


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /api/v3/time HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/v3/order HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        b"GET /changes HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["an origin that hangs", "a body that does not come", "a stream"],
)
async def test_without_time_to_drain_nothing_keeps_it_alive(request_: bytes) -> None:
    changed: dict[str, Any] = {"forward": "all", "upstream_seconds": 60.0, "shutdown_seconds": 0.0}
    async with Simulator(symbols=20) as origin, AsyncExitStack() as stack:
        app = await stack.enter_async_context(gateway(origin, **changed))
        origin.set_fault(Fault.HANG)
        _, writer = await asyncio.open_connection(*app.addresses[0])
        writer.write(request_)
        for _ in range(100):  # until it is under way
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await stack.aclose()
        writer.close()


@pytest.mark.no_cover
@pytest.mark.parametrize("fast_lane", [True, False])
async def test_requests_under_way_get_the_time_that_they_may_take_once(fast_lane: bool) -> None:
    request = b"GET /api/v3/time HTTP/1.1\r\nHost: x\r\n\r\n"
    changed: dict[str, Any] = {"forward": "all", "upstream_seconds": 60.0, "shutdown_seconds": 2 * MAY_TAKE_SECONDS}
    async with Simulator(symbols=20) as origin, AsyncExitStack() as stack:
        app = await stack.enter_async_context(gateway(origin, fast_lane=fast_lane, **changed))
        reader, writer = await asyncio.open_connection(*app.addresses[0])
        for _ in range(3):
            writer.write(request)
            await reader.readuntil(b"}")
        origin.set_fault(Fault.HANG)
        writer.write(request)
        await until(lambda: app.room.requests == 1)
        app.draining, began = True, asyncio.get_running_loop().time()
        with capture_logs() as logs:
            await stack.aclose()
        assert asyncio.get_running_loop().time() - began < 1.8 * MAY_TAKE_SECONDS
        assert [entry for entry in logs if entry["log_level"] == "warning"] == []
        assert await reader.read() == b""
        writer.close()


STOPS = sized(quick=2, usual=4, long=500)
"""On each of both loops."""
ACCEPTED_TURNS = 6
"""Of the loop, until what a client has written is read: before that the kernel alone has accepted it."""


@pytest.mark.no_cover
async def test_a_stop_at_any_moment_loses_no_request_that_was_accepted() -> None:
    chance, stops = random.Random(1), Stops()
    async with Simulator(symbols=20, weight_limit=10**6) as origin:
        origin.answer_delay_seconds = 0.02  # so that requests are under way when the end comes
        for _ in range(STOPS):
            await stop_in_process(origin, chance, stops)
    assert stops.lost == []
    assert stops.answered >= STOPS * CLIENTS


async def stop_in_process(origin: Simulator, chance: random.Random, stops: Stops) -> None:
    """As the command does it: first it serves on and closes connections, then nobody new comes, then it ends."""
    have_noticed = False
    async with gateway(origin, client_ratio=1.0, shutdown_seconds=10.0) as app:
        clients = [
            asyncio.create_task(ask_until(app.url, lambda: have_noticed, number, stops)) for number in range(CLIENTS)
        ]
        await turns(chance.randrange(20, 400))
        app.draining = True
        await turns(chance.randrange(20))
        have_noticed = True
        await turns(chance.randrange(ACCEPTED_TURNS, 20))
    await asyncio.gather(*clients)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
