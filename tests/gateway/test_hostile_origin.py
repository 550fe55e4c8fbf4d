"""An origin that means harm, or is broken: nothing of it reaches a client unread, and nothing invalid is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from proxy.app import Application, run_gateway
from proxy.configuration.kinds import SecretStr
from tests.environment import settings_of
from tests.gateway.harness import INFO, Client, client

LIMITS = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}]
KLINES = "/api/v3/klines?symbol=BTCUSDT&interval=1m"
SECONDS = 0.4


def document(*symbols: object) -> bytes:
    now_ms = int(time.time() * 1000)
    body = {"timezone": "UTC", "serverTime": now_ms, "rateLimits": LIMITS, "exchangeFilters": [], "symbols": symbols}
    return orjson.dumps(body)


def answer(body: bytes, *headers: bytes, content_type: bytes = b"application/json;charset=UTF-8") -> bytes:
    lines = (b"HTTP/1.1 200 OK", b"Content-Type: " + content_type, b"Content-Length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass(slots=True)
class Origin:
    """Writes the same bytes to whoever connects; `endless` ones again and again."""

    text: bytes = b""
    endless: bytes = b""
    sent_bytes: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(self.text)
                while self.endless:
                    writer.write(self.endless)
                    await writer.drain()
                    self.sent_bytes += len(self.endless)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def before(origin: Origin, redis_url: str = "memory:") -> AsyncIterator[tuple[Application, Client]]:
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    chosen: dict[str, Any] = {
        "port": 0,
        "upstreams": (f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",),
        "venue": "spot",
        "keep_warm": "never",
        "redis_url": SecretStr(redis_url),
        "upstream_seconds": SECONDS,
        "log_level": "error",
    }
    try:
        async with run_gateway(settings_of(**chosen)) as app, client(app.url) as asking:
            yield app, asking
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "body",
    [
        document(),
        document(1, 2),
        document({}),
        document({"symbol": 7, "status": "TRADING"}),
        document({"symbol": "BTCUSDT", "status": "TRADING"}, 1),
        document("BTCUSDT"),
        document(None),
    ],
)
async def test_a_first_document_that_proves_nothing_is_stored_nowhere(body: bytes, redis_url: str) -> None:
    origin = Origin(answer(body))
    async with before(origin, redis_url) as (_, asking):
        for target in (INFO, f"{INFO}?symbol=BTCUSDT"):
            refused = await asking.ask(target)
            assert (refused.status, refused.json["code"]) == (502, -1001)
        async with Redis.from_url(redis_url) as redis:
            assert [key async for key in redis.scan_iter("binance-sidecar:spot:e*")] == []


@pytest.mark.no_cover
@pytest.mark.parametrize("target", [INFO, KLINES, "/api/v3/ping"])
@pytest.mark.parametrize(
    "endless",
    [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000],
    ids=["100", "103"],
)
async def test_interim_answers_without_end_are_cut_off(target: str, endless: bytes) -> None:
    origin = Origin(endless=endless)
    async with before(origin) as (_, asking):
        refused = await asking.ask(target)
        assert (refused.status, refused.json["code"]) == (502, -1001)
    assert origin.sent_bytes < 8 << 20, "what the sockets hold, and no more"


@pytest.mark.no_cover
@pytest.mark.parametrize("control", [b"\x00", b"\x01", b"\x0b", b"\x1b[31m", b"\x7f", b"\rb", b"\n b"])
async def test_an_answer_with_a_control_character_in_a_header_is_none(control: bytes) -> None:
    good, origin = document({"symbol": "BTCUSDT", "status": "TRADING"}), Origin()
    hostile = {
        INFO: answer(good, b"X-MBX-SBE-DEPRECATED: a" + control),
        KLINES: answer(good, content_type=b"application/json" + control),
        "/api/v3/ping": answer(good, b"Retry-After: 1" + control),
    }
    async with before(origin) as (_, asking):
        for target, text in hostile.items():
            origin.text = text
            refused = await asking.ask(target)
            assert (refused.status, refused.json["code"]) == (502, -1001)


@pytest.mark.parametrize("value", [b"caf\xc3\xa9", b"\xff\xfe", b"a\tb", b"\xc2\x85"])
async def test_what_is_no_printable_ascii_in_a_header_stays_here(value: bytes) -> None:
    hostile = answer(b"[]", b"X-MBX-A: " + value, b"X-MBX-B: b", content_type=b"text/" + value)
    async with before(Origin(hostile)) as (_, asking):
        passed = await asking.ask(KLINES)
        assert (passed.status, passed.body) == (200, b"[]")
        assert passed.headers["content-type"] in ("application/octet-stream", "text/a b")
        assert "x-mbx-a" not in passed.headers
        assert passed.headers["x-mbx-b"] == "b"


@pytest.mark.parametrize("coding", [b"caf\xc3\xa9", b"\xff\xfe", b"a\tb", b"gzip, gzip"])
async def test_an_unknown_coding_can_be_told_in_any_characters(coding: bytes) -> None:
    async with before(Origin(answer(b"[]", b"Content-Encoding: " + coding))) as (_, asking):
        for target in (INFO, KLINES):
            refused = await asking.ask(target)
            assert (refused.status, refused.json["code"]) == (502, -1001)
