"""The origin and the Redis of a storm, and what goes wrong with them.

Owns: which process sent each request, the events. Must not know: gateways, clients, what may not happen.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum

from aiohttp import web

from tests.chaos.relay import Relay
from tests.redis_client.valkey import Valkey
from tests.simulator import Fault, Simulator
from tests.simulator.endpoints import ApiName
from tests.simulator.hosts import Hosts

WRONG_SECONDS = (-86_400, -3600, -60, -7, 7, 60, 3600, 86_400)


@dataclass(slots=True)
class StormLog:
    """What the origin saw."""

    arrivals: Counter[str] = field(default_factory=Counter)
    """Requests by the URL by which the process that sent them knows the origin."""
    statuses: Counter[int] = field(default_factory=Counter)
    most_used: int = 0
    """The most weight in one minute."""


class StormOrigin(Simulator):
    """A stand-in with a door for each process, so that it knows who asks."""

    def __init__(self, *, weight_limit: int, chance: random.Random) -> None:
        super().__init__(weight_limit=weight_limit)
        self.storm = StormLog()
        self.are_dates_wrong = False
        self._chance = chance
        self._doors: dict[int, Hosts] = {}

    def door(self) -> str:
        """The URL for one more process."""
        door = Hosts(self._handle, "127.0.0.1", 0)
        self._doors[door.port()] = door
        return door.url()

    async def stop(self) -> None:
        """Close all doors."""
        for door in self._doors.values():
            await door.close()
        await super().stop()

    async def _handle(self, host: ApiName | None, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        door = int(transport.get_extra_info("sockname")[1]) if transport is not None else 0
        if door in self._doors:
            self.storm.arrivals[f"http://127.0.0.1:{door}"] += 1
        response = await super()._handle(host, request)
        self.storm.statuses[response.status] += 1
        self.storm.most_used = max(self.storm.most_used, self.used_weight)
        if self.are_dates_wrong:
            response.headers["Date"] = formatdate(time.time() + self._wrong_seconds(), usegmt=True)
        return response

    def _wrong_seconds(self) -> float:
        """No two answers in a row agree: two that agree are believed."""
        return self._chance.choice(WRONG_SECONDS) + self._chance.uniform(-3000, 3000)


class Event(Enum):
    """What happens. The value is the word in the summary."""

    BAN = "bans"
    BACK_OFF = "back-offs"
    PAGE = "pages of the edge"
    WRONG_DATES = "spells of wrong dates"
    REDIS_KILLED = "Redis killed, restarted empty"
    REDIS_STOPPED = "Redis stopped"
    REDIS_REFUSED = "Redis refused"
    REDIS_SLOW = "Redis slow"
    REDIS_FLUSHED = "Redis flushed"


@dataclass(slots=True)
class Weather:
    """Lets one event after another happen."""

    origin: StormOrigin
    redis: Valkey
    network: Relay
    chance: random.Random
    events: Counter[Event] = field(default_factory=Counter)

    async def rage(self) -> None:
        """For as long as the storm lasts: an event, then a moment of calm."""
        while True:
            event = self.chance.choice(EVENTS)
            self.events[event] += 1
            await self._happen(event)
            await asyncio.sleep(self.chance.uniform(0.5, 2.0))

    async def _happen(self, event: Event) -> None:
        origin, network = self.origin, self.network
        seconds = self.chance.uniform(0.5, 3.0)
        match event:
            case Event.BAN | Event.BACK_OFF:
                fault = Fault.TEAPOT_418 if event is Event.BAN else Fault.TOO_MANY_429
                origin.set_fault(fault, times=self.chance.randint(1, 3), retry_after=self.chance.randint(3, 8))
                await asyncio.sleep(seconds)
            case Event.PAGE:
                origin.set_fault(Fault.HTML_503, times=3)
            case Event.WRONG_DATES:
                origin.are_dates_wrong = True
                await asyncio.sleep(seconds)
                origin.are_dates_wrong = False
            case Event.REDIS_KILLED:
                await _between(self.redis.kill, seconds, self.redis.start)
            case Event.REDIS_STOPPED:
                await _between(self.redis.freeze, seconds, self.redis.thaw)
            case Event.REDIS_REFUSED:
                network.refuse()
                await asyncio.sleep(seconds)
                network.accept()
            case Event.REDIS_SLOW:
                network.delay_seconds = 2.0
                await asyncio.sleep(seconds)
                network.delay_seconds = 0.0
            case Event.REDIS_FLUSHED:
                await asyncio.to_thread(self.redis.admin, "FLUSHALL")


EVENTS = (*Event, *[Event.BAN, Event.BACK_OFF] * 3)
"""Refusals are half of them."""

Act = Callable[[], object]


async def _between(begin: Act, seconds: float, end: Act) -> None:
    """Begin, wait, end: a storm that is over leaves nothing broken."""
    await asyncio.to_thread(begin)
    try:
        await asyncio.sleep(seconds)
    finally:
        await asyncio.shield(_in_thread(end))


def _in_thread(act: Act) -> Awaitable[object]:
    return asyncio.ensure_future(asyncio.to_thread(act))
