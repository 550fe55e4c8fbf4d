"""The one place that reads the wall clock, and the origin's clock as we know it.

Owns: `OriginClock`. Must not know: windows, freshness, or who asks for the time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from proxy.core.quota.clock_offset import DATE_RESOLUTION_SECONDS, ClockOffset
from proxy.core.quota.windows import GUARD_SECONDS

STEP_SECONDS = 0.5
"""A wall clock that moves this much against the monotonic one between two looks was set."""

SHARED_DOUBT_SECONDS = 1.0
"""How far another replica's word may be off: its own doubt, and the time that its word took."""


class OriginClock:
    """Our wall clock, and the origin's: ours plus the offset learned from its answers."""

    def __init__(self, wall: Callable[[], float] = time.time, *, monotonic: Callable[[], float] | None = None) -> None:
        self.wall = wall
        """Seconds since the epoch by this machine."""
        self.offset = ClockOffset()
        self.offset_seconds = 0.0
        """The origin's clock less ours: the offset's seconds, where every answer finds them."""
        self._monotonic = monotonic
        """To notice that the wall clock was set; without it that is learned from the next answer."""
        self._apart_seconds = self._apart()

    def origin(self) -> float:
        """Seconds since the epoch by the origin's clock: what replicas share goes by it, windows and ages alike."""
        return self.wall() + self.offset_seconds

    def to_origin(self, wall: float) -> float:
        """A moment of this machine's clock by the origin's."""
        return wall + self.offset_seconds

    def guard_seconds(self) -> float:
        """How far from `origin` the origin may count a request that is sent now."""
        self._forget_when_set()
        return GUARD_SECONDS + self.offset.uncertainty_seconds

    def is_synchronized(self) -> bool:
        """Whether anything is known of the origin's clock."""
        self._forget_when_set()
        return self.offset.is_known

    def observe_date(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a Date header (whole seconds)."""
        seconds = DATE_RESOLUTION_SECONDS
        self._learned(
            self.offset.observe(origin_time, sent_at=sent_at, received_at=received_at, resolution_seconds=seconds)
        )

    def observe_server_time(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a `serverTime` in a body, given here in seconds."""
        self._learned(self.offset.observe(origin_time, sent_at=sent_at, received_at=received_at))

    def observe_shared(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from what another replica knew, and the time that has passed since on Redis' server.

        A wall clock that no monotonic one goes with does not pass as time does there: then there is nothing to learn.
        """
        if self._monotonic is None:
            return
        self._learned(
            self.offset.observe(
                origin_time - SHARED_DOUBT_SECONDS,
                sent_at=sent_at,
                received_at=received_at,
                resolution_seconds=2 * SHARED_DOUBT_SECONDS,
            )
        )

    def _learned(self, offset: ClockOffset) -> None:
        self.offset = offset
        self.offset_seconds = offset.seconds

    def _forget_when_set(self) -> None:
        """Once the wall clock was set nothing is known any more."""
        apart_seconds = self._apart()
        if abs(apart_seconds - self._apart_seconds) > STEP_SECONDS:
            self._learned(ClockOffset())
        self._apart_seconds = apart_seconds

    def _apart(self) -> float:
        return 0.0 if self._monotonic is None else self.wall() - self._monotonic()


WATCH_SECONDS = 1.0
"""How often the wall clock is held against the monotonic one."""


async def watch_clock(clock: OriginClock) -> None:
    """Notice soon when the wall clock was set: until then all ages are wrong."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        clock.is_synchronized()
