"""The wall clock of this machine, and the origin's clock as estimated from it.

Owns: `OriginClock`, the watch for a wall clock that was set, blocks and usage across a change of the clock. Must not
know: windows, freshness, who asks for the time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable

from proxy.background import tick
from proxy.core.quota.budget import Budget
from proxy.core.quota.clock_offset import DATE_RESOLUTION_SECONDS, DRIFT, JUMP_SECONDS, ClockEstimate, ClockOffset
from proxy.core.quota.windows import GUARD_SECONDS
from proxy.event_log import log
from proxy.ports import Clock

STEP_SECONDS = 0.5
"""A wall clock that moved this much against the monotonic clock between two checks was set."""

SHARED_ERROR_SECONDS = 1.0
"""The error of another replica's time: that of its own estimate, and the time of the transfer."""


class OriginClock:
    """This machine's clock, and the origin's: ours plus the offset learned from the answers of its API."""

    def __init__(self, wall: Callable[[], float] = time.time, *, monotonic: Callable[[], float] | None = None) -> None:
        self.wall = wall
        """Seconds since the epoch by this machine's clock."""
        self._estimate = ClockEstimate()
        self.offset_seconds = 0.0
        """The origin's clock less ours. A copy of `offset.seconds`, because every request reads it."""
        self.last_guard_seconds = GUARD_SECONDS + self._estimate.offset.uncertainty_seconds
        """`guard_seconds()` at the last look."""
        self._monotonic = monotonic
        """Shows when the wall clock was set; without it only the origin's next answer shows that."""
        self.gap_seconds = self._gap()
        """The wall clock less the monotonic one, at the last look; 0 without a monotonic clock."""
        self._set_at = -math.inf
        """When somebody was last seen to have set the wall clock, by the new setting."""

    @property
    def offset(self) -> ClockOffset:
        """The origin's clock less ours, with its bounds."""
        return self._estimate.offset

    def origin(self) -> float:
        """Seconds since the epoch by the origin's clock. Everything that replicas share uses it: windows and ages."""
        return self.wall() + self.offset_seconds

    def look(self) -> float:
        """`origin()`, after which `gap_seconds`, `last_guard_seconds` and `offset_seconds` are those of this moment.

        Drops the offset if the wall clock was set: it was measured against the old setting.
        """
        read_wall, read_monotonic = self.wall, self._monotonic
        wall = read_wall()
        if read_monotonic is not None:
            gap_seconds = wall - read_monotonic()
            if not -STEP_SECONDS <= gap_seconds - self.gap_seconds <= STEP_SECONDS:
                self._adopt(ClockEstimate())
                self._set_at = wall
            self.gap_seconds = gap_seconds
        return wall + self.offset_seconds

    def to_origin(self, wall: float) -> float:
        """Convert a time of this machine's clock to the origin's."""
        return wall + self.offset_seconds

    def guard_seconds(self) -> float:
        """The largest difference between `origin()` and the time at which the origin counts a request sent now."""
        self.look()
        return self.last_guard_seconds

    def error_seconds(self) -> float | None:
        """The largest difference between `origin()` and the origin's clock; None: unknown."""
        if not self.is_synchronized() or not self._estimate.is_confirmed:
            return None
        drift_seconds = DRIFT * max(0.0, self.wall() - self._estimate.observed_at)
        return self.offset.uncertainty_seconds + drift_seconds

    def is_synchronized(self) -> bool:
        """Whether the origin's clock was learned since the wall clock was last set."""
        self.look()
        return self.offset.is_known

    def may_teach(self) -> bool:
        """Whether other replicas may learn the origin's time from this process: its own last answer agrees."""
        return self.is_synchronized() and self._estimate.is_confirmed

    def observe_date(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a Date header (whole seconds) of an answer of the API."""
        self._observe(origin_time, sent_at, received_at, DATE_RESOLUTION_SECONDS)

    def observe_server_time(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a `serverTime` in a body, converted to seconds."""
        self._observe(origin_time, sent_at, received_at, 0.0)

    def observe_shared(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from the origin's time that another replica stored in Redis, advanced by Redis' clock.

        Ignored without a monotonic clock: then the wall clock is a test's, which does not advance as Redis' does.
        """
        if self._monotonic is None or not self._is_of_one_setting(sent_at, received_at):
            return
        shared = ClockOffset().observe(
            origin_time - SHARED_ERROR_SECONDS,
            sent_at=sent_at,
            received_at=received_at,
            resolution_seconds=2 * SHARED_ERROR_SECONDS,
        )
        self._adopt(self._estimate.adopt(shared))

    def _observe(self, origin_time: float, sent_at: float, received_at: float, resolution_seconds: float) -> None:
        before = self._estimate
        if before.knows(origin_time, sent_at=sent_at, received_at=received_at, resolution_seconds=resolution_seconds):
            return  # if the clock was set meanwhile, this answer contradicts
        if not self._is_of_one_setting(sent_at, received_at):
            return
        before = self._estimate
        self._adopt(
            before.observe(origin_time, sent_at=sent_at, received_at=received_at, resolution_seconds=resolution_seconds)
        )
        doubt = self._estimate.doubt
        if doubt is not None and before.doubt is None:
            log.warning("origin_time_doubted", seconds=round(doubt.offset.seconds - before.offset.seconds, 3))
        if before.offset.is_known and before.offset.distance(self.offset) > JUMP_SECONDS:
            log.warning("origin_time_moved", seconds=round(self.offset.seconds - before.offset.seconds, 3))

    def _is_of_one_setting(self, sent_at: float, received_at: float) -> bool:
        """Whether nobody set the wall clock between two times by it: else they tell nothing of the offset."""
        self.look()
        return self._set_at <= sent_at <= received_at + STEP_SECONDS

    def _adopt(self, estimate: ClockEstimate) -> None:
        self._estimate = estimate
        self.offset_seconds = estimate.offset.seconds
        self.last_guard_seconds = GUARD_SECONDS + estimate.offset.uncertainty_seconds

    def _gap(self) -> float:
        """The wall clock less the monotonic one."""
        return 0.0 if self._monotonic is None else self.wall() - self._monotonic()


class Anchor:
    """Keeps what is left of a budget's block and of its usage when the clock is moved: these are durations, not times.

    A clock that is set forward and back would end the one, and forget the other, long before the origin does.
    """

    __slots__ = ("_budget", "_clock", "_shift_seconds")

    def __init__(self, budget: Budget, clock: Clock) -> None:
        self._budget = budget
        self._clock = clock
        clock.look()
        self._shift_seconds = clock.gap_seconds + clock.offset_seconds

    def now(self) -> float:
        """The origin's time. Moves block and usage first, if the clock was moved."""
        clock = self._clock
        now = clock.look()
        shift_seconds = clock.gap_seconds + clock.offset_seconds
        moved_seconds = shift_seconds - self._shift_seconds
        if not -JUMP_SECONDS <= moved_seconds <= JUMP_SECONDS:
            self._budget.move(moved_seconds)
            self._shift_seconds = shift_seconds
        return now


WATCH_SECONDS = 1.0
"""How often the wall clock is compared with the monotonic one."""


async def watch_clock(
    clock: Clock, was_set: Callable[[], Awaitable[None]], *, sleep: Callable[[float], Awaitable[None]] = tick
) -> None:
    """Notice within a second that the wall clock was set: until then all ages are wrong. Then call `was_set`."""
    gap_seconds = clock.gap_seconds
    while True:
        await sleep(WATCH_SECONDS)
        clock.look()
        if abs(clock.gap_seconds - gap_seconds) > STEP_SECONDS:
            gap_seconds = clock.gap_seconds
            await was_set()
