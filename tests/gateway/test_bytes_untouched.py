"""Signatures cover bytes: whatever a client signs and sends, the origin gets those bytes, and nothing besides.

Requests are written on a socket, so that no library spells them anew, and compared with what the stand-in read.
"""

from __future__ import annotations

import pytest

from tests.gateway.generated import LISTED, Generated, Generator
from tests.gateway.harness import Stage, hosts, market
from tests.server.raw import raw
from tests.simulator import ApiName, Seen
from tests.simulator.endpoints import api_of
from tests.sizes import sized

REQUESTS = sized(quick=100, usual=150, long=20_000)
A_MINUTE = 4
"""So many at most: the dearest costs 50 of the 400 that options have."""
OURS = frozenset((b"host", b"content-length", b"accept-encoding", b"user-agent", b"via"))


@pytest.mark.no_cover
async def test_method_target_and_body_arrive_as_sent_and_no_header_that_is_not_listed() -> None:
    generate = Generator(seed=15)
    async with market(forward="all", origin={"raw_limit": 10**7}) as on, raw(on.app) as connection:
        for number in range(REQUESTS):
            if number % A_MINUTE == 0:
                on.clock.push(60.0)
            sent = generate()
            status = await connection.status(sent.wire)
            assert on.asked() == number + 1, (number, sent, status)
            check(on, sent, on.origin.requests[-1])
            assert status == on.origin.requests[-1].status, (number, sent)


def check(on: Stage, sent: Generated, seen: Seen) -> None:
    """What arrived is what was sent, at the host of its API."""
    assert (seen.method, seen.target, seen.body) == (sent.method, sent.target, sent.body)
    assert seen.host is api_of(seen.path, None)
    names = [(name.lower(), value) for name, value in seen.raw_headers]
    listed = [(name, value) for name, value in names if name in LISTED or name.startswith(b"x-mbx-")]
    assert sorted(listed) == sorted(sent.listed())
    told = dict(names)
    assert told.keys() - {name for name, _ in listed} <= OURS
    assert told[b"host"].decode() == host_of(on, seen.host)
    assert told[b"accept-encoding"] in (b"gzip", b"identity")
    assert told[b"user-agent"].startswith(b"binance-sidecar/")
    assert int(told.get(b"content-length", b"0")) == len(sent.body)


def host_of(on: Stage, api: ApiName | None) -> str:
    """Host and port of an API's own address, as the gateway knows it."""
    setting = {
        ApiName.USD_FUTURES: "usd_futures_upstreams",
        ApiName.COIN_FUTURES: "coin_futures_upstreams",
        ApiName.OPTIONS: "options_upstreams",
    }.get(api or ApiName.SPOT, "upstreams")
    url: str = hosts(on.origin)[setting][0]
    return url.partition("//")[2]


@pytest.mark.parametrize(
    "line",
    ["GET /api/v3/order?signature=1 HTTP/1.1\r\nHost: a\r\nX-MBX-APIKEY: a\rb\r\n", "GET  /api/v3/order HTTP/1.1\r\n"],
)
async def test_what_is_no_request_reaches_nobody(line: str) -> None:
    async with market(forward="all") as on, raw(on.app) as connection:
        assert await connection.status(f"{line}\r\n".encode()) == 400
        assert on.asked() == 0


HALF = b"POST /api/v3/order HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsymb"
BAD_CHUNK = b"POST /api/v3/order HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsymb\r\nzz\r\n"


async def test_a_body_that_breaks_off_reaches_nobody_and_holds_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with market(forward="all") as on:
        async with raw(on.app) as ended, raw(on.app) as left:
            for connection in (ended, left):
                connection.writer.write(HALF)
                await connection.writer.drain()
            ended.half_close()
            assert await ended.end() == b"", "the connection is closed, without an answer that could be taken for one"
        assert on.asked() == 0
    assert "unexpected_error" not in caplog.messages


async def test_a_body_whose_chunks_cannot_be_read_reaches_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with market(forward="all") as on:
        async with raw(on.app) as connection:
            assert await connection.status(BAD_CHUNK) == 400
            assert await connection.end() == b""
        assert on.asked() == 0
    assert "unexpected_error" not in caplog.messages
