"""How a wait for another replica's fill ends.

Owns: the ends of a wait, and what a state of the fill lock means. Must not know: where the lock is kept, how often it
is read.
"""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from msgspec import Struct


class WaitEnd(Enum):
    """How the wait ended, and what to do next. The value is a metric label."""

    FILLED = "filled"
    """A newer entry is stored: get it."""
    FAILED = "failed"
    """The holder released the lock because its fill failed: do not try. For a second nobody gets the lock."""
    RELEASED = "released"
    """The holder released the lock without entry or failure: the quota refused it, or it stops. Take over at once."""
    EXPIRED = "expired"
    """The lock expired without an entry: its holder died. Take over."""
    DEADLINE = "deadline"
    """The holder is still filling, and the time to wait is over."""
    REDIS_AWAY = "redis-away"
    """Redis does not answer: continue without it."""


class LockState(Enum):
    """What the key of a fill lock holds."""

    HELD = "held"
    """A replica is filling."""
    FAILED = "failed"
    """The last holder's fill failed less than a second ago."""
    FREE = "free"
    """No replica is filling."""


class LockStatus(Struct, frozen=True):
    """The state of a fill lock at one moment."""

    state: LockState
    left_seconds: float = 0.0
    """How long until the lock expires, unless it is renewed."""


def end_of_wait(state: LockState, *, is_overdue: bool) -> WaitEnd | None:
    """What the lock's state means while there is no entry; None: keep waiting. `is_overdue`: it should have expired."""
    match state:
        case LockState.HELD:
            return None
        case LockState.FAILED:
            return WaitEnd.FAILED
        case LockState.FREE:
            return WaitEnd.EXPIRED if is_overdue else WaitEnd.RELEASED
        case _:
            assert_never(state)
