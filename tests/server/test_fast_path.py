"""Who may use the fast path, and what it leaves alone: transcripts on raw sockets."""

from __future__ import annotations

import ast
import asyncio
import inspect
from contextlib import suppress

import pytest
from aiohttp.web_protocol import RequestHandler

from proxy.app import Application
from proxy.server import fast_path, unread
from proxy.server.fast_path import FastPathProtocol, missing_private_names
from proxy.settings import load
from tests.events import capture_logs
from tests.gateway.harness import INFO, Clock, gateway, stage
from tests.server.raw import fast_answers, get, raw
from tests.server.twins import until
from tests.simulator import Simulator

KEEPALIVE_SECONDS = 0.5
STALL_SECONDS = 0.5
LARGE_SYMBOLS = 1500
"""Some 7 MB: more than the kernel takes ahead of a reader that does not read."""


async def warmed(app: Application, *requests: bytes) -> None:
    """Ask twice: the first answer fills, the second is remembered."""
    async with raw(app) as asking:
        for _ in range(3):
            for request in requests:
                await asking.ask(request)


async def test_a_request_that_was_answered_before_is_answered_by_the_lane() -> None:
    async with stage() as on, raw(on.app) as asking:
        miss, _ = await asking.ask(get(INFO))
        learned, body = await asking.ask(get(INFO))
        assert fast_answers(on.app) == 0
        fast, again = await asking.ask(get(INFO))
        assert fast_answers(on.app) == 1
        assert b"hit" not in miss
        assert (fast, again) == (learned, body)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Basic eDp5",
        "Cookie: a=b",
        "Expect: 100-continue",
        "Upgrade: h2c",
        "Connection: close",
        "Connection: keep-alive, Upgrade",
        "Connection: keep-alive\r\nConnection: upgrade",
        "Content-Length: 0",
        "Transfer-Encoding: chunked",
        "X-Long: " + "a" * 5000,
    ],
)
async def test_requests_that_are_more_than_their_bytes_are_never_remembered(header: str) -> None:
    async with stage() as on:
        await on.ask(f"{INFO}?symbol=BTCUSDT")
        for _ in range(3):
            async with raw(on.app) as asking:
                end = b"0\r\n\r\n" if "chunked" in header else b""
                await asking.ask(get(f"{INFO}?symbol=BTCUSDT", header) + end)
        assert fast_answers(on.app) == 0


async def test_keep_alive_said_aloud_is_no_reason_to_be_slow() -> None:
    async with stage() as on:
        await warmed(on.app, get(INFO, "Connection: Keep-Alive"))
        assert fast_answers(on.app) == 1


