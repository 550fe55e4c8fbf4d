"""Clients that connect and ask slowly or not at all, over real sockets; the clock of the deadlines is pushed."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack, ExitStack, suppress

import pytest

from proxy.app import Application
from proxy.core.endpoints.catalogue import Forward
from proxy.server import unread
from proxy.server.bounds import UNASKED_SECONDS
from tests.gateway.harness import INFO, Stage, client, stage
from tests.server.raw import WAIT_SECONDS, Raw, fast_answers, get, raw
from tests.server.twins import until
from tests.simulator import Fault

HEAD_SECONDS = 15.0
LARGE_SYMBOLS = 1000
"""Some 5 MB: more than the kernel takes ahead of a reader that does not read."""
ONE = get()
ORDER = "/api/v3/order?signature=1"


class Ahead:
    """The clock of the connections' deadlines: that of the event loop, and what it was pushed."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._pushed = 0.0
        now = asyncio.get_running_loop().time
        app.room._now = lambda: now() + self._pushed

    def push(self, seconds: float) -> None:
        """Let time pass, and look for what is over."""
        self._pushed += seconds
        while self._app.room.sweep():
            pass


async def received(on: Stage, count: int) -> None:
    """Wait until so many connections are open."""
    await until(lambda: on.app.room.count == count)


async def closes(asking: Raw) -> bool:
    """Whether the gateway has closed or does so, however slow the machine is."""
    return await is_closed(asking, seconds=WAIT_SECONDS)


async def is_closed(asking: Raw, *, seconds: float = 0.02) -> bool:
    """Whether the gateway has closed, or does so within a moment."""
    with suppress(ConnectionError):
        try:
            async with asyncio.timeout(seconds):
                return await asking.reader.read(1) == b""
        except TimeoutError:
            return False
    return True


