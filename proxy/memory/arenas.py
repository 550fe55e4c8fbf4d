"""Room in one piece for the objects that live as long as the process: import it before whatever makes them.

Owns: how the allocator of CPython is led to keep them together. Must not know: what is kept, pages.

CPython takes memory in arenas of 1 MiB, and between them the libraries are mapped that are imported meanwhile. Arenas
that are taken one after the other before any import are one piece, which large pages can back
(`proxy.memory.large_pages`). An arena stays as long as one object of it does.
"""

from __future__ import annotations

import sys

ROOM_BYTES = 16 << 20
"""Most of what the modules and the parts of a gateway take. What is needed for a moment only goes elsewhere."""
_ARENA_BYTES = 1 << 20
_BLOCK_BYTES = 496
"""One of the larger sizes that arenas are cut into."""
_EMPTY_BYTES = sys.getsizeof(b"")


def room(size_bytes: int) -> list[bytes]:
    """Objects that keep arenas of so many bytes. Everything else in these arenas is free."""
    blocks = [bytes(_BLOCK_BYTES - _EMPTY_BYTES) for _ in range(size_bytes // _BLOCK_BYTES)]
    return blocks[:: _ARENA_BYTES // _BLOCK_BYTES // 2]


KEPT = room(ROOM_BYTES) if sys.platform == "linux" else []
"""At least one object of each arena."""
