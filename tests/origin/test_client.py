"""The client of the origin, against the stand-in and against a server that sends any bytes it is told."""

from __future__ import annotations

import asyncio
import base64
import errno
import gzip
import shutil
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from proxy import __version__
from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.endpoints.venues import PUBLIC_DATA_HOST
from proxy.core.messages import ClientRequest, OriginResponse
from proxy.core.query.canonical import Bypass, CanonicalQuery, canonicalize
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import AnswerCut, BadAnswer, Banned, Cause, ConnectionLost, TooSlow, Unreachable, UpstreamFailed
from proxy.forward.failures import cause_of_system as cause_of
from proxy.origin.client import COOL_DOWN_SECONDS, Upstream
from tests.events import capture_logs
from tests.simulator import Fault, Simulator

PING, TIME = "/api/v3/ping", "/api/v3/time"
INFO, RULES = "/api/v3/exchangeInfo", "/api/v3/executionRules"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-MBX-USED-WEIGHT-1M: 7\r\n"
LENGTH_2 = HEAD + b"Content-Length: 2\r\n\r\n"
AWAY = "http://127.0.0.1:1"


def query(path: str = PING, raw_query: str = "", **headers: Any) -> CanonicalQuery:
    read = canonicalize(ENDPOINTS[path], ClientRequest(method="GET", path=path, raw_query=raw_query, **headers))
    if isinstance(read, Bypass):
        return read.query
    assert isinstance(read, CanonicalQuery)
    return read


@dataclass(slots=True)
class Clock:
    """Monotonic time that is pushed."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Told:
    """What the observer was told."""

    attempts: list[tuple[str, str]] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)

    def upstream_answered(self, host: str, *, status: str, seconds: float) -> None:
        assert seconds >= 0
        self.attempts.append((host, status))

    def connection_failed(self, host: str, *, cause: str) -> None:
        assert host
        self.causes.append(cause)


class Client(Upstream):
    """One whose requests may be sent at any moment."""

    total_seconds = 5.0

    async def send(
        self,
        base_url: str,
        query: UpstreamQuery,
        *,
        check: Callable[[], None] = lambda: None,
        seconds: float | None = None,
    ) -> OriginResponse:
        return await super().send(base_url, query, check=check, seconds=seconds or self.total_seconds)


@asynccontextmanager
async def upstream(
    *base_urls: str, told: Told | None = None, total_seconds: float = 5.0, **changed: Any
) -> AsyncIterator[Client]:
    options: dict[str, Any] = {"connect_seconds": 2.0, "max_body_bytes": 1 << 22}
    client = Client(base_urls, observer=told or Told(), **(options | changed))
    client.total_seconds = total_seconds
    async with client:
        yield client


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Raw:
    """A server that reads a request and then does as it is told."""

    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    """The requests, up to the empty line."""


@asynccontextmanager
async def raw_server(act: Serve) -> AsyncIterator[Raw]:
    raw = Raw()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            raw.heads.append(await reader.readuntil(b"\r\n\r\n"))
            await act(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield raw


def sending(text: bytes) -> Serve:
    """Send these bytes, then close."""

    async def act(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return act


def hanging(text: bytes) -> Serve:
    """Send these bytes, then keep silent until the client leaves."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await reader.read()

    return act


