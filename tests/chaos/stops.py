"""Gateways that are told to stop while clients ask: every request that was sent in time is answered.

Owns: the clients, one life of the real command, the counts. Must not know: what else goes on.

A client stops when an answer closes its connection, or in the middle of the time that the gateway goes on serving after
SIGTERM: that is when a load balancer has noticed. Until then each connection is accepted and each request answered.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from tests.chaos.fleet import replica
from tests.gateway.harness import INFO
from tests.gateway.plain import plain
from tests.simulator import Simulator

CLIENTS = 8
TARGETS = (f"{INFO}?symbol=BTCUSDT", INFO, "/api/v3/time", "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=10")
SHUTDOWN_SECONDS = 2.0
NOTICED_SECONDS = 0.1
"""Well before the gateway stops to accept."""
LIFE_SECONDS = 1.0
_ANSWER_SECONDS = 20.0


@dataclass(slots=True)
class Stops:
    """What came of all stops."""

    count: int = 0
    answered: int = 0
    lost: list[str] = field(default_factory=list)
    """Requests without a whole answer."""
    failed: list[str] = field(default_factory=list)
    """Ends that were none: a status, a time."""


async def ask_until(url: str, is_over: Callable[[], bool], number: int, stops: Stops) -> None:
    """One client: a request at a time, on a kept connection (even numbers) or on a new one each time."""
    turn = number
    while not is_over():
        async with plain(url) as connection:
            while not is_over():
                target, turn = TARGETS[turn % len(TARGETS)], turn + 1
                try:
                    async with asyncio.timeout(_ANSWER_SECONDS):
                        answer = await connection.ask(target)
                except (OSError, EOFError, TimeoutError, KeyError) as error:
                    stops.lost.append(f"{target}: {error!r}")
                    return
                if answer.status not in (200, 429):
                    stops.lost.append(f"{target}: {answer.status}")
                stops.answered += 1
                if answer.headers.get("connection") == "close" or number % 2:
                    break


async def stop_once(origin: Simulator, session: aiohttp.ClientSession, chance: random.Random, stops: Stops) -> None:
    """One life: it serves, gets SIGTERM at a random moment, and ends by itself."""
    lasting = str(SHUTDOWN_SECONDS)
    async with replica(session, origin.url, "memory:", shutdown_seconds=lasting, client_ratio="1") as gateway:
        noticed: list[float] = []

        def is_over() -> bool:
            return bool(noticed) and time.monotonic() > noticed[0]

        clients = [asyncio.create_task(ask_until(gateway.url, is_over, number, stops)) for number in range(CLIENTS)]
        await asyncio.sleep(chance.uniform(0.0, LIFE_SECONDS))
        gateway.process.terminate()
        noticed.append(time.monotonic() + NOTICED_SECONDS)
        async with asyncio.timeout(_ANSWER_SECONDS + SHUTDOWN_SECONDS):
            await asyncio.gather(*clients)
            status = await gateway.process.wait()
        stops.count += 1
        if status != 0:
            stops.failed.append(f"exit status {status}: {list(gateway.log)[-1:]}")


async def stop_again_and_again(stops: Stops, count: int, seconds: float, seed: int) -> None:
    """So many stops, spread over this time; then wait."""
    chance = random.Random(seed)
    began = time.monotonic()
    async with Simulator() as origin, aiohttp.ClientSession() as session:
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number * seconds * 0.95 / count - time.monotonic()))
            try:
                await stop_once(origin, session, chance, stops)
            except (AssertionError, OSError, TimeoutError, aiohttp.ClientError) as error:
                stops.failed.append(repr(error)[:500])
    await asyncio.Event().wait()
