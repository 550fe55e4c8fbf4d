"""L1: the entries in this process, bounded by bytes, the least recently used going first.

Owns: `MemoryStore`. Must not know: whether an entry is fresh when it is asked for, or where else it is kept.
"""

from __future__ import annotations

from collections import OrderedDict

from proxy.core.messages import Entry


class MemoryStore:
    """Entries by cache key. No I/O; `items`, `counted` and `drop` look at all entries, the rest at one."""

    __slots__ = ("_bytes", "_entries", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[str, tuple[Entry, int]] = OrderedDict()
        """With what each counts as in bytes. The least recently used first."""
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What all count as together; never above `max_bytes`."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        """The entry, whatever its age; it is now the most recently used."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: str, entry: Entry, *, size_bytes: int | None = None) -> None:
        """Replace what is under `key`; others go until it fits. An entry above the bound is not kept.

        `size_bytes` is what it counts as, where that is not its own size.
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
        """Forget an entry, if it is there."""
        _, size_bytes = self._entries.pop(key, (None, 0))
        self._bytes -= size_bytes

    def drop(self, prefix: str) -> None:
        """Forget the entries whose keys begin so."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            self.delete(key)

    def counted(self, prefix: str) -> tuple[int, int]:
        """How many entries have keys that begin so, and what they count as in bytes."""
        sizes = [size_bytes for key, (_, size_bytes) in self._entries.items() if key.startswith(prefix)]
        return len(sizes), sum(sizes)

    def items(self) -> tuple[tuple[str, Entry], ...]:
        """All entries now, the least recently used first. Marks none as used."""
        return tuple((key, entry) for key, (entry, _) in self._entries.items())
