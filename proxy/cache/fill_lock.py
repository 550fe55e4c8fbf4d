"""Waiting for another replica's fill.

Owns: how long a fill lock lives, how often a waiter looks. Must not know: how a lock is stored, or what is filled.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from proxy.core.cache.fill_wait import LockStatus, WaitEnd, end_of_wait
from proxy.errors import RedisAway

LOCK_SECONDS = 5.0
"""A fill lock that its holder does not renew expires after this long."""


class Watched(Protocol):
    """A store that a waiter looks at. Every method raises RedisAway."""

    async def lock_status(self, key: str) -> LockStatus:
        """The fill lock of `key`."""

    async def peek(self, key: str) -> float | None:
        """`stored_at` of the entry under `key`; None if there is none."""


class PollSchedule(Struct, frozen=True, kw_only=True):
    """How often a waiter looks. Each pause is 1.5 times the last, and jitter keeps the waiters apart."""

    first_seconds: float = 0.02
    longest_seconds: float = 0.2
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    """Between 0 and 1."""


async def wait_for_fill(
    watched: Watched, key: str, *, newer_than: float, timeout_seconds: float, schedule: PollSchedule
) -> WaitEnd:
    """Wait until another replica's fill of `key` stores an entry newer than `newer_than`, or ends without one."""
    give_up_at = schedule.monotonic() + timeout_seconds
    pause_seconds = schedule.first_seconds
    expires_at = math.inf  # a lock that is gone at the first look was released, not expired
    while True:
        looked_at = schedule.monotonic()
        try:
            status, is_filled = await _look(watched, key, newer_than)
        except RedisAway:
            return WaitEnd.REDIS_AWAY
        end = WaitEnd.FILLED if is_filled else end_of_wait(status.state, is_overdue=schedule.monotonic() >= expires_at)
        if end is not None:
            return end
        expires_at = looked_at + status.left_seconds
        left_seconds = give_up_at - schedule.monotonic()
        if left_seconds <= 0:
            return WaitEnd.DEADLINE
        await schedule.sleep(min(left_seconds, pause_seconds * (0.5 + schedule.chance() / 2)))
        pause_seconds = min(1.5 * pause_seconds, schedule.longest_seconds)


async def _look(watched: Watched, key: str, newer_than: float) -> tuple[LockStatus, bool]:
    """The lock, and whether a newer entry is there."""
    # The lock first: the holder stores the entry before it releases the lock. So if the lock is free and the entry
    # is missing afterwards, it will not come. In the other order, a holder that ends in between would seem dead.
    status = await watched.lock_status(key)
    stored_at = await watched.peek(key)
    return status, stored_at is not None and stored_at > newer_than
