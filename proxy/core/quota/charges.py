"""What one request is charged, and in which rate-limit windows.

Owns: the key of a window, its usage, and the charges of a request. Must not know: what is admitted, where usage is
kept, clocks. Times are seconds since the epoch by the origin's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from msgspec import Struct

from proxy.core.quota.ratios import part_of
from proxy.core.quota.windows import RateLimitKind, Window

KEEP_SECONDS = 120
"""How long usage is kept after its window ends, so that late answers still find their pending weight."""


class WindowKey(Struct, frozen=True):
    """One window from one start. It stays the same when the limit changes."""

    name: str
    """The window's name."""
    interval_seconds: int
    start: int

    @property
    def key(self) -> str:
        """Such as `REQUEST_WEIGHT:1m:1785050100`."""
        return f"{self.name}:{self.start}"

    @property
    def end(self) -> int:
        """The end of the window."""
        return self.start + self.interval_seconds

    @property
    def expires(self) -> int:
        """When the usage of this window is forgotten."""
        return self.end + KEEP_SECONDS


class WindowUsage(Struct, frozen=True):
    """The weight used in one window from one start, and the part of it that is not answered yet."""

    used: int = 0
    pending: int = 0
    refundable: int = 0
    """The part of `used` that may still be taken back: by the origin if the requests succeed, or by those who leased it
    and have not spent it."""
    leased: int = 0
    """The part of `refundable` that is leased, as far as is known not spent yet (`proxy.core.quota.lease`)."""
    untold: int = 0
    """The part of `leased` that may be spent already: who spends more of it tells that."""

    @property
    def spent(self) -> int:
        """The part of `used` that is known to be spent."""
        return self.used - self.leased

    @property
    def unspent(self) -> int:
        """The part of `used` that is certainly not spent."""
        return self.leased - self.untold

    @property
    def most_spent(self) -> int:
        """The part of `used` that may be spent."""
        return self.used - self.unspent

    @property
    def kept(self) -> int:
        """The part of `used` that stays. It never falls, so whoever has read it knows the least that is used."""
        return self.used - self.refundable


class Charge(Struct, frozen=True):
    """What one request adds to one window."""

    window: Window
    window_key: WindowKey
    weight: int
    is_refundable: bool = False
    """Whether the origin takes the weight back if the request succeeds."""

    @property
    def refundable(self) -> int:
        """The weight that the origin takes back."""
        return self.weight if self.is_refundable else 0


@lru_cache(maxsize=1024)
def budget_of(limit: int, ratio: float) -> int:
    """Our part of a limit. Kept, because each request needs it."""
    return part_of(limit, ratio)


@lru_cache(maxsize=256)
def cost_of(weight: int) -> Mapping[RateLimitKind, int]:
    """What one request of this weight costs. Kept, because each request needs it."""
    return {RateLimitKind.REQUEST_WEIGHT: weight, RateLimitKind.RAW_REQUESTS: 1}


def window_key_of(window: Window, start: int) -> WindowKey:
    """The key of a window from `start`."""
    return WindowKey(window.name, window.interval_seconds, start)


def charges_of(
    now: float,
    cost: Mapping[RateLimitKind, int],
    windows: Iterable[Window],
    *,
    guard_seconds: float,
    refundable: bool = False,
) -> tuple[Charge, ...]:
    """The charges of a request sent at `now`, ordered by the end of their windows.

    `refundable`: the origin takes the weight back if the request succeeds. It still counts as a raw request.
    """
    charges = [
        Charge(
            window,
            window_key_of(window, start),
            cost[window.kind],
            refundable and window.kind is RateLimitKind.REQUEST_WEIGHT,
        )
        for window in windows
        if window.kind in cost
        for start in window.possible_starts(now, guard_seconds)
    ]
    return tuple(sorted(charges, key=lambda charge: charge.window_key.end))