def resetting(text: bytes) -> Serve:
    """Send these bytes, then reset the connection."""

    async def act(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return act


# --- Good answers.


async def test_an_answer_is_whole_with_lower_case_names_and_the_times_of_the_exchange() -> None:
    times = iter((100.0, 101.0))
    async with Simulator() as origin, upstream(origin.url, wall=lambda: next(times)) as up:
        response = await up.send(origin.url, query(TIME))
    assert response.status == 200
    assert response.body.startswith(b'{"serverTime":')
    assert response.gzip is None
    assert response.headers["x-mbx-used-weight-1m"] == "1"
    assert all(name == name.lower() for name in response.headers)
    assert (response.sent_at, response.received_at) == (100.0, 101.0)


async def test_a_compressed_answer_is_kept_in_both_forms() -> None:
    async with Simulator() as origin, upstream(origin.url) as up:
        response = await up.send(origin.url, query(INFO))
    assert response.gzip is not None
    assert gzip.decompress(response.gzip) == response.body
    assert response.body.startswith(b'{"timezone"')


@pytest.mark.parametrize(
    "fault", [Fault.TOO_MANY_429, Fault.TEAPOT_418, Fault.HTML_403, Fault.RESTRICTED_451, Fault.HTML_503]
)
async def test_a_status_is_only_a_number_here(fault: Fault) -> None:
    async with Simulator() as origin, upstream(origin.url) as up:
        origin.set_fault(fault)
        response = await up.send(origin.url, query(TIME))
    assert response.status == int(fault.value[-3:])


async def test_a_redirect_is_not_followed() -> None:
    async with Simulator() as elsewhere:
        moved = b"HTTP/1.1 302 Found\r\nLocation: %b/\r\nContent-Length: 0\r\n\r\n" % elsewhere.url.encode()
        async with raw_server(sending(moved)) as raw, upstream(raw.url) as up:
            assert (await up.send(raw.url, query())).status == 302
        assert elsewhere.count() == 0


# --- What is sent.


@pytest.mark.parametrize(
    ("asked", "line", "more"),
    [
        (query(), b"GET /api/v3/ping HTTP/1.1", {}),
        (query(INFO, "symbol=BTCUSDT"), b"GET /api/v3/exchangeInfo?symbol=BTCUSDT HTTP/1.1", {}),
        (
            query(INFO, 'symbols=["A","B"]'),
            b"GET /api/v3/exchangeInfo?symbols=%5B%22A%22,%22B%22%5D HTTP/1.1",
            {},
        ),
        (query(TIME, time_unit="MICROSECOND"), b"GET /api/v3/time HTTP/1.1", {b"x-mbx-time-unit": b"MICROSECOND"}),
        (
            query(accept="application/sbe", sbe_schema="3:5"),
            b"GET /api/v3/ping HTTP/1.1",
            {b"accept": b"application/sbe", b"x-mbx-sbe": b"3:5"},
        ),
    ],
)
async def test_only_the_headers_that_select_an_answer_go_to_the_origin(
    asked: CanonicalQuery, line: bytes, more: dict[bytes, bytes]
) -> None:
    async with raw_server(sending(LENGTH_2 + b"{}")) as raw, upstream(raw.url) as up:
        await up.send(raw.url, asked)
    first, *fields = raw.heads[0].rstrip(b"\r\n").split(b"\r\n")
    sent = {name.lower(): value for name, _, value in (line.partition(b": ") for line in fields)}
    assert first == line
    expected = {
        b"host": raw.url.removeprefix("http://").encode(),
        b"user-agent": f"binance-sidecar/{__version__}".encode(),
        b"accept-encoding": b"gzip",
        b"accept": b"application/json",
    }
    assert sent == expected | more


async def test_what_a_client_wrote_oddly_arrives_as_it_was_written() -> None:
    async with raw_server(sending(LENGTH_2 + b"{}")) as raw, upstream(raw.url) as up:
        await up.send(raw.url, query(INFO, "symbols=%5B%5D&x=%zz"))
    assert raw.heads[0].startswith(b"GET /api/v3/exchangeInfo?symbols=%5B%5D&x=%zz HTTP/1.1\r\n")


async def test_cookies_are_not_kept() -> None:
    answer = HEAD + b"Set-Cookie: a=b\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    async with raw_server(sending(answer)) as raw:
        url = raw.url.replace("127.0.0.1", "localhost")  # of an address no client keeps cookies
        async with upstream(url) as up:
            await up.send(url, query())
            await up.send(url, query())
    assert b"cookie" not in raw.heads[1].lower()


# --- Errors.

BIG = gzip.compress(bytes(1 << 23))


def encoded(coding: bytes, body: bytes) -> bytes:
    return HEAD + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body)) + body


