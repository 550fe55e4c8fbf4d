"""What an answer of the origin reports about the usage.

Owns: `UsageReport`, and the windows that a report is about. Must not know: what is done with it. Times are seconds
since the epoch by the origin's clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from proxy.core.quota.charges import WindowKey, window_key_of
from proxy.core.quota.windows import RateLimitKind, Window

T = TypeVar("T")

DATE_SECONDS = 1
"""The resolution of a Date header."""


class UsageReport(Struct, frozen=True):
    """What an answer of the origin reports: `used_weight` by interval in seconds; `ok` for a 2xx."""

    answered_at: float
    used_weight: Mapping[int, int]
    ok: bool


def reported_usage(report: UsageReport, reserved_at: float, now: float, guard_seconds: float) -> dict[WindowKey, int]:
    """The windows that an answer reports, and the used weight in each."""
    reported = {}
    for interval_seconds, used in report.used_weight.items():
        window_key = reported_window(interval_seconds, report.answered_at, reserved_at, now, guard_seconds)
        if window_key is not None:
            reported[window_key] = used
    return reported


def reported_window(
    interval_seconds: int, answered_at: float, reserved_at: float, now: float, guard_seconds: float
) -> WindowKey | None:
    """The window of this interval that an answer reports; None: it is forgotten by now.

    The answer was made between its reservation and `now`. A Date outside of that is wrong: the current window then
    gets what the answer reports, which may be too much and is never too little.
    """
    earliest, latest = reserved_at - guard_seconds - DATE_SECONDS, now + guard_seconds
    at = answered_at if earliest <= answered_at <= latest else now
    start = math.floor(at / interval_seconds) * interval_seconds
    window_key = window_key_of(Window(RateLimitKind.REQUEST_WEIGHT, interval_seconds, limit=0), start)
    return window_key if now < window_key.expires else None


class Present(Struct, Generic[T], frozen=True, eq=False):
    """A window that has not ended, with what counts in it.

    An answer that was made in it reports it, as long as it has not ended. Then `reported_window` need not be asked,
    because it says the same of both times.
    """

    key: WindowKey
    begins: int
    ends: int
    counter: T


class PresentWindows(Generic[T]):
    """The windows that the last answers reported."""

    __slots__ = ("_by_interval", "_counter_of")

    def __init__(self, counter_of: Callable[[WindowKey], T]) -> None:
        self._counter_of = counter_of
        self._by_interval: dict[int, Present[T]] = {}
        """Intervals are in seconds."""

    def of(
        self, interval_seconds: int, answered_at: float, reserved_at: float, now: float, guard_seconds: float
    ) -> Present[T] | None:
        """`reported_window` with what counts in it; None if it is forgotten."""
        known = self._by_interval.get(interval_seconds)
        if known is not None and known.begins <= answered_at <= now < known.ends:
            return known
        key = reported_window(interval_seconds, answered_at, reserved_at, now, guard_seconds)
        if key is None:
            return None
        found = self._by_interval[interval_seconds] = Present(key, key.start, key.end, self._counter_of(key))
        return found

    def clear(self) -> None:
        """Forget them: their counters may be forgotten."""
        self._by_interval.clear()
