"""Rate-limit windows: where they start and end, and the words for their intervals.

Owns: `Window` and its alignment. Must not know: how much is used, where it is counted. Source: Binance's API documents.
All times are seconds since the epoch by the origin's clock.
"""

from __future__ import annotations

import math
from enum import Enum
from functools import lru_cache

from msgspec import Struct

GUARD_SECONDS = 1.0
"""How far the moment at which the origin counts a request may be from the moment we send it: clock error, latency."""

LONGEST_BLOCK_SECONDS = 3 * 86_400
"""The longest ban the origin gives."""

MINUTE_SECONDS = 60

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
"""Seconds in each unit of the used-weight headers, ascending."""

INTERVAL_UNITS = {"SECOND": "s", "MINUTE": "m", "HOUR": "h", "DAY": "d"}
"""The unit for each `interval` of the origin's `rateLimits`."""


class RateLimitKind(Enum):
    """What a window counts. The value is the origin's `rateLimitType`."""

    __hash__ = object.__hash__  # Enum hashes the name, by a call in Python for each look-up

    REQUEST_WEIGHT = "REQUEST_WEIGHT"
    """The weight of each request."""
    RAW_REQUESTS = "RAW_REQUESTS"
    """Each request counts as one; no header reports the number."""


class Window(Struct, frozen=True):
    """One limit of the origin: at most `limit` of a kind in each interval. Intervals are aligned to the epoch."""

    kind: RateLimitKind
    interval_seconds: int
    limit: int

    @property
    def name(self) -> str:
        """Kind and interval in the largest whole unit, such as `REQUEST_WEIGHT:1m`. Does not depend on the limit."""
        return _window_name(self.kind, self.interval_seconds)

    def start(self, now: float) -> int:
        """The start of the window that contains `now`."""
        return math.floor(now / self.interval_seconds) * self.interval_seconds

    def reset(self, now: float) -> int:
        """The end of the window that contains `now`."""
        return self.start(now) + self.interval_seconds

    def counted_until(self, start: int, guard_seconds: float) -> float:
        """From this moment on the origin counts no request in the window that began at `start`."""
        return start + self.interval_seconds + guard_seconds

    def possible_starts(self, now: float, guard_seconds: float = GUARD_SECONDS) -> tuple[int, ...]:
        """Starts, ascending, of the windows in which the origin may count a request sent at `now`.

        Usually one; near the end of a window also the next, near the start also the previous.
        """
        first = last = self.start(now)
        while now < self.counted_until(first - self.interval_seconds, guard_seconds):
            first -= self.interval_seconds
        while now >= last + self.interval_seconds - guard_seconds:
            last += self.interval_seconds
        return tuple(range(first, last + 1, self.interval_seconds))


WEIGHT_NAME = "REQUEST_WEIGHT:1m"
"""The window whose used weight clients get in a header."""

DEFAULT_WINDOWS = (
    Window(RateLimitKind.REQUEST_WEIGHT, 60, 6000),
    Window(RateLimitKind.RAW_REQUESTS, 300, 61_000),
)
"""Used until the origin's `rateLimits` arrive. The limit of RAW_REQUESTS is the smaller of the two published values."""


@lru_cache(maxsize=64)
def _window_name(kind: RateLimitKind, interval_seconds: int) -> str:
    """Kept, because each request needs it several times."""
    return f"{kind.value}:{interval_name(interval_seconds)}"


def interval_name(seconds: int) -> str:
    """An interval in the largest unit that divides it: 60 is `1m`, 90 is `90s`."""
    count, unit = _count_and_unit(seconds)
    return f"{count}{unit}"


def interval_words(seconds: int) -> str:
    """An interval in the origin's words: 300 is `5 MINUTE`."""
    count, unit = _count_and_unit(seconds)
    return f"{count} {next(word for word, short in INTERVAL_UNITS.items() if short == unit)}"


def _count_and_unit(seconds: int) -> tuple[int, str]:
    return next((seconds // n, unit) for unit, n in reversed(UNIT_SECONDS.items()) if seconds % n == 0)