@pytest.mark.parametrize(
    ("act", "error", "has_head"),
    [
        (sending(b""), ConnectionLost, False),
        (resetting(b""), ConnectionLost, False),
        (sending(HEAD), ConnectionLost, False),
        (sending(LENGTH_2 + b"{"), AnswerCut, True),
        (resetting(LENGTH_2 + b"{"), AnswerCut, True),
        (sending(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), AnswerCut, True),
        (hanging(b""), TooSlow, False),
        (hanging(HEAD), TooSlow, False),
        (hanging(LENGTH_2 + b"{"), TooSlow, True),
        (sending(b"\x16\x03\x01 not HTTP\r\n\r\n"), BadAnswer, False),
        (sending(b"HTTP/1.1 20x OK\r\n\r\n"), BadAnswer, False),
        (sending(HEAD + b"Content-Length: -1\r\n\r\n"), BadAnswer, False),
        (sending(HEAD + b"X-MBX-A: a\x00b\r\n\r\n"), BadAnswer, False),
        (sending(HEAD + b"X-MBX-A: a\x1b[31m\r\n\r\n"), BadAnswer, False),
        (sending(HEAD + b"X-MBX-A: a\rb\r\n\r\n"), BadAnswer, False),
        (sending(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100_000), BadAnswer, False),
        (sending(b"HTTP/1.1 100 Continue\r\n" + b"A: 1\r\n" * 100_000), BadAnswer, False),
        (sending(HEAD + b"Content-Length: %d\r\n\r\n" % (1 << 23) + bytes(1 << 23)), BadAnswer, True),
        (sending(encoded(b"gzip", BIG)), BadAnswer, True),
        (sending(encoded(b"gzip", gzip.compress(b"{}")[:-3])), BadAnswer, True),
        (sending(encoded(b"gzip", b"{}")), BadAnswer, True),
        (sending(encoded(b"br", b"{}")), BadAnswer, True),
    ],
    ids=[
        "closed before the head",
        "reset before the head",
        "closed in the head",
        "closed in the body",
        "reset in the body",
        "closed between chunks",
        "silent",
        "silent in the head",
        "silent in the body",
        "not HTTP",
        "no status",
        "no length",
        "NUL in a header",
        "an escape in a header",
        "a lone CR in a header",
        "interim answers without end",
        "an interim answer without end",
        "too large",
        "too large when decompressed",
        "gzip cut short",
        "not gzip",
        "another coding",
    ],
)
async def test_each_way_of_failing_is_one_error_and_keeps_the_head_where_one_came(
    act: Serve, error: type[UpstreamFailed], has_head: bool
) -> None:
    told = Told()
    async with raw_server(act) as raw, upstream(raw.url, told=told, total_seconds=0.3) as up:
        with pytest.raises(UpstreamFailed) as caught:
            await up.send(raw.url, query())
        assert up.health() == {raw.url.removeprefix("http://"): False}
    assert type(caught.value) is error
    assert caught.value.headers.get("x-mbx-used-weight-1m") == ("7" if has_head else None)
    assert told.attempts == [(raw.url.removeprefix("http://"), error.reason)]
    assert len(raw.heads) == 1, "nothing is sent twice behind the ledger's back"


# --- Why a connection failed.


