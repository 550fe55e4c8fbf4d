"""The usage that one process counted while Redis was away, until Redis has it too.

Owns: totals by window, and which of them Redis has. Must not know: Redis, budgets.

The process sends totals to Redis, not differences, each with the number of its state. So a transfer whose answer was
lost can be repeated, and two transfers may arrive in either order (`merge_unsynced.lua`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from proxy.core.quota.charges import Charge, WindowKey, WindowUsage


class Total(Struct, frozen=True):
    """All that this process charged in one window while Redis was away."""

    used: int = 0
    pending: int = 0
    header: int = -1
    """The largest used weight that the origin reported meanwhile; -1 for none."""


_NOTHING = WindowUsage()


class UnsyncedUsage:
    """The totals of one process."""

    __slots__ = ("_merged", "_totals", "state")

    def __init__(self) -> None:
        self._totals: dict[WindowKey, Total] = {}
        self._merged: dict[WindowKey, Total] = {}
        self.state = 0
        """Grows with each change of the totals."""

    def charge(self, charges: Iterable[Charge]) -> None:
        """Add a request that was reserved locally."""
        for charge in charges:
            total = self._totals.get(charge.window_key, Total())
            changed = replace(total, used=total.used + charge.weight, pending=total.pending + charge.weight)
            self._change(charge.window_key, changed)

    def clear_pending(self, charges: Iterable[Charge]) -> None:
        """Record that a locally reserved request was answered, or never sent."""
        for charge in charges:
            total = self._totals.get(charge.window_key)
            if total is not None:
                self._change(charge.window_key, replace(total, pending=total.pending - charge.weight))

    def record_headers(self, reported: Mapping[WindowKey, int]) -> None:
        """Record the used weight of an answer that could be reconciled only locally."""
        for window_key, header in reported.items():
            total = self._totals.get(window_key, Total())
            self._change(window_key, replace(total, header=max(total.header, header)))

    def to_merge(self, now: float) -> dict[WindowKey, Total]:
        """All totals of windows that count at `now` if Redis lacks any of them, else an empty mapping."""
        if self._totals == self._merged:
            return {}
        totals = {window_key: total for window_key, total in self._totals.items() if now < window_key.expires}
        return {} if all(self._merged.get(window_key) == total for window_key, total in totals.items()) else totals

    def mark_merged(self, totals: Mapping[WindowKey, Total]) -> None:
        """Record that Redis has these totals."""
        self._merged.update({window_key: total for window_key, total in totals.items() if window_key in self._totals})

    def forget(self, is_kept: Callable[[WindowKey], bool]) -> None:
        """Drop the windows that are not kept."""
        for window_key in [window_key for window_key in self._totals if not is_kept(window_key)]:
            del self._totals[window_key]
            self._merged.pop(window_key, None)

    def lacking(self, window_key: WindowKey) -> WindowUsage:
        """The part of a window's usage that Redis lacks."""
        if not self._totals:
            return _NOTHING
        total = self._totals.get(window_key, Total())
        merged = self._merged.get(window_key, Total())
        return WindowUsage(total.used - merged.used, total.pending - merged.pending)

    def _change(self, window_key: WindowKey, total: Total) -> None:
        if self._totals.get(window_key) != total:
            self._totals[window_key] = total
            self.state += 1
