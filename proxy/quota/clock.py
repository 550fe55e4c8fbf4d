"""The wall clock of this machine, and the origin's clock as estimated from it.

Owns: `OriginClock`, the watch for a wall clock that was set. Must not know: windows, freshness, who asks for the time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from proxy.core.quota.clock_offset import DATE_RESOLUTION_SECONDS, ClockOffset
from proxy.core.quota.windows import GUARD_SECONDS

STEP_SECONDS = 0.5
"""A wall clock that moved this much against the monotonic clock between two checks was set."""

SHARED_ERROR_SECONDS = 1.0
"""The error of another replica's time: that of its own estimate, and the time of the transfer."""


class OriginClock:
    """This machine's clock, and the origin's: ours plus the offset learned from its answers."""

    def __init__(self, wall: Callable[[], float] = time.time, *, monotonic: Callable[[], float] | None = None) -> None:
        self.wall = wall
        """Seconds since the epoch by this machine's clock."""
        self.offset = ClockOffset()
        self.offset_seconds = 0.0
        """The origin's clock less ours. A copy of `offset.seconds`, because every request reads it."""
        self._monotonic = monotonic
        """Shows when the wall clock was set; without it only the origin's next answer shows that."""
        self._gap_seconds = self._gap()

    def origin(self) -> float:
        """Seconds since the epoch by the origin's clock. Everything that replicas share uses it: windows and ages."""
        return self.wall() + self.offset_seconds

    def to_origin(self, wall: float) -> float:
        """Convert a time of this machine's clock to the origin's."""
        return wall + self.offset_seconds

    def guard_seconds(self) -> float:
        """The largest difference between `origin()` and the time at which the origin counts a request sent now."""
        self._forget_when_set()
        return GUARD_SECONDS + self.offset.uncertainty_seconds

    def is_synchronized(self) -> bool:
        """Whether the origin's clock was learned since the wall clock was last set."""
        self._forget_when_set()
        return self.offset.is_known

    def observe_date(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a Date header (whole seconds)."""
        seconds = DATE_RESOLUTION_SECONDS
        self._adopt(
            self.offset.observe(origin_time, sent_at=sent_at, received_at=received_at, resolution_seconds=seconds)
        )

    def observe_server_time(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a `serverTime` in a body, converted to seconds."""
        self._adopt(self.offset.observe(origin_time, sent_at=sent_at, received_at=received_at))

    def observe_shared(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from the origin's time that another replica stored in Redis, advanced by Redis' clock.

        Ignored without a monotonic clock: then the wall clock is a test's, which does not advance as Redis' does.
        """
        if self._monotonic is None:
            return
        self._adopt(
            self.offset.observe(
                origin_time - SHARED_ERROR_SECONDS,
                sent_at=sent_at,
                received_at=received_at,
                resolution_seconds=2 * SHARED_ERROR_SECONDS,
            )
        )

    def _adopt(self, offset: ClockOffset) -> None:
        self.offset = offset
        self.offset_seconds = offset.seconds

    def _forget_when_set(self) -> None:
        """Drop the offset if the wall clock was set: it was measured against the old setting."""
        gap_seconds = self._gap()
        if abs(gap_seconds - self._gap_seconds) > STEP_SECONDS:
            self._adopt(ClockOffset())
        self._gap_seconds = gap_seconds

    def _gap(self) -> float:
        """The wall clock less the monotonic one."""
        return 0.0 if self._monotonic is None else self.wall() - self._monotonic()


WATCH_SECONDS = 1.0
"""How often the wall clock is compared with the monotonic one."""


async def watch_clock(clock: OriginClock) -> None:
    """Notice within a second that the wall clock was set: until then all ages are wrong."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        clock.is_synchronized()  # compares the clocks
