"""The circuit breaker: when to stop asking a Redis that does not answer.

Owns: `Breaker`, a state machine over a monotonic clock. Must not know: Redis, or what a failure is.

    CLOSED     3 consecutive failures                -> OPEN for 1 s
    OPEN       an operation asks after that time     -> HALF_OPEN, and that operation is the probe
    HALF_OPEN  the probe fails                       -> OPEN, twice as long as before, at most 5 s
    HALF_OPEN  the probe is cancelled                -> OPEN, time over: the next operation is the probe
    any        an operation succeeds                 -> CLOSED, all counts reset
    not CLOSED an earlier operation fails            -> no change: it started before the breaker opened
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

FAILURES_TO_OPEN = 3
FIRST_OPEN_SECONDS = 1.0
LONGEST_OPEN_SECONDS = 5.0


class BreakerState(Enum):
    """Which operations may run."""

    CLOSED = "closed"
    """All."""
    OPEN = "open"
    """None, until its time is over."""
    HALF_OPEN = "half-open"
    """Only the probe, which is under way."""


class Admission(Enum):
    """The result of `admit`. The caller hands it back with the result of its operation."""

    NORMAL = "normal"
    """Run it: the breaker is closed."""
    PROBE = "probe"
    """Run it: the result decides whether the breaker closes."""
    REFUSED = "refused"
    """Do not run it."""


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
        """The present state. OPEN stays OPEN after its time until an operation asks."""
        return self._state

    def admit(self) -> Admission:
        """Whether one operation may run."""
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
        """The operation was cancelled, so its result is unknown."""
        if admission is Admission.PROBE and self._state is BreakerState.HALF_OPEN:
            self._state = BreakerState.OPEN

    def _open(self) -> None:
        self._open_seconds = min(max(FIRST_OPEN_SECONDS, 2 * self._open_seconds), LONGEST_OPEN_SECONDS)
        self._open_until = self._monotonic() + self._open_seconds
        self._state = BreakerState.OPEN
