"""How far the origin's clock is from ours, as an interval that each answer narrows.

Owns: the estimate. Must not know: where the answers come from, or what uses the estimate.

The origin produced its answer at its time T, between our `sent_at` and `received_at`. So
`T - received_at <= offset <= T - sent_at`. A Date header gives T in whole seconds, so its interval is one second
wider (RFC 9110, section 5.6.7). Intervals are intersected. An interval that does not overlap the earlier ones means
that a clock was set: the estimate then starts again from it.
"""

from __future__ import annotations

from dataclasses import dataclass

DATE_RESOLUTION_SECONDS = 1.0

UNKNOWN_SECONDS = 60.0
"""The assumed largest offset before the first observation. If a machine's clock is further off, the origin may count
its first requests in windows that were not charged."""


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Bounds of (origin's clock - our clock), in seconds. Unbounded until the first observation."""

    lowest: float = float("-inf")
    highest: float = float("inf")

    @property
    def is_known(self) -> bool:
        """Whether anything was observed yet."""
        return self.lowest > float("-inf")

    @property
    def seconds(self) -> float:
        """The estimate: the middle of the interval; 0 while unknown."""
        return (self.lowest + self.highest) / 2 if self.is_known else 0.0

    @property
    def uncertainty_seconds(self) -> float:
        """The largest error of the estimate."""
        return (self.highest - self.lowest) / 2 if self.is_known else UNKNOWN_SECONDS

    def observe(
        self, origin_time: float, *, sent_at: float, received_at: float, resolution_seconds: float = 0.0
    ) -> ClockOffset:
        """Narrow the interval by one answer. Seconds since epoch; `origin_time` by its clock, the others by ours."""
        lowest = origin_time - max(sent_at, received_at)
        highest = origin_time + resolution_seconds - sent_at
        if lowest > self.highest or highest < self.lowest:
            return ClockOffset(lowest, highest)
        return ClockOffset(max(lowest, self.lowest), min(highest, self.highest))
