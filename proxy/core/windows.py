"""Rate-limit windows: where they start and end, and what the origin says about them.

Owns: `Window` and its alignment; the reading of `rateLimits`, of the X-MBX-USED-WEIGHT headers, Retry-After, Date and
of the ban's text. Must not know: how much is used, where it is counted. Source: Binance's API documents.

All times are seconds since the epoch by the origin's clock. All header names are in lower case.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, TypeGuard

EDGE_SECONDS = 1.0
"""How far the origin may count a request from the moment we think we send it: clock error and time on the way."""

LONGEST_BLOCK_SECONDS = 3 * 86_400
"""The longest ban the origin gives."""

MINUTE_SECONDS = 60

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_INTERVAL_UNITS = {"SECOND": "s", "MINUTE": "m", "HOUR": "h", "DAY": "d"}
_LONGEST_INTERVAL_SECONDS = 366 * 86_400
_LARGEST_COUNT = 10**15
"""Below 2**53: exact in Lua's numbers too."""

_USED_WEIGHT = re.compile(r"x-mbx-used-weight(?:-([0-9]{1,6})([smhd]))?")
_COUNT = re.compile(r"[0-9]{1,15}")
_BANNED_UNTIL = re.compile(r"IP banned until ([0-9]{13})(?![0-9])")


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

    def effect_end(self, start: int, edge_seconds: float) -> float:
        """The first moment at which a request is no more counted in the window that began at `start`."""
        return start + self.interval_seconds + edge_seconds

    def spans(self, now: float, edge_seconds: float = EDGE_SECONDS) -> tuple[int, ...]:
        """Starts, ascending, of the windows in which the origin may count a request sent at `now`.

        One as a rule; near an end also the next, near a start also the previous.
        """
        first = last = self.start(now)
        while now < self.effect_end(first - self.interval_seconds, edge_seconds):
            first -= self.interval_seconds
        while now >= last + self.interval_seconds - edge_seconds:
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


def parse_rate_limits(raw: Sequence[object]) -> tuple[Window, ...]:
    """Windows from a document's `rateLimits`. Other kinds and malformed items are left out.

    Of two items for one kind and interval the smaller limit counts.
    """
    windows: dict[tuple[RateLimitKind, int], Window] = {}
    for item in raw:
        window = _window(item) if isinstance(item, Mapping) else None
        if window is None:
            continue
        key = (window.kind, window.interval_seconds)
        if key not in windows or window.limit < windows[key].limit:
            windows[key] = window
    return tuple(windows.values())


def _window(item: Mapping[str, Any]) -> Window | None:
    try:
        kind = RateLimitKind(item.get("rateLimitType"))
    except ValueError:
        return None
    unit, count, limit = item.get("interval"), item.get("intervalNum"), item.get("limit")
    if not isinstance(unit, str) or unit not in _INTERVAL_UNITS:
        return None
    if not _is_count(count) or not _is_count(limit):
        return None
    interval_seconds = count * _UNIT_SECONDS[_INTERVAL_UNITS[unit]]
    if interval_seconds > _LONGEST_INTERVAL_SECONDS:
        return None
    return Window(kind, interval_seconds, limit)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST_COUNT


def parse_used_weight(headers: Mapping[str, str]) -> dict[int, int]:
    """Interval in seconds -> used weight, from `x-mbx-used-weight[-<n><s|m|h|d>]`; without suffix one minute.

    Of two values for one interval the larger counts; what cannot be read is left out.
    """
    used: dict[int, int] = {}
    for name, value in headers.items():
        match = _USED_WEIGHT.fullmatch(name)
        if match is None or _COUNT.fullmatch(value.strip()) is None:
            continue
        number, unit = match.groups(default="")
        interval_seconds = int(number) * _UNIT_SECONDS[unit] if unit else MINUTE_SECONDS
        if 0 < interval_seconds <= _LONGEST_INTERVAL_SECONDS:
            used[interval_seconds] = max(used.get(interval_seconds, 0), int(value))
    return used


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Retry-After in seconds from now, at most three days: whole seconds or a date (RFC 9110, section 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+", value):
        # So many digits that int() would refuse them still mean: very long.
        seconds = float(value) if len(value) < 16 else math.inf
    else:
        date = _http_date(value)
        if date is None:
            return None
        seconds = max(0.0, date - now)
    return min(seconds, float(LONGEST_BLOCK_SECONDS))


def banned_until(body_text: str) -> float | None:
    """The end of a ban from the text of a 418: `IP banned until 1785050129644` (milliseconds)."""
    match = _BANNED_UNTIL.search(body_text)
    return None if match is None else int(match[1]) / 1000


def origin_time(headers: Mapping[str, str]) -> float | None:
    """The moment of an answer, to the second, from its Date header."""
    return _http_date(headers.get("date", ""))


def _http_date(value: str) -> float | None:
    try:
        date = parsedate_to_datetime(value)
        # A date without a zone is naive; it must not be read as this machine's local time.
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
