"""Work on whole bodies that must not stall the event loop: compress, decompress, hash.

Owns: when a body is worth compressing, when work moves to a thread, bounds while decompressing, entity tags.
Must not know: HTTP messages, stores. zlib and hashlib release the interpreter lock while they work on large bodies.
"""

from __future__ import annotations

import asyncio
import gzip as gzip_format
import hashlib
import zlib

THREAD_BYTES = 64 << 10
"""Larger bodies are processed in a thread."""
COMPRESS_BYTES = 256
"""Smaller bodies are not compressed. The origin does the same (Binance never gzips 28 bytes)."""
_LEVEL = 6
_GZIP_WBITS = 31
_WINDOW_BYTES = 1 << 20


async def decompress(raw: bytes, *, max_bytes: int) -> bytes:
    """Decompress as `gunzip` does, in a thread when it may take long."""
    if len(raw) > THREAD_BYTES // 8:
        return await asyncio.to_thread(gunzip, raw, max_bytes)
    return gunzip(raw, max_bytes)


def gunzip(raw: bytes, max_bytes: int) -> bytes:
    """Decompress all members of a gzip body (RFC 1952).

    Raises ValueError when it is cut short, corrupt, or would be larger than `max_bytes`. It decompresses twice, the
    first time only to measure the size: a growing buffer would need three times the memory of the full document.
    """
    members, left_bytes = [], max_bytes
    while raw:
        size, rest = _measure(raw, left_bytes)
        members.append((raw[: len(raw) - len(rest)], size))
        raw, left_bytes = rest, left_bytes - size
    parts = [zlib.decompress(member, _GZIP_WBITS, max(1, size)) for member, size in members]
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _measure(raw: bytes, max_bytes: int) -> tuple[int, bytes]:
    """The decompressed size of the first member, in bytes, and the data after that member.

    Raises ValueError unless the member is complete and valid.
    """
    member, size, pending = zlib.decompressobj(wbits=_GZIP_WBITS), 0, raw
    while True:
        try:
            part = member.decompress(pending, min(_WINDOW_BYTES, max_bytes - size + 1))
        except zlib.error as error:
            raise ValueError("corrupt") from error
        size += len(part)
        if size > max_bytes:
            raise ValueError("too large")
        if member.eof:
            return size, member.unused_data
        pending = member.unconsumed_tail
        if not pending and len(part) < _WINDOW_BYTES:
            raise ValueError("cut short")


async def compress(body: bytes) -> bytes | None:
    """The gzip variant of a body; None for a body that is too small to compress."""
    if len(body) > THREAD_BYTES:
        return await asyncio.to_thread(pack, body)
    return pack(body)


def pack(body: bytes) -> bytes | None:
    """The same at once, for a body that is small."""
    return gzip_format.compress(body, _LEVEL, mtime=0) if len(body) >= COMPRESS_BYTES else None


async def entity_tag(body: bytes, *, apart: slice | None = None) -> str:
    """A name of exactly these bytes, without quotes (RFC 9110, section 8.8.3).

    `apart` is a part that changes though nothing else does. The name is then the digest of the body without the
    content of this part, a dot, and the part itself, which must be ASCII.
    """
    if len(body) > THREAD_BYTES:
        return await asyncio.to_thread(_tag, body, apart)
    return _tag(body, apart)


def _tag(body: bytes, apart: slice | None) -> str:
    digest = hashlib.blake2b(digest_size=12)
    if apart is None:
        digest.update(body)
        return digest.hexdigest()
    view, part = memoryview(body), body[apart]
    digest.update(view[: apart.start])
    digest.update(b"0" * len(part))
    digest.update(view[apart.stop :])
    return f"{digest.hexdigest()}.{part.decode()}"
