"""The windows between two edges, and what a request is charged in them.

Owns: `Frame`: until the next edge every request of a weight has the same charges. Must not know: how leases are
fetched, what is told to the store. Times are seconds since the epoch by the origin's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, field

from proxy.core.quota.charges import Charge, WindowKey, budget_of, window_key_of
from proxy.core.quota.lease import Lease, cannot_bind, ceiling_of, half_of, may_lease
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.windows import RateLimitKind, Window


class Part(Struct, frozen=True):
    """One window of a frame."""

    window: Window
    key: WindowKey
    lease: Lease
    is_free: bool
    """Whether another window keeps its limit, so that no lease is needed."""
    counts_weight: bool
    budgets: Mapping[Purpose, int]
    """With more used than this a purpose asks the store."""
    ceiling: int
    """Up to so much `used` leases are granted."""
    half: int
    """From so much on that may be spent each request is reserved by itself; 0: never."""
    edge: float
    """From then on the origin may count a request in the next window."""

    def cost(self, weight: int) -> int:
        """What a request of this weight costs here."""
        return weight if self.counts_weight else 1


class Spending(Struct, frozen=True, eq=False):
    """What one kind of request adds."""

    charges: tuple[Charge, ...]
    rows: tuple[tuple[Part, Lease, int, int], ...]
    """Of each charge: the part with its lease, the cost, and the budget."""


class Frame(Struct):
    """The windows that hold between two edges."""

    windows: tuple[Window, ...]
    begins: float
    ends: float
    """Until then, and from `begins` on, a request that is sent is counted in these windows and no others."""
    parts: tuple[Part, ...]
    made: dict[tuple[int, Purpose, bool], Spending] = field(default_factory=dict)
    """By weight, purpose, and whether the origin takes the weight back."""

    def make(self, weight: int, purpose: Purpose, *, refundable: bool) -> Spending:
        """What a request adds, kept in `made`: it is the same until the next edge."""
        parts = sorted(self.parts, key=lambda part: part.key.end)
        charges = [
            Charge(part.window, part.key, part.cost(weight), refundable and part.counts_weight) for part in parts
        ]
        rows = [(part, part.lease, part.cost(weight), part.budgets[purpose]) for part in parts]
        made = self.made[weight, purpose, refundable] = Spending(tuple(charges), tuple(rows))
        return made


def frame_at(
    now: float,
    windows: tuple[Window, ...],
    guard_seconds: float,
    *,
    ratios: Ratios,
    lease_of: Callable[[WindowKey], Lease],
) -> Frame:
    """The frame around `now`, or, near an edge, one that does not cover it. Short windows have none that covers."""
    parts = tuple(_part(window, windows, now, guard_seconds, ratios, lease_of) for window in windows)
    begins = max((part.key.start + guard_seconds for part in parts), default=0.0)
    ends = min((part.edge for part in parts), default=0.0)
    return Frame(windows, begins, ends if may_lease(windows) else begins, parts)


def _part(
    window: Window,
    windows: tuple[Window, ...],
    now: float,
    guard_seconds: float,
    ratios: Ratios,
    lease_of: Callable[[WindowKey], Lease],
) -> Part:
    key = window_key_of(window, window.start(now))
    return Part(
        window,
        key,
        lease_of(key),
        cannot_bind(window, windows, ratios),
        window.kind is RateLimitKind.REQUEST_WEIGHT,
        {purpose: budget_of(window.limit, ratios.of(purpose, local=False)) for purpose in Purpose},
        ceiling_of(window, ratios),
        half_of(window, ratios),
        key.end - guard_seconds,
    )
