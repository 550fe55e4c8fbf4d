"""When to stop asking a Redis that does not answer.

Owns: `Breaker`, a state machine over a monotonic clock. Must not know: Redis, or what a failure is.

    CLOSED     3 consecutive failures                -> OPEN for 1 s
    OPEN       the time is over, and somebody asks   -> HALF_OPEN, and that caller is the probe
    HALF_OPEN  the probe fails                       -> OPEN, twice as long as before, 5 s at most
    HALF_OPEN  the probe's caller leaves             -> OPEN, time over: the next caller is the probe
    any        an operation succeeds                 -> CLOSED, all counts forgotten
    not CLOSED an operation from before fails        -> no change: it is old news
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

FAILURES_TO_OPEN = 3
FIRST_OPEN_SECONDS = 1.0
LONGEST_OPEN_SECONDS = 5.0


class BreakerState(Enum):
    """What the breaker lets through."""

    CLOSED = "closed"
    """Everything."""
    OPEN = "open"
    """Nothing, until its time is over."""
    HALF_OPEN = "half-open"
    """One probe is under way; nothing else."""


class Admission(Enum):
    """The answer to `admit`. Hand it back with the result."""

    NORMAL = "normal"
    """Go: the breaker is closed."""
    PROBE = "probe"
    """Go: the result decides whether the breaker closes."""
    REFUSED = "refused"
    """Do not go."""


class Breaker:
    """Every admission but REFUSED must be followed by `succeeded`, `failed` or `abandoned`."""

    __slots__ = ("_failures", "_monotonic", "_open_seconds", "_open_until", "_state")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._open_seconds = 0.0
        self._open_until = 0.0

    @property
    def state(self) -> BreakerState:
        """Now. OPEN with its time over stays OPEN until somebody asks."""
        return self._state

    def admit(self) -> Admission:
        """May one operation go?"""
        if self._state is BreakerState.CLOSED:
            return Admission.NORMAL
        if self._state is BreakerState.OPEN and self._monotonic() >= self._open_until:
            self._state = BreakerState.HALF_OPEN
            return Admission.PROBE
        return Admission.REFUSED

    def succeeded(self) -> None:
        """The server answered."""
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._open_seconds = 0.0

    def failed(self, admission: Admission) -> None:
        """The server did not answer."""
        if admission is Admission.PROBE and self._state is BreakerState.HALF_OPEN:
            self._open()
        elif self._state is BreakerState.CLOSED:
            self._failures += 1
            if self._failures >= FAILURES_TO_OPEN:
                self._open()

    def abandoned(self, admission: Admission) -> None:
        """The caller left before the result was known, so nothing is known."""
        if admission is Admission.PROBE and self._state is BreakerState.HALF_OPEN:
            self._state = BreakerState.OPEN

    def _open(self) -> None:
        self._open_seconds = min(max(FIRST_OPEN_SECONDS, 2 * self._open_seconds), LONGEST_OPEN_SECONDS)
        self._open_until = self._monotonic() + self._open_seconds
        self._state = BreakerState.OPEN
