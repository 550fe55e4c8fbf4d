"""Which limits of the origin are believed, and which of several hold.

Owns: the rules for both. Must not know: where limits come from, who logs them. A wrong limit would lock the
gateway out: no request for the next document, which has the right limits, would ever fit.

A high limit is believed at once: the origin says it, and its headers correct our count.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

from proxy.core.quota.charges import budget_of, cost_of
from proxy.core.quota.windows import RateLimitKind, Window

MOST_WINDOWS = 16
"""The most windows in one document. Binance's documents have two to four."""


class Absurdity(Enum):
    """Why limits are not believed. The value is the word in logs and metrics."""

    TOO_LOW = "too-low"
    """One fetch of the document would not fit into the share for background fills."""
    TOO_MANY = "too-many"
    """The document has more windows than `MOST_WINDOWS`."""


class Judgement(Struct, frozen=True):
    """The limits of one document that are believed, and those that are not."""

    believed: tuple[Window, ...]
    absurd: tuple[Window, ...] = ()
    why: Absurdity | None = None
    """None: all are believed."""


def judge_limits(windows: tuple[Window, ...], *, refresh_ratio: float, fetch_weight: int) -> Judgement:
    """Decide about the limits of one document. `fetch_weight`: what one fetch of that document costs.

    If one limit of a kind is too low, no limit of that kind is believed: they belong together.
    """
    if len(windows) > MOST_WINDOWS:
        return Judgement((), windows, Absurdity.TOO_MANY)
    cost = cost_of(fetch_weight)
    low = [window for window in windows if budget_of(window.limit, refresh_ratio) < cost[window.kind]]
    if not low:
        return Judgement(windows)
    doubtful = _kinds(low)
    return Judgement(tuple(window for window in windows if window.kind not in doubtful), tuple(low), Absurdity.TOO_LOW)


def lowest_limits(told: Iterable[tuple[Window, ...]]) -> tuple[Window, ...]:
    """The limits of several sources that count in one pool: of each kind and interval the lowest."""
    lowest: dict[str, Window] = {}
    for window in (window for windows in told for window in windows):
        known = lowest.setdefault(window.name, window)
        if window.limit < known.limit:
            lowest[window.name] = window
    return tuple(lowest.values())


def with_learned(current: tuple[Window, ...], learned: tuple[Window, ...]) -> tuple[Window, ...]:
    """Replace all current limits of each kind that was learned; keep the limits of other kinds."""
    kinds = _kinds(learned)
    return learned + tuple(window for window in current if window.kind not in kinds)


def _kinds(windows: Iterable[Window]) -> frozenset[RateLimitKind]:
    return frozenset(window.kind for window in windows)
