"""Rate-limit windows: where they start and end, and what the origin says about them.

Owns: `Window` and its alignment; the reading of `rateLimits`, of the X-MBX-USED-WEIGHT headers, Retry-After, Date and
of the ban's text. Must not know: how much is used, where it is counted. Source: Binance's API documents.

All times are seconds since the epoch by the origin's clock. All header names are in lower case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

GUARD_SECONDS = 1.0
"""How far the origin may count a request from the moment we think we send it: clock error and time on the way."""

LONGEST_BLOCK_SECONDS = 3 * 86_400
"""The longest ban the origin gives."""

MINUTE_SECONDS = 60

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_INTERVAL_UNITS = {"SECOND": "s", "MINUTE": "m", "HOUR": "h", "DAY": "d"}
_LONGEST_INTERVAL_SECONDS = 366 * 86_400
_LARGEST_COUNT = 10**15
"""Below 2**53: exact in Lua's numbers too."""


class RateLimitKind(Enum):
    """What a window counts. The value is the origin's `rateLimitType`."""

    REQUEST_WEIGHT = "REQUEST_WEIGHT"
    """The weight of each request."""
    RAW_REQUESTS = "RAW_REQUESTS"
    """Each request as one; no header tells how many."""


@dataclass(frozen=True, slots=True)
class Window:
    """One limit of the origin: so much of a kind in each interval, aligned to the epoch."""

    kind: RateLimitKind
    interval_seconds: int
    limit: int

    @property
    def name(self) -> str:
        """Kind and interval in the largest whole unit, such as `REQUEST_WEIGHT:1m`. Free of the limit."""
        return f"{self.kind.value}:{interval_name(self.interval_seconds)}"

    def start(self, now: float) -> int:
        """The start of the window that holds `now`."""
        return math.floor(now / self.interval_seconds) * self.interval_seconds

    def reset(self, now: float) -> int:
        """The end of the window that holds `now`."""
        return self.start(now) + self.interval_seconds

    def effect_end(self, start: int, guard_seconds: float) -> float:
        """The first moment at which a request is no more counted in the window that began at `start`."""
        return start + self.interval_seconds + guard_seconds

    def spans(self, now: float, guard_seconds: float = GUARD_SECONDS) -> tuple[int, ...]:
        """Starts, ascending, of the windows in which the origin may count a request sent at `now`.

        One as a rule; near an end also the next, near a start also the previous.
        """
        first = last = self.start(now)
        while now < self.effect_end(first - self.interval_seconds, guard_seconds):
            first -= self.interval_seconds
        while now >= last + self.interval_seconds - guard_seconds:
            last += self.interval_seconds
        return tuple(range(first, last + 1, self.interval_seconds))


WEIGHT_NAME = "REQUEST_WEIGHT:1m"
"""The window whose used weight clients are told."""

DEFAULT_WINDOWS = (
    Window(RateLimitKind.REQUEST_WEIGHT, 60, 6000),
    Window(RateLimitKind.RAW_REQUESTS, 300, 61_000),
)
"""Until the origin's own `rateLimits` are known: of RAW_REQUESTS the smaller of the two figures ever seen."""


def interval_name(seconds: int) -> str:
    """An interval in the largest unit that divides it: 60 is `1m`, 90 is `90s`."""
    count, unit = _count_and_unit(seconds)
    return f"{count}{unit}"


def interval_words(seconds: int) -> str:
    """An interval in the origin's words: 300 is `5 MINUTE`."""
    count, unit = _count_and_unit(seconds)
    return f"{count} {next(word for word, short in _INTERVAL_UNITS.items() if short == unit)}"


def _count_and_unit(seconds: int) -> tuple[int, str]:
    return next((seconds // n, unit) for unit, n in reversed(_UNIT_SECONDS.items()) if seconds % n == 0)
