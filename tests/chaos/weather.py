"""The origin and the Redis of a storm, and what goes wrong with them.

Owns: which process sent each request, the events. Must not know: gateways, clients, what may not happen.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum

from aiohttp import web

from tests.chaos.relay import Relay
from tests.redis_client.valkey import Valkey
from tests.simulator import Fault, Simulator
from tests.simulator.endpoints import ApiName
from tests.simulator.hosts import Hosts

PROBE_SECONDS = 0.05
LAG_MEMORY_SECONDS = 1.0
WRONG_SECONDS = (-86_400, -3600, -60, -7, 7, 60, 3600, 86_400)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request, as the origin saw it."""

    door: str
    """The URL by which the process that sent it knows the origin."""
    earliest: float
    """When it can have arrived at the earliest, in seconds since the epoch: the origin's own delay is taken off."""
    latest: float
    """When the origin saw it."""
    path: str


@dataclass(slots=True)
class StormLog:
    """What the origin saw."""

    arrivals: list[Arrival] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    most_used: int = 0
    """The most weight in one minute."""
    longest_lag_seconds: float = 0.0


class Lag:
    """How long a request waits until the origin sees it: measured by requests that a thread sends."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._sent: dict[int, float] = {}
        self._seen: deque[tuple[float, float]] = deque()
        """(when it was seen, how long it had waited) for each of the last second."""

    def sent(self, number: int) -> None:
        """A probe with this number goes out."""
        self._sent[number] = self._monotonic()

    def seen(self, number: int) -> None:
        """The origin sees it."""
        now = self._monotonic()
        self._seen.append((now, now - self._sent.pop(number, now)))

    def seconds(self) -> float:
        """The longest that a request may have waited which is seen now: also as long as a probe that still waits."""
        now = self._monotonic()
        while self._seen and self._seen[0][0] < now - LAG_MEMORY_SECONDS:
            self._seen.popleft()
        waiting = [now - sent for sent in tuple(self._sent.values())]
        return max((*waiting, *(waited for _, waited in self._seen)), default=0.0)

    @contextmanager
    def measured(self, port: int) -> Iterator[None]:
        """Send probes, whether or not earlier ones are seen, each on a connection of its own."""
        ended = threading.Event()
        thread = threading.Thread(target=self._probe, args=(port, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _probe(self, port: int, ended: threading.Event) -> None:
        waiting: dict[int, socket.socket] = {}
        try:
            for number in itertools.count():
                if ended.wait(PROBE_SECONDS):
                    return
                connection = waiting[number] = socket.create_connection(("127.0.0.1", port))
                self.sent(number)
                connection.sendall(b"GET /%d HTTP/1.1\r\nHost: origin\r\n\r\n" % number)
                for known in [known for known in waiting if known not in self._sent]:
                    waiting.pop(known).close()
        finally:
            for connection in waiting.values():
                connection.close()


class StormOrigin(Simulator):
    """A stand-in with a door for each process, so that it knows who asks."""

    def __init__(self, *, weight_limit: int, chance: random.Random) -> None:
        super().__init__(weight_limit=weight_limit)
        self.storm = StormLog()
        self.are_dates_wrong = False
        self._chance = chance
        self._doors: dict[int, Hosts] = {}
        self._lag = Lag()

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

    async def measure_lag(self) -> None:
        """Ask itself again and again, to know how long a request may have waited before it is seen."""
        door = Hosts(self._note_probe, "127.0.0.1", 0)
        try:
            with self._lag.measured(door.port()):
                await asyncio.get_running_loop().create_future()
        finally:
            await door.close()

    async def _note_probe(self, _: ApiName | None, request: web.BaseRequest) -> web.StreamResponse:
        self._lag.seen(int(request.path[1:]))
        self.storm.longest_lag_seconds = max(self.storm.longest_lag_seconds, self._lag.seconds())
        return web.Response(headers={"Connection": "close"})

    async def _handle(self, host: ApiName | None, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        door = int(transport.get_extra_info("sockname")[1]) if transport is not None else 0
        if door in self._doors:
            now, lag_seconds = time.time(), self._lag.seconds()
            self.storm.arrivals.append(Arrival(f"http://127.0.0.1:{door}", now - lag_seconds, now, request.path))
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
