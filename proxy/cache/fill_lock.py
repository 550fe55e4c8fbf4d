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
from typing import Protocol

from proxy.core.cache.fill_wait import LockSight, WaitEnd, end_of_wait
from proxy.errors import RedisAway


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
        end = WaitEnd.FILLED if is_filled else end_of_wait(sight.state, is_overdue=pace.monotonic() >= expires_at)
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
