"""Large answers that are sent on over TLS, which would encrypt at once all that it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.app import Application
from proxy.server.forward_path import ForwardPathProtocol
from tests.gateway.harness import gateway
from tests.gateway.scripted import scripted
from tests.server.certificates import Authority
from tests.server.raw import Raw, get
from tests.server.test_tls import NAME, secured
from tests.server.twins import until

LARGE = b"[" + b" " * (4 << 20) + b"]"
KLINES = "/api/v3/klines?symbol=BTCUSDT&interval=1m"


@dataclass(slots=True)
class Counting:
    """A transport that counts what it is given."""

    transport: Any
    given_bytes: int = 0

    def write(self, data: bytes) -> None:
        self.given_bytes += len(data)
        self.transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


@asynccontextmanager
async def unread(
    authority: Authority, *, is_draining: bool = False
) -> AsyncIterator[tuple[Application, Raw, ForwardPathProtocol, Counting]]:
    """A client that does not read a large answer that was sent on to it, while the gateway writes that."""
    kind = {"Content-Type": "application/json"}
    answers = {"/api/v3/klines": (200, kind, LARGE), "/api/v3/ping": (200, kind, b"{}")}
    changed: dict[str, Any] = {"forward": "all", **authority.issue(NAME).settings()}
    async with (
        scripted(answers) as origin,
        gateway(origin, **changed) as app,
        secured(app, authority, receive_bytes=4096) as slow,
    ):
        for _ in range(3):
            await slow.ask(get("/api/v3/ping"))
        ((slot,),) = app.room._by_peer.values()
        served = slot.occupant
        assert isinstance(served, ForwardPathProtocol)
        counting = Counting(served.transport)
        served.transport = cast(asyncio.Transport, counting)
        cast(asyncio.Transport, slow.writer.transport).pause_reading()
        slow.writer.write(get(KLINES))
        await until(lambda: served.is_forwarding)
        app.draining = is_draining
        await until(lambda: served.writing_paused)
        yield app, slow, served, counting


async def test_a_large_answer_is_encrypted_as_its_client_reads(tmp_path: Path) -> None:
    async with unread(Authority(tmp_path)) as (app, slow, served, counting):
        slow.writer.write(get("/api/v3/ping"))
        await asyncio.sleep(0.05)
        assert counting.given_bytes < len(LARGE) // 2
        assert served.is_busy
        assert app.room.requests == 0, "it has its answer, and only has to read it"
        cast(asyncio.Transport, slow.writer.transport).resume_reading()
        assert (await slow.answer())[1] == LARGE
        assert (await slow.answer())[1] == b"{}"
        assert (await slow.ask(get("/api/v3/ping")))[1] == b"{}"
        assert not served.is_busy


async def test_a_client_that_leaves_a_large_answer_is_done(tmp_path: Path) -> None:
    async with unread(Authority(tmp_path)) as (_, slow, served, _):
        slow.writer.transport.abort()
        await until(lambda: served.transport is None)
        assert not served.is_forwarding


@pytest.mark.parametrize("is_draining", [False, True])
async def test_a_gateway_that_stops_lets_a_client_read_its_large_answer(tmp_path: Path, is_draining: bool) -> None:
    """`is_draining`: before the answer has come, which then tells the end of the connection."""
    async with unread(Authority(tmp_path), is_draining=is_draining) as (app, slow, served, _):
        app.draining = True
        served.close()
        ending = asyncio.create_task(served.shutdown(10.0))
        await asyncio.sleep(0.05)
        assert not ending.done()
        cast(asyncio.Transport, slow.writer.transport).resume_reading()
        head, body = await slow.answer()
        assert body == LARGE
        assert (b"\r\nConnection: close\r\n" in head) == is_draining
        assert await slow.end() == b""
        await ending
