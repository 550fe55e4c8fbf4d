"""A client that costs little: for tests that ask thousands of times.

Owns: one connection that stays open, and one answer after the other on it. Must not know: what any test expects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.gateway.harness import Answer

_LIMIT_BYTES = 1 << 20


class Plain:
    """One request at a time; nothing is decoded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        """`target` and headers go out as they stand."""
        lines = [f"GET {target} HTTP/1.1", "Host: here", *(f"{name}: {text}" for name, text in (headers or {}).items())]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        told = dict(line.lower().split(": ", 1) for line in head[1:-2])
        raw = await self._reader.readexactly(int(told["content-length"]))
        return Answer(int(head[0].split(" ", 2)[1]), told, raw)


@asynccontextmanager
async def plain(url: str) -> AsyncIterator[Plain]:
    """A connection to this base URL."""
    host, _, port = urlsplit(url).netloc.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=_LIMIT_BYTES)
    try:
        yield Plain(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()
