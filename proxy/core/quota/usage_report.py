"""What an answer of the origin reports about the usage.

Owns: `UsageReport`, and the windows that a report is about. Must not know: what is done with it. Times are seconds
since the epoch by the origin's clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from proxy.core.quota.charges import KEEP_SECONDS, WindowKey, window_key_of
from proxy.core.quota.windows import RateLimitKind, Window

DATE_SECONDS = 1
"""The resolution of a Date header."""


class UsageReport(Struct, frozen=True):
    """What an answer of the origin reports: `used_weight` by interval in seconds; `ok` for a 2xx."""

    answered_at: float
    used_weight: Mapping[int, int]
    ok: bool


def reported_usage(report: UsageReport, reserved_at: float, now: float, guard_seconds: float) -> dict[WindowKey, int]:
    """The windows that an answer reports, and the used weight in each.

    The answer was made between its reservation and `now`. A Date outside of that is wrong: the current window then
    gets what the answer reports, which may be too much and is never too little.
    """
    earliest, latest = reserved_at - guard_seconds - DATE_SECONDS, now + guard_seconds
    at = report.answered_at if earliest <= report.answered_at <= latest else now
    reported = {}
    for interval_seconds, used in report.used_weight.items():
        window_key = _weight_key(interval_seconds, math.floor(at / interval_seconds))
        if now < window_key.start + interval_seconds + KEEP_SECONDS:
            reported[window_key] = used
    return reported


@lru_cache(maxsize=64)
def _weight_key(interval_seconds: int, number: int) -> WindowKey:
    """The window of weight with this number since the epoch. Kept, because each answer names the same ones."""
    window = Window(RateLimitKind.REQUEST_WEIGHT, interval_seconds, limit=0)
    return window_key_of(window, number * interval_seconds)
