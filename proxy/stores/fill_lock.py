"""The fill lock across replicas, as seen by who holds it and by who waits for it.

Owns: the ways in which waiting ends, how often to look. Must not know: how a lock is kept, or what is filled.
"""

from __future__ import annotations

import asyncio
import math
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
    RELEASED = "released"
    """The holder let go with neither: it was not allowed to ask, or is shutting down. Take over at once."""
    EXPIRED = "expired"
    """The lock has lived out its time without an entry: its holder died. Take over."""
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


@dataclass(frozen=True, slots=True)
class LockSight:
    """A look at a fill lock."""

    state: LockState
    left_seconds: float = 0.0
    """When the lock will expire, unless it is renewed."""


class FillLock(Protocol):
    """The right to fill one key. Every method raises RedisAway."""

    async def renew(self) -> bool:
        """Prolong it by its full lifetime. False: it was lost, and another replica may be filling."""

    async def release(self, *, filled: bool) -> None:
        """Let go, after the entry is stored. A lost lock is left alone.

        `filled=False` tells those who wait that the fill failed (WaitEnd.FAILED); nobody gets the lock for a
        second. One who was merely interrupted says True, so that somebody takes over (WaitEnd.RELEASED).
        """


class Watched(Protocol):
    """What a waiter looks at. Every method raises RedisAway."""

    async def look_at_lock(self, key: str) -> LockSight:
        """The fill lock of `key`."""

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
    expires_at = math.inf  # who was refused the lock and sees none a moment later: it was let go
    while True:
        looked_at = pace.monotonic()
        try:
            sight, is_filled = await _look(watched, key, newer_than)
        except RedisAway:
            return WaitEnd.REDIS_AWAY
        end = WaitEnd.FILLED if is_filled else _end(sight.state, is_overdue=pace.monotonic() >= expires_at)
        if end is not None:
            return end
        expires_at = looked_at + sight.left_seconds
        left_seconds = give_up_at - pace.monotonic()
        if left_seconds <= 0:
            return WaitEnd.DEADLINE
        await pace.sleep(min(left_seconds, pause_seconds * (0.5 + pace.chance() / 2)))
        pause_seconds = min(1.5 * pause_seconds, pace.longest_seconds)


async def _look(watched: Watched, key: str, newer_than: float) -> tuple[LockSight, bool]:
    """The lock, and whether a newer entry is there."""
    # The lock first: the holder stores before it lets go, so an entry that is not there after the lock was
    # seen free will not come. The other way round, a holder that ends between the looks would seem dead.
    sight = await watched.look_at_lock(key)
    stored_at = await watched.peek(key)
    return sight, stored_at is not None and stored_at > newer_than


def _end(state: LockState, *, is_overdue: bool) -> WaitEnd | None:
    """What a lock without an entry means; None: wait on. Overdue: at the last look it would not live until now."""
    match state:
        case LockState.HELD:
            return None
        case LockState.FAILED:
            return WaitEnd.FAILED
        case LockState.FREE:
            return WaitEnd.EXPIRED if is_overdue else WaitEnd.RELEASED
        case _:
            assert_never(state)
