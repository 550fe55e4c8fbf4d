"""Virtual time, and what a simulated fleet shares: a Redis and an origin.

Owns: the order of events, the latencies, the simulated servers and their counts. Must not know: what a replica does.
A process is a generator that yields the seconds it sleeps; nothing here reads a clock.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from proxy.core.messages import Entry
from proxy.core.quota.budget import Budget
from proxy.core.quota.windows import DEFAULT_WINDOWS
from proxy.errors import RedisAway

T = TypeVar("T")
Process = Generator[float, None, T]

LIMIT = DEFAULT_WINDOWS[0].limit
MINUTE_SECONDS = 60
_EPOCH = 1_800_000_000.0


class World:
    """The one clock and the one source of chance."""

    def __init__(self, seed: int) -> None:
        self.now = _EPOCH
        self.chance = Random(seed)
        self._events: list[tuple[float, int, Process[None]]] = []
        self._numbers = itertools.count()

    def start(self, process: Process[None], *, after_seconds: float = 0.0) -> None:
        """Let a process begin."""
        heapq.heappush(self._events, (self.now + after_seconds, next(self._numbers), process))

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, process = heapq.heappop(self._events)
            pause_seconds = next(process, None)
            if pause_seconds is not None:
                self.start(process, after_seconds=pause_seconds)
        self.now = until

    @property
    def minute(self) -> int:
        """The number of the minute that is now."""
        return math.floor(self.now / MINUTE_SECONDS)


@dataclass
class Redis:
    """One server: the shared ledger is the model itself; the fill lock and the document's entry."""

    world: World
    away: bool = False
    budget: Budget = field(default_factory=Budget)
    document: Entry | None = None
    lock_until: float = -math.inf
    operations: Counter[str] = field(default_factory=Counter)

    def call(self, operation: str, act: Callable[[], T]) -> Process[T]:
        """One round trip; it is counted when the server runs it. Raises RedisAway."""
        if self.away:
            raise RedisAway("away")
        yield self.world.chance.uniform(0.0001, 0.0005)
        self.operations[operation] += 1
        result = act()
        yield self.world.chance.uniform(0.0001, 0.0005)
        return result

    def acquire(self) -> bool:
        """Take the fill lock, if it is to be had."""
        if self.lock_until > self.world.now:
            return False
        self.lock_until = self.world.now + 5.0
        return True

    def release(self) -> None:
        """Let go of the fill lock."""
        self.lock_until = -math.inf

    def keep(self, document: Entry) -> None:
        """Put the document."""
        self.document = document


@dataclass(frozen=True, slots=True)
class Told:
    """An answer of the origin."""

    ok: bool
    used_weight: int
    answered_at: float


@dataclass
class Origin:
    """Counts by minute, and answers 429 beyond its limit."""

    world: World
    counted: Counter[int] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    refused: int = 0

    def ask(self, kind: str, weight: int, seconds: float) -> Process[Told]:
        """One request that takes `seconds`; it is counted half-way."""
        yield self.world.chance.uniform(0.02, 0.1)
        minute = self.world.minute
        self.counted[minute] += weight
        self.by_kind[kind] += weight
        told = Told(self.counted[minute] <= LIMIT, self.counted[minute], self.world.now)
        self.refused += not told.ok
        yield seconds
        return told
