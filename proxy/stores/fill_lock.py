"""The fill lock across replicas, as seen by who holds it and by who waits for it.

Owns: the ways in which waiting ends, how often to look. Must not know: how a lock is kept, or what is filled.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, assert_never

from proxy.errors import RedisAway


class WaitEnd(Enum):
    """How waiting for another replica's fill ended, and so what to do next. The value is a metric label."""

    FILLED = "filled"
    """A newer entry is there: get it."""
    FAILED = "failed"
    """The holder let go and said that its fill failed: do not try in turn. For a second nobody can."""
    EXPIRED = "expired"
    """The lock is gone without a word and without an entry: its holder died, or lost it. Take over."""
    DEADLINE = "deadline"
    """The holder is still at it, and we waited long enough."""
    REDIS_AWAY = "redis-away"
    """Redis cannot be asked: go on as if alone."""


class LockState(Enum):
    """What is to be seen where a fill lock may be."""

    HELD = "held"
    """Somebody fills."""
    FAILED = "failed"
    """The last holder's fill failed a moment ago."""
    FREE = "free"
    """Nobody fills."""


class FillLock(Protocol):
    """The right to fill one key. Every method raises RedisAway."""

    async def renew(self) -> bool:
        """Prolong it by its full lifetime. False: it was lost, and another replica may be filling."""

    async def release(self, *, filled: bool) -> None:
        """Let go, after the entry is stored. A lost lock is left alone.

        `filled=False` tells those who wait that the fill failed (WaitEnd.FAILED); nobody gets the lock for a
        second. One who was merely interrupted says True, so that somebody takes over (WaitEnd.EXPIRED).
        """


class Watched(Protocol):
    """What a waiter looks at. Every method raises RedisAway."""

    async def lock_state(self, key: str) -> LockState:
        """The state of the fill lock of `key`."""

    async def peek(self, key: str) -> float | None:
        """`stored_at` of the entry under `key`, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a waiter looks: the pauses grow by half each, and are cut by chance to keep waiters apart."""

    first_seconds: float = 0.02
    longest_seconds: float = 0.2
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    """Between 0 and 1."""


async def wait_for_fill(
    watched: Watched, key: str, *, newer_than: float, timeout_seconds: float, pace: Pace
) -> WaitEnd:
    """Wait until another replica's fill of `key` brings an entry stored after `newer_than`, or cannot."""
    give_up_at = pace.monotonic() + timeout_seconds
    pause_seconds = pace.first_seconds
    while True:
        try:
            end = await _look(watched, key, newer_than)
        except RedisAway:
            return WaitEnd.REDIS_AWAY
        if end is not None:
            return end
        left_seconds = give_up_at - pace.monotonic()
        if left_seconds <= 0:
            return WaitEnd.DEADLINE
        await pace.sleep(min(left_seconds, pause_seconds * (0.5 + pace.chance() / 2)))
        pause_seconds = min(1.5 * pause_seconds, pace.longest_seconds)


async def _look(watched: Watched, key: str, newer_than: float) -> WaitEnd | None:
    # The lock first: the holder stores before it lets go, so an entry that is not there after the lock was
    # seen free will not come. The other way round, a holder that ends between the looks would seem dead.
    state = await watched.lock_state(key)
    stored_at = await watched.peek(key)
    if stored_at is not None and stored_at > newer_than:
        return WaitEnd.FILLED
    match state:
        case LockState.HELD:
            return None
        case LockState.FAILED:
            return WaitEnd.FAILED
        case LockState.FREE:
            return WaitEnd.EXPIRED
        case _:
            assert_never(state)
