"""What changed between two full documents, and whether the newer one can be believed.

Owns: the difference and the suspicion. Must not know: who keeps the documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from proxy.core.document.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Changes:
    """The names of the symbols that differ between two snapshots, in listing order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed_status: tuple[str, ...]


def diff(old: Snapshot, new: Snapshot) -> Changes:
    """What a newer snapshot adds, lacks, and shows in another status."""
    before, after = old.statuses, new.statuses
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed_status=tuple(name for name, status in before.items() if after.get(name, status) != status),
    )


class Suspicion(Enum):
    """Why a newer snapshot is not to be believed without another look. The value is the word in logs."""

    HALF_MISSING = "half-missing"
    """It has less than half of the symbols."""
    TRADING_MISSING = "trading-missing"
    """A tenth or more of the symbols that were TRADING are gone at once."""


def suspicion_of(old: Snapshot, new: Snapshot) -> Suspicion | None:
    """None if a newer snapshot may take the place of an older one, else what is suspicious about it."""
    if 2 * new.symbols_count < old.symbols_count:
        return Suspicion.HALF_MISSING
    trading = [name for name, status in old.statuses.items() if status == "TRADING"]
    gone = sum(name not in new.symbol_index.positions for name in trading)
    return Suspicion.TRADING_MISSING if gone and 10 * gone >= len(trading) else None
