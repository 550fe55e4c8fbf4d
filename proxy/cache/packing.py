"""The gzip variants of large entries: smaller than those of the origin, and made anew only where a body changed.

Owns: how such a variant is put together, and what is kept of the last one. Must not know: who fills, who reads it.

The origin packs each answer while a client waits. A body that is packed once for all clients until the next refresh is
worth more time: about a tenth fewer bytes for everybody, and for Redis. Most documents differ from the one before in
their own time alone. So what is up to the time, and the rest, are packed each by itself (RFC 1951 lets a block begin
anywhere), and the rest is taken over as long as it stays the same.
"""

from __future__ import annotations

import asyncio
import zlib

from msgspec import Struct

from proxy.bodies import THREAD_BYTES

_LEVEL = 8
"""Level 9 takes a tenth longer, for less than a hundredth of the bytes."""
_RAW_DEFLATE = -15
_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
"""Of a member without a name and a time, packed slowly, by an unknown system (RFC 1952, section 2.3.1)."""
_TRAILER_BYTES = 8
_MOST_KEPT = 8


class _Kept(Struct, frozen=True):
    """What the next variant can be made of."""

    validator: str
    """Names the body but for its time."""
    start_bytes: int
    """Where the rest begins in the body."""
    rest: memoryview
    """What follows the time, packed: a part of the last variant."""


class Packing:
    """Makes the variants of one process."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        """By the key of the entry."""

    async def pack(self, key: str, body: bytes, validator: str, *, time: slice | None, at_once: bool) -> bytes | None:
        """The gzip variant of a body with this validator (`Entry.validator`); `time`: where its own time is.

        None: it is small, or `at_once` was asked for and it would take long.
        """
        if len(body) <= THREAD_BYTES:
            return None
        kept, start_bytes = self._kept.get(key), 0 if time is None else time.stop
        is_same = kept is not None and kept.validator == validator and kept.start_bytes == start_bytes
        rest = kept.rest if kept is not None and is_same else None
        if rest is None and at_once:
            return None
        packed, rest_at = await asyncio.to_thread(_member, body, start_bytes, rest)
        if key not in self._kept and len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = _Kept(validator, start_bytes, memoryview(packed)[rest_at:-_TRAILER_BYTES])
        return packed


def _member(body: bytes, start_bytes: int, rest: memoryview | None) -> tuple[bytes, int]:
    """A gzip member of a body, and where in it the rest begins; `rest`: that is packed already."""
    view = memoryview(body)
    start = _HEAD + _deflated(view[:start_bytes], zlib.Z_FULL_FLUSH)
    end = zlib.crc32(body).to_bytes(4, "little") + (len(body) % (1 << 32)).to_bytes(4, "little")
    packed_rest = _deflated(view[start_bytes:], zlib.Z_FINISH) if rest is None else rest
    return b"".join((start, packed_rest, end)), len(start)


def _deflated(data: memoryview, flush: int) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_DEFLATE)
    return compressor.compress(data) + compressor.flush(flush)
