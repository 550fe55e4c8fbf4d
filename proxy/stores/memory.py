"""L1: the entries in this process, bounded by bytes, the least recently used going first.

Owns: `MemoryStore`. Must not know: whether an entry is fresh when it is asked for, or where else it is kept.
"""

from __future__ import annotations

from collections import OrderedDict

from proxy.core.freshness import Decision, decide
from proxy.core.messages import Entry


class MemoryStore:
    """Entries by cache key. No I/O; every method but `items` and `drop_expired` takes constant time."""

    __slots__ = ("_bytes", "_entries", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        """The least recently used first."""
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """The sum of `size_bytes`; never above `max_bytes`."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        """The entry, whatever its age; it is now the most recently used."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Replace what is under `key`; others go until it fits. An entry above the bound is not kept."""
        self.delete(key)
        if entry.size_bytes > self.max_bytes:
            return
        while self._bytes + entry.size_bytes > self.max_bytes:
            _, evicted = self._entries.popitem(last=False)
            self._bytes -= evicted.size_bytes
        self._entries[key] = entry
        self._bytes += entry.size_bytes

    def delete(self, key: str) -> None:
        """Forget an entry, if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size_bytes

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()
        self._bytes = 0

    def items(self) -> tuple[tuple[str, Entry], ...]:
        """All entries now, the least recently used first. Marks none as used."""
        return tuple(self._entries.items())

    def drop_expired(self, now: float) -> int:
        """Forget the entries that are of no use at `now` (seconds since the epoch); how many there were."""
        expired = [key for key, entry in self._entries.items() if decide(entry, now) is Decision.EXPIRED]
        for key in expired:
            self.delete(key)
        return len(expired)
