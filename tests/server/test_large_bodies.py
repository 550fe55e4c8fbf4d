"""Large bodies out of files in memory: the same bytes, whatever the kernel takes at once, and no file that stays."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from proxy.server import large_bodies
from proxy.server.large_bodies import JOIN_BYTES, MAX_BYTES, MAX_FILES, BodyFile, BodyFiles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files in memory")

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
SIZES = (JOIN_BYTES + 1, 300_000, MAX_BYTES)


def body_of(size: int) -> bytes:
    """No two parts of it are equal."""
    return b"".join(b"%d," % number for number in range(size // 2))[:size]


class Writer(asyncio.Protocol):
    """The server's end of a connection."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@asynccontextmanager
async def connection(*, buffer_bytes: int = 0) -> AsyncIterator[tuple[Writer, asyncio.Transport, socket.socket]]:
    """Both ends. `buffer_bytes`: so much the kernel holds at each; 0: as it likes."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        if buffer_bytes:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        client.setblocking(False)
        await loop.sock_connect(client, listening.getsockname())
        accepted, _ = listening.accept()
        transport, writer = await loop.connect_accepted_socket(Writer, accepted)
        yield writer, transport, client
        transport.abort()
        await writer.lost


async def received(client: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while sum(map(len, parts)) < size:
        parts.append(await asyncio.get_running_loop().sock_recv(client, 1 << 16))
        assert parts[-1]
    return b"".join(parts)


@pytest.mark.no_cover
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("buffer_bytes", [0, 4096, 50_000])
async def test_head_and_body_arrive_in_order(size: int, buffer_bytes: int) -> None:
    body = body_of(size)
    async with connection(buffer_bytes=buffer_bytes) as (_, transport, client):
        for _ in range(2):  # the second one while the first may still wait
            large_bodies.write(transport, HEAD, body, BodyFile(body))
        assert await received(client, 2 * (len(HEAD) + size)) == 2 * (HEAD + body)


async def test_what_waits_in_the_transport_goes_first_though_the_kernel_has_room_again() -> None:
    body, taken = body_of(MAX_BYTES), b""
    async with connection(buffer_bytes=50_000) as (_, transport, client):
        large_bodies.write(transport, HEAD, body, BodyFile(body))
        assert transport.get_write_buffer_size() > 0
        with suppress(BlockingIOError):
            while True:  # without a turn of the event loop, in which the transport would go on
                taken += client.recv(1 << 16)
        large_bodies.write(transport, HEAD, body, BodyFile(body))
        taken += await received(client, 2 * (len(HEAD) + MAX_BYTES) - len(taken))
    assert taken == 2 * (HEAD + body)


async def test_a_head_that_is_taken_in_part_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    body, head = body_of(SIZES[0]), body_of(200_000)
    async with connection(buffer_bytes=4096) as (_, transport, client):
        monkeypatch.setattr(os, "sendfile", None)  # is not reached
        large_bodies.write(transport, head, body, BodyFile(body))
        assert await received(client, len(head) + len(body)) == head + body


@pytest.mark.no_cover
async def test_the_kernel_reads_the_file_unless_earlier_bytes_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    body, sent, sendfile = body_of(MAX_BYTES), [], os.sendfile

    def counted(*arguments: int) -> int:
        sent.append(sendfile(*arguments))
        return sent[-1]

    monkeypatch.setattr(os, "sendfile", counted)
    async with connection(buffer_bytes=50_000) as (_, transport, client):
        for _ in range(2):
            large_bodies.write(transport, HEAD, body, BodyFile(body))
        assert await received(client, 2 * (len(HEAD) + MAX_BYTES)) == 2 * (HEAD + body)
    assert len(sent) == 1
    assert 0 < sent[0] < MAX_BYTES


async def test_a_client_that_is_gone_ends_its_connection_and_nothing_else() -> None:
    body = body_of(SIZES[1])
    async with connection() as (writer, transport, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with a reset
        client.close()
        for _ in range(2):
            large_bodies.write(transport, HEAD, body, BodyFile(body))
        await writer.lost


def test_a_body_has_one_file_for_as_long_as_somebody_has_it() -> None:
    files, body = BodyFiles(), body_of(JOIN_BYTES + 1)
    file = files.of(body)
    assert file is not None
    assert files.of(body) is file
    assert os.pread(file.descriptor, len(body) + 1, 0) == body
    descriptor = file.descriptor
    del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_there_are_never_many_files() -> None:
    files = BodyFiles()
    bodies = [b"%03d" % number * JOIN_BYTES for number in range(MAX_FILES + 1)]
    held = [files.of(body) for body in bodies]
    assert held[-1] is None
    assert None not in held[:-1]
    del held[:-1]
    assert files.of(bodies[-1]) is not None


def test_without_a_file_all_goes_by_the_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> int:
        raise OSError

    assert BodyFiles().of(bytes(MAX_BYTES + 1)) is None
    monkeypatch.setattr(os, "memfd_create", refuse)
    assert BodyFiles().of(bytes(JOIN_BYTES + 1)) is None
