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
"""Smaller bodies are sent as they are: the origin does so too (BINANCE.md: 28 bytes are never gzipped)."""
_LEVEL = 6


async def decompress(raw: bytes, *, max_bytes: int) -> bytes:
    """`gunzip`, in a thread when it may take long."""
    if len(raw) > THREAD_BYTES // 8:
        return await asyncio.to_thread(gunzip, raw, max_bytes)
    return gunzip(raw, max_bytes)


def gunzip(raw: bytes, max_bytes: int) -> bytes:
    """Decompress all members of a gzip body (RFC 1952).

    Raises ValueError when it is cut short, corrupt, or would be larger than `max_bytes`.
    """
    parts, size = [], 0
    while raw:
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(raw, max_bytes - size + 1)
        except zlib.error as error:
            raise ValueError("corrupt") from error
        size += len(part)
        if size > max_bytes:
            raise ValueError("too large")
        if not member.eof:
            raise ValueError("cut short")
        parts.append(part)
        raw = member.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


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
