"""The end of a gateway's life, when it is itself cut short."""

from __future__ import annotations

import asyncio

from tests.gateway.harness import Clock, gateway
from tests.simulator import Simulator


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
