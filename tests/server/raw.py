"""A client that writes bytes and reads one answer at a time.

Owns: where an answer ends. Must not know: what is asked.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from proxy.app import Application
from tests.gateway.harness import INFO

WAIT_SECONDS = 5.0


def get(target: str = f"{INFO}?symbol=BTCUSDT", *headers: str, method: str = "GET") -> bytes:
    """A request without a body, as a bot writes it."""
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: gateway", *headers, "", "")).encode()


@dataclass(frozen=True, slots=True)
class Raw:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes, *, has_body: bool = True) -> tuple[bytes, bytes]:
        """Head and body of one answer."""
        self.writer.write(request)
        return await self.answer(has_body=has_body)

    async def answer(self, *, has_body: bool = True) -> tuple[bytes, bytes]:
        """The next answer's head and body."""
        async with asyncio.timeout(WAIT_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            _, found, rest = head.partition(b"Content-Length: ")
            length = int(rest.partition(b"\r\n")[0]) if found and has_body else 0
            return head, await self.reader.readexactly(length)

    async def status(self, request: bytes) -> int:
        """Of the answer, however its body is framed; 0 if the connection is closed without one."""
        self.writer.write(request)
        async with asyncio.timeout(WAIT_SECONDS):
            try:
                head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0
            if b"\r\ntransfer-encoding: chunked" in head:
                while size := int(await self.reader.readline(), 16):
                    await self.reader.readexactly(size + 2)
                await self.reader.readline()
            else:
                await self.reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0"))
            return int(head.split(b" ", 2)[1])

    def half_close(self) -> None:
        """Say that no more requests come."""
        self.writer.write_eof()

    async def end(self) -> bytes:
        """All that comes until the gateway closes."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.reader.read()


@asynccontextmanager
async def raw(app: Application, *, receive_bytes: int | None = None, to_ops: bool = False) -> AsyncIterator[Raw]:
    """A connection to the traffic listener; `receive_bytes` makes the kernel take little ahead of the reader."""
    client = socket.socket()
    client.setblocking(False)
    if receive_bytes is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await asyncio.get_running_loop().sock_connect(client, (app.ops_addresses if to_ops else app.addresses)[0])
    reader, writer = await asyncio.open_connection(sock=client, limit=4096 if receive_bytes else 1 << 16)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


def fast_answers(app: Application) -> int:
    """How many answers the fast path gave."""
    return sum(tally.count for tally in app.metrics.requests._tallies.values() if tally.fast)