@pytest.mark.no_cover
@pytest.mark.parametrize("fast_lane", [True, False])
@pytest.mark.parametrize("sent", [b"", b"G", ONE[:-2], b"\r\n", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n"])
async def test_a_head_that_does_not_come_ends_the_connection(sent: bytes, fast_lane: bool) -> None:
    async with stage(fast_lane=fast_lane) as on, raw(on.app) as slow, raw(on.app) as asking:
        clock = Ahead(on.app)
        slow.writer.write(sent)
        await asking.ask(ONE)
        clock.push(HEAD_SECONDS - 1)
        assert not await is_closed(slow)
        clock.push(1)
        assert await closes(slow)
        assert not await is_closed(asking)
        assert on.metric("connections_closed_total", reason="head") == 1


@pytest.mark.parametrize("fast_lane", [True, False])
async def test_a_head_that_drips_on_a_kept_connection_ends_it(fast_lane: bool) -> None:
    async with stage(fast_lane=fast_lane) as on, raw(on.app) as slow:
        clock = Ahead(on.app)
        for _ in range(3):
            await slow.ask(ONE)
        clock.push(60)
        assert not await is_closed(slow)
        for byte in ONE[:10]:
            slow.writer.write(bytes([byte]))
            await asyncio.sleep(0.002)
            clock.push(1)
        assert not await is_closed(slow)
        clock.push(HEAD_SECONDS - 10)
        assert await closes(slow)


async def test_the_beginning_of_a_head_in_the_same_packet_as_another_request_counts() -> None:
    async with stage() as on, raw(on.app) as slow:
        clock = Ahead(on.app)
        await slow.ask(ONE + ONE[:20])
        clock.push(HEAD_SECONDS)
        assert await closes(slow)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "request_bytes",
    [
        get(ORDER, "Content-Length: 3", method="POST") + b"abc",
        get(ORDER, "Content-Length: 3", method="POST") + b"abc\r\n",
        get(ORDER, "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n0\r\n\r\n",
        ONE + ONE,
    ],
)
async def test_a_connection_with_nothing_but_whole_requests_is_idle(request_bytes: bytes) -> None:
    async with stage(forward=Forward.ALL) as on, raw(on.app) as asking:
        clock = Ahead(on.app)
        await asking.ask(request_bytes)
        if request_bytes == ONE + ONE:
            await asking.answer()
        clock.push(4 * HEAD_SECONDS)
        assert not await is_closed(asking)
        assert (await asking.ask(ONE))[0].startswith(b"HTTP/1.1 200")


async def test_a_body_that_comes_slowly_is_no_head() -> None:
    async with stage(forward=Forward.ALL) as on, raw(on.app) as asking:
        clock = Ahead(on.app)
        asking.writer.write(get(ORDER, "Content-Length: 4", method="POST"))
        for byte in b"a=bc":
            await asyncio.sleep(0.002)
            asking.writer.write(bytes([byte]))
            clock.push(5)
        await asking.answer()
        clock.push(2 * HEAD_SECONDS)
        assert not await is_closed(asking)


async def test_the_answer_that_is_under_way_is_given_though_the_next_head_is_late() -> None:
    async with stage() as on, raw(on.app) as asking:
        clock = Ahead(on.app)
        on.origin.set_fault(Fault.SLOW, delay_seconds=0.05)
        asking.writer.write(get("/api/v3/ping") + ONE[:20])
        await on.origin.wait_for(1)
        clock.push(HEAD_SECONDS)
        assert (await asking.answer())[1] == b"{}"
        clock.push(HEAD_SECONDS)
        assert await closes(asking)


async def test_operations_have_the_deadline_but_no_bound() -> None:
    async with stage(ops_port=0, max_connections=1) as on, AsyncExitStack() as stack:
        for _ in range(5):
            probe = await stack.enter_async_context(client(on.app.ops_url))
            assert (await probe.ask("/livez")).status == 200


# --- Bounds.


async def test_an_idle_connection_makes_room_for_a_new_one() -> None:
    async with stage(max_connections=2) as on, raw(on.app) as first, raw(on.app) as second:
        await first.ask(ONE)
        await asyncio.sleep(0.005)  # the clock of uvloop counts milliseconds
        await second.ask(ONE)
        async with raw(on.app) as third:
            assert (await third.ask(ONE))[0].startswith(b"HTTP/1.1 200")
            assert await closes(first)
            assert not await is_closed(second)
            assert on.app.room.count == 2
        assert on.metric("connections_closed_total", reason="idle") == 1
        assert on.metric("bounds_reached_total", setting="SIDECAR_MAX_CONNECTIONS") == 1
        assert on.metric("connections_limit") == 2


async def test_an_address_that_has_its_most_loses_one_of_its_own() -> None:
    async with stage(max_connections=10, max_connections_per_peer=1) as on, raw(on.app) as first:
        await first.ask(ONE)
        async with raw(on.app) as second:
            assert (await second.ask(ONE))[0].startswith(b"HTTP/1.1 200")
            assert await closes(first)
        assert on.metric("bounds_reached_total", setting="SIDECAR_MAX_CONNECTIONS_PER_PEER") == 1


async def test_where_nobody_is_idle_a_new_client_is_told_so() -> None:
    async with stage(max_connections=1) as on, raw(on.app) as busy:
        on.origin.set_fault(Fault.SLOW, delay_seconds=0.1)
        busy.writer.write(get("/api/v3/ping"))
        await on.origin.wait_for(1)
        async with raw(on.app) as refused:
            head, _, body = (await refused.end()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nConnection: close" in head
            assert b"detail=too-many-connections" in head
            assert json.loads(body)["code"] == -1008
        assert (await busy.answer())[1] == b"{}"


async def test_a_client_that_is_silent_loses_its_place_after_a_second() -> None:
    async with stage(max_connections=1) as on, raw(on.app) as silent:
        clock = Ahead(on.app)
        await received(on, 1)
        clock.push(UNASKED_SECONDS)
        async with raw(on.app) as new:
            assert (await new.ask(ONE))[0].startswith(b"HTTP/1.1 200")
            assert await closes(silent)


async def test_requests_over_their_bound_are_refused_and_never_sent() -> None:
    async with stage(max_requests=1) as on, raw(on.app) as one, raw(on.app) as other:
        await one.ask(get(INFO))
        on.origin.set_fault(Fault.SLOW, delay_seconds=0.1)
        one.writer.write(get("/api/v3/ping"))
        await on.origin.wait_for(2)
        head, body = await other.ask(get("/api/v3/time"))
        assert head.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 1\r\n" in head
        assert json.loads(body)["code"] == -1008
        assert (await one.answer())[1] == b"{}"
        assert on.asked("/api/v3/time") == 0
        assert (await other.ask(get("/api/v3/time")))[0].startswith(b"HTTP/1.1 200")


# --- What a kept connection is told, and the end of those that do not read.


async def test_the_time_that_a_connection_is_kept_is_announced_where_it_is_kept() -> None:
    async with stage(keep_alive_seconds=33) as on, raw(on.app) as asking:
        for _ in range(3):
            assert b"\r\nKeep-Alive: timeout=33\r\n" in (await asking.ask(get(INFO)))[0]
        assert fast_answers(on.app) == 1
        assert b"Keep-Alive: timeout=33" in (await asking.ask(get("/api/v3/nowhere")))[0]
        for request in (get("/api/v3/ping", "Connection: close"), get(INFO, "Connection: close")):
            async with raw(on.app) as leaving:
                assert b"Keep-Alive" not in (await leaving.ask(request))[0]
        on.app.draining = True
        assert b"Keep-Alive" not in (await asking.ask(get(INFO)))[0]


async def test_a_client_that_does_not_read_keeps_its_place_until_it_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unread, "STALL_SECONDS", 0.2)
    loop = asyncio.get_running_loop()
    async with stage(origin={"symbols": LARGE_SYMBOLS}, max_connections=2, keep_alive_seconds=0.1) as on:
        await on.ask(INFO)
        await received(on, 0)
        with ExitStack() as stack:
            for closing in ("close", "keep-alive"):
                reading = stack.enter_context(socket.socket())
                reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                reading.setblocking(False)
                await loop.sock_connect(reading, on.app.addresses[0])
                await loop.sock_sendall(reading, get(INFO, f"Connection: {closing}"))
                assert await loop.sock_recv(reading, 1)
            async with raw(on.app) as refused:
                assert (await refused.end()).startswith(b"HTTP/1.1 503")
            await received(on, 0)
        assert on.metric("connections_closed_total", reason="stalled") == 2
