"""How far the origin's clock is from ours, as an interval that each answer narrows.

Owns: the estimate. Must not know: where the answers come from, or what follows the origin's clock.

An answer that was produced at origin time T, somewhere between our `sent_at` and `received_at`, proves that
`T - received_at <= offset <= T - sent_at`. A Date header says T only to the second, so its interval is a second
wider (RFC 9110, section 5.6.7). Intervals are intersected; one that contradicts all before it means that a clock
was set, and starts afresh.
"""

from __future__ import annotations

from dataclasses import dataclass

DATE_RESOLUTION_SECONDS = 1.0

UNKNOWN_SECONDS = 60.0
"""How far the two clocks may be apart while nothing is known. Of a machine that is further off the first requests count
in windows that it did not charge."""


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Bounds of (origin's clock - our clock), in seconds. Unbounded until the first observation."""

    lowest: float = float("-inf")
    highest: float = float("inf")

    @property
    def known(self) -> bool:
        """Whether anything was observed yet."""
        return self.lowest > float("-inf")

    @property
    def seconds(self) -> float:
        """The best single guess: the middle of the interval; 0 while unknown."""
        return (self.lowest + self.highest) / 2 if self.known else 0.0

    @property
    def uncertainty_seconds(self) -> float:
        """How far the guess may be off, at most."""
        return (self.highest - self.lowest) / 2 if self.known else UNKNOWN_SECONDS

    def observe(
        self, origin_time: float, *, sent_at: float, received_at: float, resolution_seconds: float = 0.0
    ) -> ClockOffset:
        """Narrow the interval by one answer. All times in seconds since the epoch, on their own clocks."""
        lowest = origin_time - max(sent_at, received_at)
        highest = origin_time + resolution_seconds - sent_at
        if lowest > self.highest or highest < self.lowest:
            return ClockOffset(lowest, highest)
        return ClockOffset(max(lowest, self.lowest), min(highest, self.highest))
