"""How much a process needs to hold, by how fast it spent in the last seconds.

Owns: the rate, and what a request lacked. Must not know: when leases are fetched. Times are seconds since the epoch by
the origin's clock.
"""

from __future__ import annotations

import math

from proxy.core.quota.lease import HEAVY_WEIGHT, enough
from proxy.core.quota.lease_frame import Part
from proxy.core.quota.windows import RateLimitKind

RATE_SECONDS = 20.0
"""For how long a request raises the rate that is expected."""
STEP_SECONDS = 0.05
"""Requests so near together count as one moment."""
LEAST_RATE_SECONDS = 0.5
"""The first requests of a process are taken for the rate of so long a time."""


class Rate:
    """How much a process spends in a second, and in how many requests, by what it did in the last ones."""

    __slots__ = ("_at", "_began", "_requests", "_weight")

    def __init__(self) -> None:
        self._weight = self._requests = 0.0
        self._began = self._at = -math.inf

    def add(self, weight: int, now: float) -> None:
        """One more request."""
        if not -STEP_SECONDS <= now - self._at <= STEP_SECONDS:
            self._step(now)
        self._weight += weight
        self._requests += 1

    def _step(self, now: float) -> None:
        """Another moment has begun, maybe after a pause, or since a clock was set."""
        if not -STEP_SECONDS <= now - self._at <= 4 * RATE_SECONDS:
            self._weight = self._requests = 0.0
            self._began = self._at = now
        self._decay(now)

    def per_second(self, now: float) -> float:
        """The expected weight in a second."""
        return self._per_second(now)[0]

    def requests_per_second(self, now: float) -> float:
        """How many requests are expected in a second."""
        return self._per_second(now)[1]

    def _per_second(self, now: float) -> tuple[float, float]:
        """Weight and requests."""
        if self._requests == 0.0:
            return 0.0, 0.0
        self._decay(now)
        seconds = RATE_SECONDS * -math.expm1(-max(0.0, now - self._began) / RATE_SECONDS)
        seconds = max(seconds, LEAST_RATE_SECONDS)
        return self._weight / seconds, self._requests / seconds

    def _decay(self, now: float) -> None:
        passed_seconds = now - self._at
        if passed_seconds > 0:
            left = math.exp(-passed_seconds / RATE_SECONDS)
            self._weight, self._requests = self._weight * left, self._requests * left
            self._at = now


class Need:
    """What one process needs."""

    __slots__ = ("_missing", "rate")

    def __init__(self) -> None:
        self.rate = Rate()
        self._missing = dict.fromkeys(RateLimitKind, 0)
        """What the last request needed that found too little."""

    def target(self, part: Part, now: float) -> int:
        """How much should be held."""
        kind = part.window.kind
        rate = self.rate.per_second if kind is RateLimitKind.REQUEST_WEIGHT else self.rate.requests_per_second
        return enough(rate(now), part.closes - now, least=max(HEAVY_WEIGHT, self._missing[kind]))

    def saves_calls(self, part: Part, now: float) -> bool:
        """Whether more than one request is expected in what is left of a window, so that a grant saves a call."""
        return self.rate.requests_per_second(now) * (part.closes - now) > 1

    def miss(self, part: Part, cost: int) -> bool:
        """A request found too little. Whether more should be fetched than if it had not come."""
        if cost <= self._missing[part.window.kind] and not part.lease.is_low:
            return False
        self._missing[part.window.kind] = cost
        return True

    def is_missed(self, part: Part) -> bool:
        """Whether the last request that found too little would still do."""
        return self._missing[part.window.kind] > part.lease.held

    def granted(self) -> None:
        """Something was granted."""
        self._missing = dict.fromkeys(RateLimitKind, 0)