async def test_http_1_0_goes_the_ordinary_way() -> None:
    async with stage() as on:
        request = get(INFO, "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
        await warmed(on.app, request)
        assert fast_answers(on.app) == 0


async def test_answers_come_in_the_order_of_the_requests() -> None:
    async with stage() as on:
        await warmed(on.app, get())
        on.origin.answer_delay_seconds = 0.05
        async with raw(on.app) as asking:
            asking.writer.write(get("/api/v3/ping"))
            await on.origin.wait_for(2)  # the ping is with the origin, the next request comes on the wire
            asking.writer.write(get())
            assert (await asking.answer())[1] == b"{}"
            assert b"BTCUSDT" in (await asking.answer())[1]


@pytest.mark.realtime
async def test_idle_connections_of_the_lane_are_closed_after_the_keep_alive_time() -> None:
    loop = asyncio.get_running_loop()
    async with stage(keep_alive_seconds=KEEPALIVE_SECONDS) as on, raw(on.app) as asking:
        await warmed(on.app, get())
        started, hits = loop.time(), fast_answers(on.app)
        last = started
        while last - started < 1.5 * KEEPALIVE_SECONDS:
            last = loop.time()
            await asking.ask(get())
            await asyncio.sleep(KEEPALIVE_SECONDS / 5)
        assert fast_answers(on.app) >= hits + 5
        assert await asking.end() == b""
        assert loop.time() - last > 0.9 * KEEPALIVE_SECONDS


async def test_a_gateway_that_drains_answers_the_ordinary_way_and_closes() -> None:
    async with stage() as on, raw(on.app) as asking:
        await warmed(on.app, get())
        before = fast_answers(on.app)
        on.app.draining = True
        head, _ = await asking.ask(get())
        assert b"Connection: close\r\n" in head
        assert await asking.end() == b""
        assert fast_answers(on.app) == before


@pytest.mark.no_cover
async def test_a_reader_that_does_not_keep_up_goes_the_ordinary_way() -> None:
    async with stage(origin={"symbols": LARGE_SYMBOLS}) as on:
        await warmed(on.app, get(INFO), get())
        before = fast_answers(on.app)
        async with raw(on.app, receive_bytes=4096) as asking:
            asking.writer.write(get(INFO))
            await until(lambda: fast_answers(on.app) > before)
            asking.writer.write(get())
            await asyncio.sleep(0.05)  # read and queued: it must not overtake, nor pile up in the transport
            (_, document), (_, symbol) = await asking.answer(), await asking.answer()
            assert len(document) > 1 << 20
            assert b"BTCUSDT" in symbol
            assert fast_answers(on.app) == before + 1


@pytest.mark.no_cover
async def test_a_slow_reader_gets_all_of_its_answer_though_the_gateway_stops() -> None:
    clock = Clock()
    async with Simulator(clock=clock, symbols=LARGE_SYMBOLS) as origin:
        run_gateway = gateway(origin, clock, shutdown_seconds=5.0)
        app = await run_gateway.__aenter__()
        await warmed(app, get(INFO))
        before = fast_answers(app)
        async with raw(app, receive_bytes=4096) as asking:
            asking.writer.write(get(INFO))
            await until(lambda: fast_answers(app) > before)
            stopping = asyncio.create_task(run_gateway.__aexit__(None, None, None))
            await asyncio.sleep(0.1)
            assert not stopping.done()
            _, document = await asking.answer()
            assert document.endswith(b"]}")
            await stopping


@pytest.mark.realtime
@pytest.mark.parametrize("is_fast", [True, False])
async def test_a_reader_that_takes_nothing_is_cut_off_and_a_slow_one_is_not(
    monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    monkeypatch.setattr(unread, "STALL_SECONDS", STALL_SECONDS)
    async with stage(origin={"symbols": LARGE_SYMBOLS}, fast_lane=is_fast) as on:
        await warmed(on.app, get(INFO))
        async with raw(on.app, receive_bytes=4096) as slow, raw(on.app, receive_bytes=4096) as stalled:
            for client in (slow, stalled):
                client.writer.write(get(INFO))
            with capture_logs() as logs:
                while not any(line["event"] == "client_stalled" for line in logs):
                    await slow.reader.readexactly(52 << 10)
                    await asyncio.sleep(STALL_SECONDS / 60)
            with suppress(ConnectionError):
                assert not (await stalled.end()).endswith(b"]}")
            slow.writer.write(get("/no/such/path", "Connection: close"))
            assert b"HTTP/1.1 404" in await slow.end()
        assert fast_answers(on.app) == (3 if is_fast else 0)


async def test_somebody_asks_for_the_document_once_a_minute_even_on_the_lane() -> None:
    async with stage(fresh_seconds=3600) as on:
        await warmed(on.app, get())
        asked_at = on.app.local.asked_at
        async with raw(on.app) as asking:
            on.clock.push(59.5)
            await asking.ask(get())
            assert on.app.local.asked_at == asked_at
            on.clock.push(0.5)
            await asking.ask(get())
            assert on.app.local.asked_at == on.clock.now


async def test_an_entry_does_not_hide_from_the_lane_that_the_document_is_stale() -> None:
    async with stage() as on:
        await on.ask(INFO)
        on.clock.push(55)
        await warmed(on.app, get(f"{INFO}?symbol=NOSUCHCOIN"))
        assert fast_answers(on.app) == 1
        on.clock.push(6)
        async with raw(on.app) as asking:
            await asking.ask(get(f"{INFO}?symbol=NOSUCHCOIN"))
        await on.app.fills.drain(5)
        assert [seen.raw_query for seen in on.origin.requests] == ["", "symbol=NOSUCHCOIN", ""]


async def test_what_is_stored_for_others_slows_nobody_down() -> None:
    async with stage() as on, raw(on.app) as asking:
        await warmed(on.app, get(INFO), get())
        before = fast_answers(on.app)
        for number in range(5):
            await on.ask(f"/api/v3/executionRules?symbol=NAME{number}")
            await asking.ask(get(INFO))
            await asking.ask(get())
        assert fast_answers(on.app) == before + 10


async def test_one_setting_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_FAST_LANE", "false")
    async with stage(fast_lane=load().fast_lane) as on:
        await warmed(on.app, get(), get())
        assert fast_answers(on.app) == 0


async def test_an_aiohttp_that_changed_turns_it_off_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_path, "PRIVATE_FIELDS", (*fast_path.PRIVATE_FIELDS, "_gone"))
    with capture_logs() as logs:
        async with stage() as on:
            await warmed(on.app, get(), get())
            assert fast_answers(on.app) == 0
    told = [entry for entry in logs if entry["event"] == "fast_path_off"]
    assert [entry["missing"] for entry in told] == [["_gone"]]


@pytest.mark.parametrize("name", [*fast_path.PRIVATE_FIELDS, *fast_path.PRIVATE_METHODS])
def test_the_guard_misses_each_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    class Slim:
        __slots__ = tuple(known for known in fast_path.PRIVATE_FIELDS if known != name)

    for method in fast_path.PRIVATE_METHODS:
        if method != name:
            setattr(Slim, method, print)
    monkeypatch.setattr(fast_path, "RequestHandler", Slim)
    assert missing_private_names() == [name]


def test_this_aiohttp_is_the_one_that_the_lane_was_made_for() -> None:
    assert missing_private_names() == []


def test_the_guard_knows_every_private_name_that_the_fast_path_uses() -> None:
    own = (set(FastPathProtocol.__slots__) | set(vars(FastPathProtocol))) - {*fast_path.PRIVATE_METHODS}
    tree = ast.parse(inspect.getsource(fast_path))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")}
    private = {name for name in used if not name.startswith("__")} - own - {"_make"}
    assert private == {*fast_path.PRIVATE_FIELDS, *fast_path.PRIVATE_METHODS}
    assert issubclass(FastPathProtocol, RequestHandler)
