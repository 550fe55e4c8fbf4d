"""The table "What the client gets when things fail", row by row: each fault with and without a stored entry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis
from yarl import URL

from tests.gateway.harness import INFO, Answer, Clock, age_block, client, gateway, stage
from tests.simulator import Fault, Simulator


@dataclass(frozen=True, slots=True)
class Row:
    """What a client gets for a fault when nothing is stored, and the reason that a stale answer gives."""

    fault: Fault
    status: int
    code: int | None
    reason: str
    retry_after: int | None = None
    """1.5 s longer than the origin says, rounded up: so far may its clock be from that of any replica."""
    options: tuple[tuple[str, Any], ...] = ()


TABLE = [
    Row(Fault.DOWN, 502, 0, "unreachable"),
    Row(Fault.HANG, 504, -1007, "too-slow"),
    Row(Fault.SLOW, 504, -1007, "too-slow", options=(("delay_seconds", 5.0),)),
    Row(Fault.RESET, 502, 0, "connection-lost"),
    Row(Fault.TRUNCATED, 502, -1001, "connection-lost"),
    Row(Fault.GARBAGE, 502, -1001, "bad-answer"),
    Row(Fault.INVALID_JSON, 502, -1001, "bad-answer"),
    Row(Fault.ERROR_BODY, 502, -1001, "bad-answer"),
    Row(Fault.INTERNAL_500, 500, -1000, "origin-error"),
    Row(Fault.BAD_GATEWAY_502, 502, -1001, "origin-error"),
    Row(Fault.OVERLOADED_503, 503, -1008, "origin-error"),
    Row(Fault.GATEWAY_TIMEOUT_504, 504, -1007, "origin-error"),
    Row(Fault.HTML_503, 503, None, "origin-error"),
    Row(Fault.RESTRICTED_451, 451, None, "restricted"),
    Row(Fault.TOO_MANY_429, 429, -1003, "back-off", 9, (("retry_after", 7),)),
    Row(Fault.TEAPOT_418, 418, -1003, "ban", 92, (("retry_after", 90),)),
    Row(Fault.HTML_403, 403, 0, "pause", 60),
]
QUICK: dict[str, Any] = {"upstream_seconds": 0.4, "upstream_connect_seconds": 0.4}


def is_the_row(answer: Answer, row: Row) -> None:
    assert answer.status == row.status
    assert answer.cache_status == f"binance-sidecar; detail={row.reason}"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get("retry-after") == (None if row.retry_after is None else str(row.retry_after))
    if row.fault is Fault.RESTRICTED_451:
        assert b"restricted location" in answer.body
    elif row.code is None:
        assert b"<H1>503 ERROR</H1>" in answer.body
        assert answer.headers["content-type"] == "text/html"
    else:
        assert answer.json["code"] == row.code
        assert answer.headers["content-type"] == "application/json;charset=UTF-8"


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory:"
    url: str = request.getfixturevalue("redis_url")
    return url


@pytest.mark.no_cover
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.fault.value)
async def test_nothing_stored(row: Row, store: str) -> None:
    async with stage(redis_url=store, **QUICK) as on:
        on.origin.set_fault(row.fault, **dict(row.options))
        is_the_row(await on.ask(), row)
        is_the_row(await on.ask(f"{INFO}?symbol=BTCUSDT"), row)
        on.origin.clear_fault()
        on.clock.push((row.retry_after or 0) + 65)
        await age_block(store, (row.retry_after or 0) + 65)
        await a_second_passes_in_redis(store)
        good = await on.ask()
        assert (good.status, good.cache_status) == (200, "binance-sidecar; fwd=uri-miss; stored")
        assert len(good.json["symbols"]) > 90


@pytest.mark.no_cover
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.fault.value)
async def test_something_stored(row: Row, store: str) -> None:
    async with stage(redis_url=store, **QUICK) as on:
        stored = await on.ask()
        on.clock.push(400)
        on.origin.set_fault(row.fault, **dict(row.options))
        for _ in range(3):
            stale = await on.ask()
            assert (stale.status, stale.body) == (200, stored.body)
            assert stale.cache_status == f"binance-sidecar; hit; ttl=-340; detail={row.reason}"
        one = await on.ask(f"{INFO}?symbol=BTCUSDT")
        assert [symbol["symbol"] for symbol in one.json["symbols"]] == ["BTCUSDT"]


@pytest.mark.no_cover
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.fault.value)
async def test_time_and_ping_have_nothing_to_fall_back_on(row: Row) -> None:
    async with stage(**QUICK) as on:
        on.origin.set_fault(row.fault, **dict(row.options))
        if row.fault is Fault.ERROR_BODY or row.status not in (429, 418, 403):
            is_the_row(await on.ask("/api/v3/time"), row)
        is_the_row(await on.ask("/api/v3/ping"), row)


@pytest.mark.no_cover
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.fault.value)
async def test_nothing_invalid_reaches_redis(row: Row, redis_url: str, redis: Redis) -> None:
    async with stage(redis_url=redis_url, **QUICK) as on:
        on.origin.set_fault(row.fault, **dict(row.options))
        await on.ask()
        await on.ask("/api/v3/executionRules?symbol=BTCUSDT")
        assert [key async for key in redis.scan_iter("binance-sidecar:spot:e*")] == []


async def a_second_passes_in_redis(store: str) -> None:
    """After a failed fill Redis keeps the replicas from trying in turn for a second of its own time."""
    if store != "memory:":
        async with Redis.from_url(store) as connection:
            await connection.delete("binance-sidecar:lock:spot:exchangeInfo:all")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as connection:
        yield connection


async def test_the_next_host_is_asked_when_one_cannot_be_reached() -> None:
    clock = Clock()
    async with Simulator(clock=clock) as dead, Simulator(clock=clock) as alive:
        dead.set_fault(Fault.DOWN)
        upstreams = (dead.url, alive.url)
        async with gateway(alive, clock, upstreams=upstreams) as app, client(app.url) as asking:
            assert (await asking.ask("/api/v3/ping")).status == 200
            assert (await asking.ask("/api/v3/time")).status == 200
            assert alive.count() == 2
            window = (await asking.ask("/status")).json["windows"][0]
            assert (window["used"], window["pending"]) == (2, 0)


async def test_a_broken_connection_is_charged_and_tried_once_more() -> None:
    clock = Clock()
    async with Simulator(clock=clock) as first, Simulator(clock=clock) as second:
        first.set_fault(Fault.RESET)
        upstreams = (first.url, second.url)
        async with gateway(first, clock, upstreams=upstreams) as app, client(app.url) as asking:
            assert (await asking.ask()).status == 200
            assert (first.count(), second.count()) == (1, 1)
            window = (await asking.ask("/status")).json["windows"][0]
            assert window["used"] == 40


async def test_a_kept_connection_that_breaks_is_not_used_for_a_silent_second_try() -> None:
    async with stage() as on:
        await on.ask("/api/v3/time")
        on.origin.set_fault(Fault.RESET)
        assert (await on.ask("/api/v3/time")).status == 502
        assert on.asked("/api/v3/time") == 2


async def test_a_body_above_the_bound_is_refused() -> None:
    async with stage(origin={"symbols": 400}, max_body_bytes=1 << 20) as on:
        answer = await on.ask()
        assert (answer.status, answer.json["code"]) == (502, -1001)


async def test_unknown_paths_and_methods_are_told_in_json() -> None:
    async with stage() as on:
        unknown = await on.ask("/api/v3/nothing?symbol=BTCUSDT")
        assert (unknown.status, unknown.json["code"]) == (404, -1020)
        posted = await on.ask("/api/v3/ping", method="POST")
        assert (posted.status, posted.json["code"], posted.headers["allow"]) == (405, -1020, "GET, HEAD, OPTIONS")
        assert on.asked() == 0


@pytest.mark.parametrize("fast_lane", [True, False])
async def test_malformed_requests_are_told_in_json_and_fill_no_log(
    fast_lane: bool, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(fast_lane=fast_lane) as on:
        address = URL(on.app.url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b'GET /api/v3/exchangeInfo?symbols=["A", "B"] HTTP/1.1\r\nHost: secret\r\n\r\n')
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.splitlines()[0].endswith(b"400 Bad Request")
        assert b"Content-Type: application/json;charset=UTF-8" in head
        assert b"detail=malformed" in head
        assert body == b'{"code":-1000,"msg":"The request is not HTTP that can be read."}'
        assert "Traceback" not in capsys.readouterr().out + caplog.text
