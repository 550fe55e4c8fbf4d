"""The entries in this process, bounded in bytes. Evicts the least recently used first.

Owns: `MemoryStore`. Must not know: whether an entry is fresh, or where else it is stored.
"""

from __future__ import annotations

from collections import OrderedDict

from proxy.core.messages import Entry


class MemoryStore:
    """Entries by cache key. `items`, `counted` and `drop` take time for every entry, the other methods do not."""

    __slots__ = ("_bytes", "_entries", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[str, tuple[Entry, int]] = OrderedDict()
        """Each with its size in bytes. The least recently used first."""
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """The size of all entries; never above `max_bytes`."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        """The entry, whatever its age. Makes it the most recently used."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: str, entry: Entry, *, size_bytes: int | None = None) -> None:
        """Replace the entry of `key`, and evict others until it fits. An entry above the bound is not stored.

        `size_bytes` replaces the entry's own size where its bytes are counted elsewhere.
        """
        size_bytes = entry.size_bytes if size_bytes is None else size_bytes
        self.delete(key)
        if size_bytes > self.max_bytes:
            return
        while self._bytes + size_bytes > self.max_bytes:
            _, (_, evicted_bytes) = self._entries.popitem(last=False)
            self._bytes -= evicted_bytes
        self._entries[key] = (entry, size_bytes)
        self._bytes += size_bytes

    def delete(self, key: str) -> None:
        """Remove an entry, if it is there."""
        _, size_bytes = self._entries.pop(key, (None, 0))
        self._bytes -= size_bytes

    def drop(self, prefix: str) -> None:
        """Remove the entries whose keys begin with `prefix`."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            self.delete(key)

    def counted(self, prefix: str) -> tuple[int, int]:
        """The number and the size in bytes of the entries whose keys begin with `prefix`."""
        sizes = [size_bytes for key, (_, size_bytes) in self._entries.items() if key.startswith(prefix)]
        return len(sizes), sum(sizes)

    def items(self) -> tuple[tuple[str, Entry], ...]:
        """All entries, the least recently used first. Does not change that order."""
        return tuple((key, entry) for key, (entry, _) in self._entries.items())
