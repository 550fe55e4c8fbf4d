"""The one place that reads the wall clock, and the origin's clock as we know it.

Owns: `OriginClock`. Must not know: windows, freshness, or who asks for the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from proxy.core.clock_offset import DATE_RESOLUTION_SECONDS, ClockOffset


class OriginClock:
    """Our wall clock, and the origin's: ours plus the offset learned from its answers."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall
        """Seconds since the epoch by this machine: ages of entries are measured with it."""
        self.offset = ClockOffset()

    def origin(self) -> float:
        """Seconds since the epoch by the origin's clock: rate-limit windows follow it."""
        return self.wall() + self.offset.seconds

    def observe_date(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a Date header (whole seconds)."""
        self.offset = self.offset.observe(
            origin_time, sent_at=sent_at, received_at=received_at, resolution_seconds=DATE_RESOLUTION_SECONDS
        )

    def observe_server_time(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a `serverTime` in a body, given here in seconds."""
        self.offset = self.offset.observe(origin_time, sent_at=sent_at, received_at=received_at)
