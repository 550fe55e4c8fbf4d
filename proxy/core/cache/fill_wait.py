"""How waiting for another replica's fill ends.

Owns: the ends of a wait, and what a look at the fill lock means. Must not know: how a lock is kept, how often to look.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import assert_never


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
class LockStatus:
    """A look at a fill lock."""

    state: LockState
    left_seconds: float = 0.0
    """When the lock will expire, unless it is renewed."""


def end_of_wait(state: LockState, *, is_overdue: bool) -> WaitEnd | None:
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
