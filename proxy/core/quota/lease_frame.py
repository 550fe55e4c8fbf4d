"""The windows between two edges, or around one, and what a request is charged in them.

Owns: `Frame`; when a lease of it may be fetched, whether a window is nearly full. Must not know: how leases are
fetched, what is told to the store. Times are seconds since the epoch by the origin's clock.

Around an edge the origin may count a request in the window that ends or in the one that begins. There it is charged to
the leases of both, as one that is reserved by itself is charged in both.

A window that is over counts only what was sent before its end, or so soon after that the way to the origin decides. No
client can keep the others from it any more, so their shares hold no lease back there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from proxy.core.quota.charges import WindowKey, budget_of, window_key_of
from proxy.core.quota.lease import Lease, cannot_bind, ceiling_of, half_of, may_lease
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.windows import GUARD_SECONDS, RateLimitKind, Window

CROWDED_SECONDS = 0.5
"""So long before the edge of a window that is three quarters used, its lease is given back: at the edge a request
counts in it too, and must not be refused for what nobody spends."""
PREFETCH_SECONDS = 0.3
"""So long before a window may be spent from, its first grant is fetched."""


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
    """From then on the origin may count a request in the next window too."""
    closes: float
    """From then on it counts none in this one."""
    is_over: bool = False
    """Whether it has ended by the origin's clock for certain."""

    def cost(self, weight: int) -> int:
        """What a request of this weight costs here."""
        return weight if self.counts_weight else 1

    @property
    def is_full(self) -> bool:
        """Whether three quarters are used."""
        return 4 * self.lease.seen > 3 * self.budgets[Purpose.PUBLIC]

    def is_crowded(self, now: float) -> bool:
        """Whether nothing is held any more, for requests of the next window to be admitted: the edge is near."""
        return now >= self.edge - CROWDED_SECONDS and self.is_full

    def must_settle(self, now: float) -> bool:
        """Whether the ends of requests that were reserved by themselves are told at once.

        Until then they count twice where a header includes them, which harms none if the window is over and not full.
        """
        return self.lease.was_exact and (now < self.key.end or self.is_full)


class Frame(Struct, frozen=True):
    """The windows that count a request which is sent from `begins` until `ends`: never, if nothing is leased."""

    windows: tuple[Window, ...]
    guard_seconds: float
    begins: float
    ends: float
    parts: tuple[Part, ...]
    coming: tuple[Part, ...]
    """The windows that are added when it ends."""

    def holds(self, now: float, windows: tuple[Window, ...], guard_seconds: float) -> bool:
        """Whether requests are charged in it now. Not if it is for a smaller guard: the clock was set, or its error has
        grown.
        """
        return self.begins <= now < self.ends and self.windows is windows and self.guard_seconds >= guard_seconds

    def parts_at(self, now: float) -> tuple[Part, ...]:
        """The windows that may be spent from now or in a moment."""
        return (*self.parts, *self.coming) if now >= self.ends - PREFETCH_SECONDS else self.parts

    def may_fetch(self, part: Part, now: float) -> bool:
        """Whether a grant in this window could be spent, now or in a moment."""
        return self.begins < self.ends and now < part.closes - PREFETCH_SECONDS and not part.is_crowded(now)


def frame_at(
    now: float,
    windows: tuple[Window, ...],
    guard_seconds: float,
    *,
    ratios: Ratios,
    lease_of: Callable[[WindowKey], Lease],
) -> Frame:
    """The frame that holds at `now`. Where windows are short, or the time is not known well, nothing is leased."""

    def part_of(window: Window, start: int) -> Part:
        part = _part(window, windows, start, guard_seconds, ratios, lease_of)
        return replace(part, is_over=True) if now >= _over(window, start, guard_seconds) else part

    is_leased = may_lease(windows, guard_seconds)
    starts = {window: window.possible_starts(now, guard_seconds if is_leased else 0.0) for window in windows}
    begins = max((_since(window, at, guard_seconds, now) for window, at in starts.items()), default=0.0)
    ends = min((_until(window, at, guard_seconds, now) for window, at in starts.items()), default=0.0)
    parts = tuple(part_of(window, start) for window, at in starts.items() for start in at)
    if not is_leased:
        return Frame(windows, guard_seconds, begins, begins, parts, ())
    ending = [
        window for window, at in starts.items() if len(at) == 1 and _until(window, at, guard_seconds, now) == ends
    ]
    coming = tuple(part_of(window, window.reset(now)) for window in ending)
    return Frame(windows, guard_seconds, begins, ends, parts, coming)


def _over(window: Window, start: int, guard_seconds: float) -> float:
    """When a window has ended for certain: whatever the error of the clock is that makes the guard longer."""
    return start + window.interval_seconds + max(0.0, guard_seconds - GUARD_SECONDS)


def _since(window: Window, starts: tuple[int, ...], guard_seconds: float, now: float) -> float:
    """Since when a request is counted in the windows with these starts, of which as many are over."""
    if len(starts) == 1:
        return starts[0] + guard_seconds
    over = _over(window, starts[0], guard_seconds)
    return over if now >= over else starts[-1] - guard_seconds


def _until(window: Window, starts: tuple[int, ...], guard_seconds: float, now: float) -> float:
    """Until when."""
    if len(starts) == 1:
        return starts[0] + window.interval_seconds - guard_seconds
    over = _over(window, starts[0], guard_seconds)
    return over if now < over else starts[0] + window.interval_seconds + guard_seconds


def _part(
    window: Window,
    windows: tuple[Window, ...],
    start: int,
    guard_seconds: float,
    ratios: Ratios,
    lease_of: Callable[[WindowKey], Lease],
) -> Part:
    key = window_key_of(window, start)
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
        key.end + guard_seconds,
    )
