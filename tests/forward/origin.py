"""An origin that answers in any bytes, and keeps the bytes that it was asked.

Owns: `Origin`, the reading of whole requests. Must not know: what any test expects.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from proxy.forward.answer import RawResponse
from proxy.forward.client import RawClient
from proxy.forward.messages import RawRequest

HEAD = b"HTTP/1.1 200 OK\r\nX-MBX-USED-WEIGHT-1M: 7\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\n{}"


@dataclass(slots=True)
class Exchange:
    """One request that the origin has read, and its connection."""

    head: bytes
    body: bytes
    connection: int
    """The first connection is 0."""
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def line(self) -> bytes:
        """The request line."""
        return self.head.partition(b"\r\n")[0]

    async def send(self, *pieces: bytes) -> None:
        """Send these bytes, each piece by itself as far as the system lets us."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    def reset(self) -> None:
        """Make the end of the connection a reset."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


Act = Callable[[Exchange], Awaitable[bool]]
"""Answers one request; whether the connection stays."""


@dataclass(slots=True)
class Origin:
    """A server on loopback."""

    act: Act
    url: str = ""
    asked: list[Exchange] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    bodies_are_read: bool = True
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        self.open += 1
        self.writers.add(writer)
        try:
            while await self._one(number, reader, writer):
                pass
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _one(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head)) if self.bodies_are_read else b""
        exchange = Exchange(head, body, number, reader, writer)
        self.asked.append(exchange)
        return await self.act(exchange)

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in self.writers:
            writer.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length: "):
            return int(line.removeprefix(b"content-length: "))
    return 0


def answering(*pieces: bytes, stays: bool = True) -> Act:
    """Send these bytes to every request."""

    async def act(exchange: Exchange) -> bool:
        await exchange.send(*pieces)
        return stays

    return act


def in_turn(*acts: Act) -> Act:
    """The first request gets the first, and so on."""
    left = list(acts)

    async def act(exchange: Exchange) -> bool:
        return await left.pop(0)(exchange)

    return act


def cutting(text: bytes = b"") -> Act:
    """Send these bytes, then close."""
    return answering(text, stays=False)


def resetting(text: bytes = b"") -> Act:
    """Send these bytes, then reset the connection."""

    async def act(exchange: Exchange) -> bool:
        await exchange.send(text)
        exchange.reset()
        return False

    return act


def hanging(text: bytes = b"") -> Act:
    """Send these bytes, then keep silent until the client leaves."""

    async def act(exchange: Exchange) -> bool:
        await exchange.send(text)
        await exchange.reader.read()
        return False

    return act


@asynccontextmanager
async def origin(
    act: Act, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, bodies_are_read: bool = True
) -> AsyncIterator[Origin]:
    """A server that acts so."""
    one = Origin(act, bodies_are_read=bodies_are_read)
    server = await asyncio.start_server(one.serve, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    one.url = f"{'https' if tls else 'http'}://{name}:{port}"
    try:
        yield one
    finally:
        server.close()
        for writer in one.writers:
            writer.transport.abort()
        await until(lambda: not one.open)


async def until(is_true: Callable[[], bool]) -> None:
    """Wait for what another end of a socket does."""
    async with asyncio.timeout(5):
        while not is_true():  # noqa: ASYNC110 - it is no event of this program
            await asyncio.sleep(0.001)


@dataclass(slots=True)
class Clock:
    """Monotonic time that is pushed."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def client(**changed: Any) -> RawClient:
    options: dict[str, Any] = {"connect_seconds": 2.0, "max_body_bytes": 1 << 22, "wall": lambda: 7.0}
    return RawClient(**(options | changed))


async def ask(
    raw: RawClient,
    base_url: str,
    method: str = "GET",
    target: bytes = b"/x",
    *,
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    check: Callable[[], None] = lambda: None,
    seconds: float = 5.0,
) -> RawResponse:
    request = RawRequest(method, target, tuple(headers), body)
    return await raw.exchange(base_url, request, check=check, seconds=seconds)
