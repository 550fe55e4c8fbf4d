"""Slow readers of the full document: each costs its socket's buffer in the kernel, and next to nothing in the process.

Against the real command on uvloop, over real sockets, at full size; memory as the kernel counts it (Linux).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import orjson
import pytest

from tests.bench.children import die_with_parent, rss_bytes
from tests.environment import without_settings
from tests.gateway.harness import INFO, Answer, Client, client
from tests.ports import free_port
from tests.simulator import Document, Simulator, generate_document
from tests.sizes import sized

pytestmark = [pytest.mark.slow, pytest.mark.no_cover, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

READERS = sized(quick=200, usual=200, long=1000)
MOST_BYTES_EACH = 100_000
SPARE_FILES = 100
TAKEN_BYTES = 1000
"""What each reader takes before it stops reading."""
RECEIVE_BUFFER_BYTES = 16 << 10
FULL_BYTES = 17_000_000
FIRST_BYTE_SECONDS = 30.0


@pytest.fixture(scope="module")
def document() -> Document:
    return generate_document()


@pytest.fixture
def readers() -> Iterator[int]:
    """How many connections this process may open: as many as wanted, unless the system says otherwise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(READERS, hard - SPARE_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def command(origin: Simulator, log: Path, *, fast_lane: bool) -> AsyncIterator[tuple[int, str]]:
    """The process id and the URL of a gateway of its own, which writes to `log`."""
    settings = {
        "SIDECAR_PORT": str(free_port()),
        "SIDECAR_UPSTREAMS": origin.url,
        "SIDECAR_REDIS_URL": "memory:",
        "SIDECAR_FAST_LANE": str(fast_lane),
        "SIDECAR_KEEP_WARM": "always",
        "SIDECAR_FRESH_SECONDS": "3600",
    }
    with log.open("wb") as lines:
        process = subprocess.Popen(  # noqa: ASYNC220 - it takes milliseconds
            [sys.executable, "-m", "proxy"],
            env={**without_settings(os.environ), **settings},
            stderr=lines,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - takes no lock that another thread may hold
        )
    url = f"http://127.0.0.1:{settings['SIDECAR_PORT']}"
    try:
        async with client(url) as asking:
            await until_ready(asking)
        yield process.pid, url
    finally:
        process.kill()
        process.wait()


async def until_ready(asking: Client) -> None:
    """Return when it has the document."""
    for _ in range(600):
        with suppress(aiohttp.ClientConnectionError):
            if (await asking.ask("/readyz")).status == 200:
                return
        await asyncio.sleep(0.05)
    pytest.fail("the gateway did not start")


def slow_reader(url: str) -> socket.socket:
    """A connection that has had a small answer: after a while the fast path is open to it."""
    host, _, port = urlsplit(url).netloc.partition(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    connection.settimeout(FIRST_BYTE_SECONDS)
    connection.connect((host, int(port)))
    connection.sendall(request(f"{INFO}?symbol=BTCUSDT"))
    small = read_on(connection, connection.recv(RECEIVE_BUFFER_BYTES))
    assert small.status == 200
    return connection


def request(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: here\r\n\r\n".encode()


def ask_before_all(url: str) -> Answer:
    """The full document, asked for in the very bytes that the slow readers will send: the fast path learns them."""
    with slow_reader(url) as connection:
        connection.sendall(request(INFO))
        return read_on(connection, connection.recv(TAKEN_BYTES))


def begin_to_read(url: str, count: int, stack: ExitStack) -> list[tuple[socket.socket, bytes]]:
    """Let so many ask, take the beginning of the answer, and stop."""
    connections = [stack.enter_context(slow_reader(url)) for _ in range(count)]
    for connection in connections:
        connection.sendall(request(INFO))
    return [(connection, connection.recv(TAKEN_BYTES)) for connection in connections]


def read_on(connection: socket.socket, taken: bytes) -> Answer:
    """All the rest of an answer."""
    head, _, body = taken.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
    rest = bytearray(body)
    while len(rest) < int(headers["content-length"]):
        rest += connection.recv(1 << 20)
    return Answer(int(head.split()[1]), headers, bytes(rest))


def errors(log: Path) -> list[str]:
    """What it had to complain about."""
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    return [line["event"] for line in lines if line["level"] not in ("debug", "info")]


@pytest.mark.parametrize("fast_lane", [False, True], ids=["slow path", "fast path"])
async def test_hundreds_of_slow_readers_of_the_full_document_cost_no_more_than_their_socket_buffers(
    document: Document, readers: int, tmp_path: Path, fast_lane: bool
) -> None:
    log = tmp_path / "log"
    async with (
        Simulator(document=document) as origin,
        command(origin, log, fast_lane=fast_lane) as (pid, url),
        client(url) as asking,
    ):
        whole = await asyncio.to_thread(ask_before_all, url)
        before = rss_bytes(pid)
        with ExitStack() as stack:
            reading = await asyncio.to_thread(begin_to_read, url, readers, stack)
            raised = rss_bytes(pid) - before
            print(f"{readers} slow readers: {before / 1e6:.0f} MB before, {raised / 1e6:+.1f} MB")
            assert all(taken.startswith(b"HTTP/1.1 200 OK\r\n") for _, taken in reading)
            assert raised < MOST_BYTES_EACH * readers
            patient = [await asyncio.to_thread(read_on, *reading[place]) for place in (0, -1)]
        assert len(whole.raw) > FULL_BYTES
        assert {digest(answer) for answer in patient} == {digest(whole)}
        assert (await asking.ask(f"{INFO}?symbol=BTCUSDT")).status == 200
        assert errors(log) == [], "a client that leaves in the middle of an answer is no fault"


def digest(answer: Answer) -> str:
    return hashlib.sha256(answer.raw).hexdigest()