async def test_a_host_that_fails_now_and_then_is_logged_once_a_minute_for_each_cause() -> None:
    clock, serves = Clock(), iter([True, False] * 100)

    async def now_and_then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if next(serves):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(now_and_then, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with capture_logs() as events:
        async with server, upstream(url, monotonic=clock) as up:
            for _ in range(100):
                await up.send(url, query())
                with pytest.raises(ConnectionLost):
                    await up.send(url, query())
                clock.now += 1.3
    told = [event for event in events if event["event"] == "connection_failed"]
    assert [event["cause"] for event in told] == ["closed"] * 3
    assert "None" not in {event["error"] for event in told}


async def cause(url: str, *, connect_seconds: float = 2.0, proxy: str | None = None) -> str:
    """The cause that the error, the metric and the log tell alike."""
    told = Told()
    proxies = {url: URL(proxy)} if proxy else None
    with capture_logs() as events:
        async with upstream(url, told=told, connect_seconds=connect_seconds, proxies=proxies) as up:
            with pytest.raises(Unreachable):
                await up.send(url, query())
            with pytest.raises(Unreachable) as caught:
                await up.send(url, query())
    host = url.partition("//")[2]
    assert caught.value.msg == f"{host} cannot be reached: {caught.value.cause.words}."
    assert told.causes == [caught.value.cause.value] * 2
    assert [(event["host"], event["cause"]) for event in events] == [(host, told.causes[0])], "once for one cause"
    return told.causes[0]


async def test_a_refused_connection() -> None:
    assert await cause(AWAY) == "refused"


async def test_a_name_that_nobody_has() -> None:
    assert await cause("http://nobody.invalid") == "dns"


@pytest.mark.parametrize(
    ("text", "expected"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", {"tls"}), (b"", {"reset", "closed"})]
)
async def test_a_host_that_does_not_speak_tls(text: bytes, expected: set[str]) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        assert await cause(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") in expected


async def test_a_host_that_lets_nobody_in() -> None:
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        assert await cause(f"http://127.0.0.1:{full.getsockname()[1]}", connect_seconds=0.2) == "timeout"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
async def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    made = await asyncio.create_subprocess_exec(
        *("openssl", *make.split(), "-keyout", str(key), "-out", str(certificate)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        assert await cause(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") == "certificate"


async def test_a_proxy_that_is_away() -> None:
    for url in ("http://one.example", "https://one.example"):
        assert await cause(url, proxy=AWAY) == "proxy"


async def test_a_proxy_that_refuses_the_tunnel() -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(sending(refusal)) as proxy:
        assert await cause("https://one.example", proxy=proxy.url) == "proxy"
        assert proxy.heads[0].startswith(b"CONNECT one.example:443 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("act", "expected"),
    [(sending(b""), "closed"), (resetting(b""), "reset"), (sending(LENGTH_2 + b"{"), "closed")],
    ids=["before the head", "reset", "in the body"],
)
async def test_a_connection_that_breaks_tells_its_cause_too(act: Serve, expected: str) -> None:
    told = Told()
    async with raw_server(act) as raw, upstream(raw.url, told=told) as up:
        with pytest.raises(ConnectionLost):
            await up.send(raw.url, query())
    assert told.causes == [expected]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENETUNREACH, Cause.NETWORK),
        (errno.EHOSTUNREACH, Cause.NETWORK),
        (errno.ETIMEDOUT, Cause.TIMEOUT),
        (errno.ECONNRESET, Cause.RESET),
        (errno.EMFILE, Cause.OTHER),
    ],
)
def test_the_systems_errors_have_their_words(number: int, expected: Cause) -> None:
    assert cause_of(OSError(number, "text")) is expected


# --- The check.


async def test_the_check_is_the_last_thing_before_the_first_byte() -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        arrived.append(await reader.read(1))
        ended.set()
        writer.close()

    accepted, ended, arrived, told = asyncio.Event(), asyncio.Event(), list[bytes](), Told()
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def check() -> None:
        raise Banned("banned")

    async with server:
        async with upstream(url, told=told) as up:
            with pytest.raises(Banned):
                await up.send(url, query(), check=check)
            await accepted.wait()
            assert arrived == [], "the connection is kept for the next request"
            assert (told.attempts, list(up.health().values())) == ([], [True])
        await ended.wait()
    assert arrived == [b""]


async def test_a_kept_connection_is_checked_too() -> None:
    checked = []
    async with Simulator() as origin, upstream(origin.url) as up:
        for number in range(3):
            await up.send(origin.url, query(), check=lambda number=number: checked.append(number))  # type: ignore[misc]
    assert checked == [0, 1, 2]


async def test_a_deadline_that_ends_before_the_connection_is_there_says_nothing_of_the_host() -> None:
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with upstream(url, total_seconds=0.1) as up:
            with pytest.raises(TooSlow):
                await up.send(url, query())
            assert list(up.health().values()) == [True]


# --- The environment's proxy.


async def test_a_request_goes_through_the_proxy_with_its_credentials() -> None:
    async with raw_server(sending(LENGTH_2 + b"{}")) as proxy:
        url = URL(proxy.url).with_user("me").with_password("secret")
        async with upstream(ONE, proxies={ONE: url}) as up:
            assert (await up.send(ONE, query())).body == b"{}"
            assert up.proxy_of("one:1") == proxy.url.replace("//", "//***@")
            assert up.proxy_of("two:2") is None
    first, *fields = proxy.heads[0].split(b"\r\n")
    assert first == b"GET http://one:1/api/v3/ping HTTP/1.1"
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:secret") in fields


# --- Bounds.


async def test_a_body_of_just_the_bound_is_let_through() -> None:
    body = b" " * (1 << 10)
    answer = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with raw_server(sending(answer)) as raw:
        async with upstream(raw.url, max_body_bytes=1 << 10) as up:
            assert (await up.send(raw.url, query())).body == body
        async with upstream(raw.url, max_body_bytes=(1 << 10) - 1) as up:
            with pytest.raises(BadAnswer, match="too large"):
                await up.send(raw.url, query())


@pytest.mark.parametrize("coding", [b"GZIP", b"x-gzip", b"identity"])
async def test_codings_are_read_in_any_case(coding: bytes) -> None:
    raw_body = b"{}" if coding == b"identity" else gzip.compress(b"{}")
    async with raw_server(sending(encoded(coding, raw_body))) as raw, upstream(raw.url) as up:
        assert (await up.send(raw.url, query())).body == b"{}"


async def test_an_empty_body_needs_no_decompressing() -> None:
    async with raw_server(sending(encoded(b"gzip", b""))) as raw, upstream(raw.url) as up:
        assert (await up.send(raw.url, query())).body == b""


# --- No silent repetition.


async def test_a_kept_connection_that_breaks_is_not_tried_again_by_itself() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(LENGTH_2 + b"{}")
        raw.heads.append(await reader.readuntil(b"\r\n\r\n"))

    async with raw_server(once) as raw, upstream(raw.url) as up:
        await up.send(raw.url, query())
        with pytest.raises(ConnectionLost):
            await up.send(raw.url, query())
        assert len(raw.heads) == 2


# --- Which host.

ONE, TWO, PUBLIC = "http://one:1", "http://two:2", f"https://{PUBLIC_DATA_HOST}"


async def test_hosts_are_tried_in_the_order_of_preference() -> None:
    async with upstream(TWO, ONE) as up:
        assert up.candidates(ENDPOINTS[PING]) == (TWO, ONE)
        assert up.health() == {"two:2": True, "one:1": True}


@pytest.mark.parametrize("path", [PING, TIME, INFO])
async def test_the_public_data_host_serves_the_other_endpoints(path: str) -> None:
    async with upstream(PUBLIC, ONE) as up:
        assert up.candidates(ENDPOINTS[path]) == (PUBLIC, ONE)


async def test_the_public_data_host_is_not_asked_for_execution_rules() -> None:
    async with upstream(PUBLIC, ONE, TWO) as up:
        assert up.candidates(ENDPOINTS[RULES]) == (ONE, TWO)
    async with upstream(PUBLIC) as up:
        assert up.candidates(ENDPOINTS[RULES]) == (PUBLIC,), "better its own answer than none"


async def test_a_host_that_failed_comes_last_until_it_has_cooled_down() -> None:
    clock = Clock()
    async with Simulator() as origin, upstream(AWAY, origin.url, ONE, monotonic=clock) as up:
        with pytest.raises(Unreachable):
            await up.send(AWAY, query())
        assert up.candidates(ENDPOINTS[PING]) == (origin.url, ONE, AWAY)
        clock.now += COOL_DOWN_SECONDS - 0.1
        assert up.candidates(ENDPOINTS[PING]) == (origin.url, ONE, AWAY)
        assert up.health()["127.0.0.1:1"] is False
        clock.now += 0.2
        assert up.candidates(ENDPOINTS[PING]) == (AWAY, origin.url, ONE)
        assert up.health()["127.0.0.1:1"] is True


async def test_hosts_that_all_failed_keep_their_order() -> None:
    async with upstream(AWAY, "http://127.0.0.1:2", monotonic=Clock()) as up:
        for url in up.base_urls:
            with pytest.raises(Unreachable):
                await up.send(url, query())
        assert up.candidates(ENDPOINTS[PING]) == up.base_urls


@pytest.mark.parametrize(
    ("fault", "healthy"),
    [(Fault.INTERNAL_500, False), (Fault.HTML_503, False), (Fault.TOO_MANY_429, True), (Fault.HTML_403, True)],
)
async def test_a_5xx_cools_a_host_down_and_a_refusal_does_not(fault: Fault, healthy: bool) -> None:
    async with Simulator() as origin, upstream(origin.url, monotonic=Clock()) as up:
        origin.set_fault(fault)
        await up.send(origin.url, query())
        assert list(up.health().values()) == [healthy]


async def test_a_host_that_does_not_serve_this_location_is_left_out_for_a_while() -> None:
    clock = Clock()
    async with Simulator() as origin, upstream(origin.url, ONE, monotonic=clock) as up:
        origin.set_fault(Fault.RESTRICTED_451, times=1)
        await up.send(origin.url, query())
        assert up.candidates(ENDPOINTS[PING]) == (ONE,)
        clock.now += COOL_DOWN_SECONDS
        assert up.candidates(ENDPOINTS[PING]) == (origin.url, ONE)
        await up.send(origin.url, query())
        assert up.candidates(ENDPOINTS[PING]) == (origin.url, ONE)


async def test_a_good_answer_ends_the_cool_down() -> None:
    async with Simulator() as origin, upstream(origin.url, ONE, monotonic=Clock()) as up:
        origin.set_fault(Fault.INTERNAL_500, times=1)
        await up.send(origin.url, query())
        assert up.candidates(ENDPOINTS[PING]) == (ONE, origin.url)
        await up.send(origin.url, query())
        assert up.candidates(ENDPOINTS[PING]) == (origin.url, ONE)


# --- Who asks.


async def test_each_attempt_is_told_with_its_status() -> None:
    told = Told()
    async with Simulator() as origin, upstream(origin.url, told=told) as up:
        await up.send(origin.url, query())
        origin.set_fault(Fault.TEAPOT_418)
        await up.send(origin.url, query())
    host = origin_host(told)
    assert told.attempts == [(host, "200"), (host, "418")]


def origin_host(told: Told) -> str:
    (host,) = {host for host, _ in told.attempts}
    return host


async def test_an_attempt_that_is_cancelled_is_told_and_says_nothing_of_the_host() -> None:
    told = Told()
    async with Simulator() as origin, upstream(origin.url, told=told) as up:
        origin.set_fault(Fault.HANG)
        task = asyncio.create_task(up.send(origin.url, query()))
        await origin.wait_for(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [status for _, status in told.attempts] == ["cancelled"]
        assert list(up.health().values()) == [True]


async def test_it_is_used_inside_its_context_only() -> None:
    closed = Client((AWAY,), connect_seconds=1, max_body_bytes=1, observer=Told())
    with pytest.raises(AssertionError, match="inside its context"):
        await closed.send(AWAY, query())
    await closed.__aexit__(None, None, None)
