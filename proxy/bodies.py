"""The gzip content coding in both directions, and the name of a body: what must not stall the event loop.

Owns: when a body is worth compressing, when work moves to a thread, bounds while decompressing, entity tags.
Must not know: HTTP messages, stores. zlib and hashlib let go of the interpreter lock while they work on large bodies.
"""

from __future__ import annotations

import asyncio
import gzip as gzip_format
import hashlib
import zlib

THREAD_BYTES = 64 << 10
"""Bodies larger than this are worked on in a thread."""
COMPRESS_BYTES = 256
"""Smaller bodies are sent as they are: the origin does so too (Binance: 28 bytes are never gzipped)."""
_LEVEL = 6
_GZIP_WBITS = 31
_WINDOW_BYTES = 1 << 20


async def decompress(raw: bytes, *, max_bytes: int) -> bytes:
    """`gunzip`, in a thread when it may take long."""
    if len(raw) > THREAD_BYTES // 8:
        return await asyncio.to_thread(gunzip, raw, max_bytes)
    return gunzip(raw, max_bytes)


def gunzip(raw: bytes, max_bytes: int) -> bytes:
    """Decompress all members of a gzip body (RFC 1952).

    Raises ValueError when it is cut short, corrupt, or would be larger than `max_bytes`. It is done twice, first only
    to measure: a buffer that grows would take three times the memory of the full document, which this process has to
    spare only once.
    """
    members, most = [], max_bytes
    while raw:
        size, rest = _measure(raw, most)
        members.append((raw[: len(raw) - len(rest)], size))
        raw, most = rest, most - size
    parts = [zlib.decompress(member, _GZIP_WBITS, max(1, size)) for member, size in members]
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _measure(raw: bytes, most: int) -> tuple[int, bytes]:
    """The size of the first member's content in bytes, proven to be whole, and what follows the member."""
    member, size, pending = zlib.decompressobj(wbits=_GZIP_WBITS), 0, raw
    while True:
        try:
            part = member.decompress(pending, min(_WINDOW_BYTES, most - size + 1))
        except zlib.error as error:
            raise ValueError("corrupt") from error
        size += len(part)
        if size > most:
            raise ValueError("too large")
        if member.eof:
            return size, member.unused_data
        pending = member.unconsumed_tail
        if not pending and len(part) < _WINDOW_BYTES:
            raise ValueError("cut short")


async def compress(body: bytes) -> bytes | None:
    """The gzip variant of a body; None where it would not pay."""
    if len(body) < COMPRESS_BYTES:
        return None
    if len(body) > THREAD_BYTES:
        return await asyncio.to_thread(_gzip, body)
    return _gzip(body)


def _gzip(body: bytes) -> bytes:
    return gzip_format.compress(body, _LEVEL, mtime=0)


async def entity_tag(body: bytes) -> str:
    """A strong name of these bytes, opaque, without quotes (RFC 9110, section 8.8.3)."""
    if len(body) > THREAD_BYTES:
        return await asyncio.to_thread(_digest, body)
    return _digest(body)


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=12).hexdigest()
