"""What changed between two full documents, and whether the newer one is plausible.

Owns: the difference and the suspicion. Must not know: who keeps the documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from proxy.core.document.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Changes:
    """The names of the symbols that differ between two snapshots, in the order of the document."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed_status: tuple[str, ...]


def diff(old: Snapshot, new: Snapshot) -> Changes:
    """The symbols that a newer snapshot adds, removes, or has with another status."""
    before, after = old.statuses, new.statuses
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed_status=tuple(name for name, status in before.items() if after.get(name, status) != status),
    )


class Suspicion(Enum):
    """Why a newer snapshot must be confirmed by a second one. The value is the word in logs."""

    HALF_MISSING = "half-missing"
    """It has fewer than half of the symbols."""
    TRADING_MISSING = "trading-missing"
    """A tenth or more of the symbols that were TRADING are missing."""


def suspicion_of(old: Snapshot, new: Snapshot) -> Suspicion | None:
    """Why a newer snapshot must not replace an older one yet; None: it may."""
    if 2 * new.symbols_count < old.symbols_count:
        return Suspicion.HALF_MISSING
    trading = [name for name, status in old.statuses.items() if status == "TRADING"]
    gone = sum(name not in new.symbol_index.positions for name in trading)
    return Suspicion.TRADING_MISSING if gone and 10 * gone >= len(trading) else None
