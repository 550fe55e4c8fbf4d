"""What changed between two full documents, and whether the newer one is plausible.

Owns: the kinds of changes, the names of the symbols that differ, the suspicion. Must not know: who keeps the documents,
how a symbol is read (`proxy.core.document.differences`).
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct

from proxy.core.document.snapshot import Snapshot


class ChangeKind(Enum):
    """What a change is about. The value is the word in the feed and in metrics."""

    LISTED = "listed"
    """A symbol is new: `new` is its status."""
    DELISTED = "delisted"
    """A symbol is gone: `old` was its status."""
    STATUS = "status"
    FILTERS = "filters"
    """`old` and `new` map the filterType of each filter that differs to that filter."""
    PERMISSIONS = "permissions"
    """`old` has the names that were removed, `new` those that were added."""
    LIMITS = "limits"
    """The rateLimits of the API: `old` and `new` are the whole lists."""


class Change(Struct, frozen=True):
    """One change between two documents. `old` and `new` are JSON values; None: there was or is nothing."""

    kind: ChangeKind
    symbols: tuple[str, ...]
    """One symbol; all with the same change of permissions; none for limits."""
    old: Any
    new: Any


class ChangedSymbols(Struct, frozen=True):
    """The names of the symbols that differ between two snapshots, in the order of the document."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed_status: tuple[str, ...]


def changed_symbols(old: Snapshot, new: Snapshot) -> ChangedSymbols:
    """The symbols that a newer snapshot adds, removes, or has with another status."""
    before, after = old.statuses, new.statuses
    return ChangedSymbols(
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
