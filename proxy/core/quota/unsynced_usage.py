"""What one process counted on its own while Redis was away, until the shared counters have it.

Owns: totals by counter, and which of them Redis has. Must not know: Redis, budgets.

Totals, not differences, go to Redis, each with the number of its state: a transfer whose answer was lost can be
repeated, and two that overtake each other do no harm (`lua/absorb.lua`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from proxy.core.quota.budget import Charge, WindowKey, WindowUsage


@dataclass(frozen=True, slots=True)
class Total:
    """All that this process charged on its own in one counter."""

    used: int = 0
    pending: int = 0
    header: int = -1
    """The most the origin told meanwhile; -1 for nothing."""


class UnsyncedUsage:
    """The totals of one process."""

    __slots__ = ("_absorbed", "_totals", "state")

    def __init__(self) -> None:
        self._totals: dict[WindowKey, Total] = {}
        self._absorbed: dict[WindowKey, Total] = {}
        self.state = 0
        """Grows with each change of the totals."""

    def spend(self, charges: Iterable[Charge]) -> None:
        """A request was reserved locally."""
        for charge in charges:
            known = self._totals.get(charge.counter, Total())
            changed = replace(known, used=known.used + charge.weight, pending=known.pending + charge.weight)
            self._change(charge.counter, changed)

    def settle(self, charges: Iterable[Charge]) -> None:
        """A request that was reserved locally was answered, or never sent."""
        for charge in charges:
            known = self._totals.get(charge.counter)
            if known is not None:
                self._change(charge.counter, replace(known, pending=known.pending - charge.weight))

    def hear(self, told: Mapping[WindowKey, int]) -> None:
        """An answer of the origin could be reconciled only locally."""
        for counter, header in told.items():
            known = self._totals.get(counter, Total())
            self._change(counter, replace(known, header=max(known.header, header)))

    def unsynced(self, now: float) -> dict[WindowKey, Total]:
        """All totals, if Redis lacks any of them; else nothing."""
        for counter in [counter for counter in self._totals if counter.expires <= now]:
            del self._totals[counter]
            self._absorbed.pop(counter, None)
        return {} if self._totals == self._absorbed else dict(self._totals)

    def merged(self, totals: Mapping[WindowKey, Total]) -> None:
        """Redis has these totals."""
        self._absorbed.update({counter: total for counter, total in totals.items() if counter in self._totals})

    def missing(self, counter: WindowKey) -> WindowUsage:
        """What the shared counter lacks."""
        total = self._totals.get(counter, Total())
        merged = self._absorbed.get(counter, Total())
        return WindowUsage(total.used - merged.used, total.pending - merged.pending)

    def _change(self, counter: WindowKey, total: Total) -> None:
        if self._totals.get(counter) != total:
            self._totals[counter] = total
            self.state += 1
