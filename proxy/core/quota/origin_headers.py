"""What the origin reports about its limits: `rateLimits`, used-weight headers, Retry-After, Date, the text of a ban.

Owns: the parsing of these. Must not know: how much is used, where it is counted. Source: Binance's API documents.

All times are seconds since the epoch by the origin's clock. All header names are in lower case.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, TypeGuard

from proxy.core.quota.clock_offset import UNKNOWN_SECONDS
from proxy.core.quota.windows import (
    INTERVAL_UNITS,
    LONGEST_BLOCK_SECONDS,
    MINUTE_SECONDS,
    UNIT_SECONDS,
    RateLimitKind,
    Window,
)

USED_WEIGHT_HEADER = "x-mbx-used-weight"
"""The first part of the name of each header that tells the used weight of an API."""
USED_IN_MINUTE_HEADER = USED_WEIGHT_HEADER + "-1m"
SAPI_USED_WEIGHT_HEADER = "x-sapi-used-ip-weight"
"""The same for one path of `/sapi`."""
_INTERVAL = re.compile(r"(?:-([0-9]{1,6})([smhd]))?")
_COUNT = re.compile(r"[0-9]{1,15}")
_BANNED_UNTIL = re.compile(r"\bbanned until ([0-9]{13})(?![0-9])")
"""Spot writes `IP banned until`, futures `IP(203.0.113.7) banned until`."""
_LONGEST_INTERVAL_SECONDS = 366 * 86_400
_LARGEST_COUNT = 10**15
"""Below 2**53, so that it is exact in Lua's numbers too."""


def parse_rate_limits(raw: Sequence[object]) -> tuple[Window, ...]:
    """Windows from a document's `rateLimits`. Skips other kinds and malformed items.

    If two items have the same kind and interval, the smaller limit counts.
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
    if not isinstance(unit, str) or unit not in INTERVAL_UNITS:
        return None
    if not _is_count(count) or not _is_count(limit):
        return None
    interval_seconds = count * UNIT_SECONDS[INTERVAL_UNITS[unit]]
    if interval_seconds > _LONGEST_INTERVAL_SECONDS:
        return None
    return Window(kind, interval_seconds, limit)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST_COUNT


def parse_used_weight(headers: Mapping[str, str], header: str = USED_WEIGHT_HEADER) -> dict[int, int]:
    """Interval in seconds -> used weight, from `<header>[-<n><s|m|h|d>]`; without a suffix: one minute.

    If two headers have the same interval, the larger value counts. Skips headers that cannot be read.
    """
    used: dict[int, int] = {}
    for interval_seconds, name, others in _names_by_interval(header, *headers):
        value = headers[name]
        count = _count(value)
        for other in others:
            if headers[other] != value:
                count = max(count, _count(headers[other]))
        if count >= 0:
            used[interval_seconds] = count
    return used


def used_in_minute(headers: Mapping[str, str]) -> int:
    """The used weight of the minute of an answer; 0 or less where it does not tell it."""
    return _count(headers.get(USED_IN_MINUTE_HEADER) or headers.get(USED_WEIGHT_HEADER, "0"))


@lru_cache(maxsize=16)
def _count(value: str) -> int:
    """A count as an answer tells it; -1 where it cannot be read. Kept for answers that tell what the last ones told."""
    count = value.strip()  # more than `int` takes for white space
    return int(count) if _COUNT.fullmatch(count) else -1


@lru_cache(maxsize=64)
def _names_by_interval(header: str, *names: str) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    """Each interval in seconds of which `names` tell the used weight, the first of these names, and the others.

    Kept: most answers have the same names.
    """
    by_interval: dict[int, list[str]] = {}
    for name in names:
        if name.startswith(header) and (interval_seconds := _interval_seconds(name[len(header) :])):
            by_interval.setdefault(interval_seconds, []).append(name)
    return tuple((interval_seconds, told[0], tuple(told[1:])) for interval_seconds, told in by_interval.items())


def _interval_seconds(suffix: str) -> int:
    """The interval that the end of a header's name tells; 0 where it cannot be read."""
    match = _INTERVAL.fullmatch(suffix)
    if match is None:
        return 0
    number, unit = match.groups(default="")
    interval_seconds = int(number) * UNIT_SECONDS[unit] if unit else MINUTE_SECONDS
    return interval_seconds if interval_seconds <= _LONGEST_INTERVAL_SECONDS else 0


def without_used_weight(headers: Mapping[str, str]) -> Mapping[str, str]:
    """All headers but those of the used weight."""
    return {name: value for name, value in headers.items() if not name.startswith(USED_WEIGHT_HEADER)}


def is_api_answer(headers: Mapping[str, str]) -> bool:
    """Whether the API itself answered: it tells the used weight or an id. Pages of the edge do neither."""
    if "x-mbx-uuid" in headers:
        return True
    for name in headers:
        is_used_weight = name[: len(USED_WEIGHT_HEADER)] == USED_WEIGHT_HEADER
        if is_used_weight or name[: len(SAPI_USED_WEIGHT_HEADER)] == SAPI_USED_WEIGHT_HEADER:
            return True
    return False


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Retry-After in seconds from now, at most three days: whole seconds or a date (RFC 9110, section 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+", value):
        # int() refuses very long numbers; they still mean a very long time.
        seconds = float(value) if len(value) < 16 else math.inf
    else:
        date = http_date(value)
        if date is None:
            return None
        seconds = _seconds_left(date, headers, now) or 0.0
    return min(seconds, float(LONGEST_BLOCK_SECONDS))


def ban_end(headers: Mapping[str, str], body_text: str, now: float) -> float | None:
    """The end of a ban by our clock: the later one of headers and text of a 418. None if neither tells it."""
    until, left = banned_until(body_text), retry_after_seconds(headers, now)
    by_text = (
        None if until is None else _seconds_left(until, headers, now, close=UNKNOWN_SECONDS if left is None else 0.0)
    )
    ends = [now + seconds for seconds in (by_text, left) if seconds is not None]
    return max(ends, default=None)


def _seconds_left(until: float, headers: Mapping[str, str], now: float, *, close: float = 0.0) -> float | None:
    """The seconds from an answer until a time that it names; None if that is past.

    The answer's Date or our own clock may be wrong by hours, and a wrong one can make the time too long. So the
    smaller number counts; the larger one if both are so `close`, where nothing else tells the end.
    """
    lefts = [left for start in (origin_time(headers), now) if start is not None and (left := until - start) > 0]
    if not lefts:
        return None
    return max(lefts) if max(lefts) - min(lefts) <= close else min(lefts)


def banned_until(body_text: str) -> float | None:
    """The end of a ban from the text of a 418: `IP banned until 1785050129644` (milliseconds)."""
    match = _BANNED_UNTIL.search(body_text)
    return None if match is None else int(match[1]) / 1000


def origin_time(headers: Mapping[str, str]) -> float | None:
    """The time of an answer in whole seconds, from its Date header."""
    return http_date(headers.get("date", ""))


@lru_cache(maxsize=64)
def http_date(value: str) -> float | None:
    """Seconds since the epoch; None for what is no date."""
    try:
        date = parsedate_to_datetime(value)
        # A date without a zone is naive; it must not be read as this machine's local time.
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
