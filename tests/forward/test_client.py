"""The raw client against an origin that answers in any bytes, on both event loops."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time

import pytest

from proxy.errors import AnswerCut, BadAnswer, Banned, Cause, ConnectionLost, TooSlow, Unreachable, UpstreamFailed
from proxy.forward.tls import Tls
from tests.forward.origin import (
    HEAD,
    OK,
    Act,
    Clock,
    Exchange,
    answering,
    ask,
    client,
    cutting,
    hanging,
    in_turn,
    origin,
    resetting,
    until,
)

AWAY = "http://127.0.0.1:1"
LENGTH_2 = HEAD + b"Content-Length: 2\r\n\r\n"
BANNED = "you are banned"


def refuse() -> None:
    raise Banned(BANNED)


# --- What arrives.


async def test_the_bytes_arrive_as_they_were_given() -> None:
    headers = ((b"X-MBX-APIKEY", b"key"), (b"x-a", b"1"), (b"X-A", b"2"))
    async with origin(answering(OK)) as one, client() as raw:
        answer = await ask(raw, one.url, "DELETE", b"//a/../%7e[?b=%2f&", headers=headers, body=b"x=%zz\x00\r\n\r\n")
    assert (answer.status, answer.body, answer.received_at) == (200, b"{}", 7.0)
    assert answer.texts == {"x-mbx-used-weight-1m": "7", "content-length": "2"}
    host = one.url.removeprefix("http://").encode()
    assert one.asked[0].head == (
        b"DELETE //a/../%%7e[?b=%%2f& HTTP/1.1\r\nHost: %b\r\nX-MBX-APIKEY: key\r\nx-a: 1\r\nX-A: 2\r\n"
        b"Content-Length: 10\r\n\r\n" % host
    )
    assert one.asked[0].body == b"x=%zz\x00\r\n\r\n"


@pytest.mark.parametrize("size", [1, 1 << 16, (1 << 16) + 1, 1 << 20])
async def test_bodies_of_all_sizes_arrive(size: int) -> None:
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    async with origin(answering(OK)) as one, client() as raw:
        for _ in range(2):
            assert (await ask(raw, one.url, "POST", body=body)).body == b"{}"
    assert [exchange.body == body for exchange in one.asked] == [True, True]
    assert one.connections == 1


async def test_an_address_of_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with origin(answering(OK), host="::1") as one, client() as raw:
        assert (await ask(raw, one.url)).status == 200
    assert b"\r\nHost: %b\r\n" % one.url.removeprefix("http://").encode() in one.asked[0].head


async def test_a_name_is_resolved_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = Clock(), list[str]()
    loop = asyncio.get_running_loop()

    class Loop:
        """The loop, with names of its own."""

        def __getattr__(self, name: str) -> object:
            return getattr(loop, name)

        async def getaddrinfo(self, host: str, port: int, **options: object) -> object:
            asked.append(host)
            await asyncio.sleep(0)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("proxy.forward.resolver.asyncio.get_running_loop", Loop)
    async with origin(cutting(OK + b"!")) as one, client(monotonic=clock) as raw:
        url = one.url.replace("127.0.0.1", "origin.test")
        await asyncio.gather(*(ask(raw, url) for _ in range(5)))
        clock.now += 59
        await ask(raw, url)
        assert asked == ["origin.test"]
        clock.now += 1
        await ask(raw, url)
    assert asked == ["origin.test"] * 2
    assert one.asked[0].head.split(b"\r\n")[1] == b"Host: " + url.removeprefix("http://").encode()


async def test_a_request_that_is_not_one_is_not_sent() -> None:
    async with origin(answering(OK)) as one, client() as raw:
        with pytest.raises(ValueError, match="valid request"):
            await ask(raw, one.url, target=b"/ HTTP/1.1\r\nX: 1\r\n\r\n")
        assert one.connections == 0


@pytest.mark.parametrize("url", ["ftp://one", "http://one/path", "one:80", "http://"])
async def test_a_base_url_is_scheme_host_and_port(url: str) -> None:
    async with client() as raw:
        with pytest.raises(ValueError, match="base URL"):
            await ask(raw, url)


async def test_it_is_used_inside_its_context_only() -> None:
    raw = client()
    with pytest.raises(AssertionError, match="inside its context"):
        await ask(raw, AWAY)
    await raw.__aexit__(None, None, None)


# --- Answers.


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;a=b\r\n}\r\n0\r\nX-T: 1\r\n\r\n", b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (HEAD + b"Content-Length: 0\r\n\r\n", b""),
    ],
)
async def test_answers_that_keep_the_connection(text: bytes, body: bytes) -> None:
    async with origin(answering(text[:-5], text[-5:])) as one, client() as raw:
        for _ in range(3):
            assert (await ask(raw, one.url)).body == body
    assert one.connections == 1


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (HEAD + b"\r\n{}", b"{}"),
        (HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (HEAD + b"Keep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", b"{}"),
        (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n{}", b""),
    ],
    ids=["close-delimited", "close", "timeout=0", "HTTP/1.0", "HTTP/1.0 without a length", "surplus", "body of a 204"],
)
async def test_answers_that_do_not(text: bytes, body: bytes) -> None:
    async with origin(cutting(text)) as one, client() as raw:
        for _ in range(2):
            assert (await ask(raw, one.url)).body == body
    assert one.connections == 2


async def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    async with origin(in_turn(answering(LENGTH_2), answering(OK))) as one, client() as raw:
        head = await ask(raw, one.url, "HEAD")
        assert (head.body, head.texts["content-length"]) == (b"", "2")
        assert (await ask(raw, one.url)).body == b"{}"
    assert one.connections == 1


async def test_an_answer_may_come_before_the_request_is_out() -> None:
    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}"
    async with origin(hanging(early), bodies_are_read=False) as one, client() as raw:
        # More than all buffers take: the rest stays with the client, and must not go before the next request.
        answer = await ask(raw, one.url, "POST", body=bytes(1 << 24))
        assert (answer.status, answer.body) == (413, b"{}")
        one.act, one.bodies_are_read = answering(OK), True
        assert (await ask(raw, one.url)).status == 200
    assert one.connections == 2


async def test_an_early_answer_and_a_close() -> None:
    early = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"

    async def act(exchange: Exchange) -> bool:
        await exchange.send(early)
        exchange.writer.write_eof()
        await exchange.reader.read()
        return False

    async with origin(act, bodies_are_read=False) as one, client() as raw:
        assert (await ask(raw, one.url, "POST", body=bytes(1 << 20))).status == 413


# --- Errors.


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("act", "error", "cause", "has_head"),
    [
        (cutting(), ConnectionLost, Cause.CLOSED, False),
        (resetting(), ConnectionLost, Cause.RESET, False),
        (cutting(HEAD), ConnectionLost, Cause.CLOSED, False),
        (cutting(b"HTTP/1.1 100 Continue\r\n\r\n"), ConnectionLost, Cause.CLOSED, False),
        (cutting(LENGTH_2 + b"{"), AnswerCut, Cause.CLOSED, True),
        (resetting(LENGTH_2 + b"{"), AnswerCut, Cause.RESET, True),
        (resetting(HEAD + b"\r\n{"), AnswerCut, Cause.RESET, True),
        (cutting(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), AnswerCut, Cause.CLOSED, True),
        (hanging(), TooSlow, None, False),
        (hanging(HEAD), TooSlow, None, False),
        (hanging(LENGTH_2 + b"{"), TooSlow, None, True),
        (hanging(b"\x16\x03\x01 not HTTP\r\n\r\n"), BadAnswer, None, False),
        (hanging(b"HTTP/1.1 20x OK\r\n\r\n"), BadAnswer, None, False),
        (hanging(HEAD + b"Content-Length: -1\r\n\r\n"), BadAnswer, None, False),
        (hanging(HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"), BadAnswer, None, False),
        (hanging(HEAD + b"Transfer-Encoding: chunked\r\n\r\nz\r\n"), BadAnswer, None, True),
        (hanging(HEAD + b"Content-Length: %d\r\n\r\n" % (1 << 23)), BadAnswer, None, True),
        (hanging(HEAD + b"\r\n" + bytes((1 << 22) + 1)), BadAnswer, None, True),
        (hanging(b"HTTP/1.1 102 Processing\r\n\r\n" * 99), BadAnswer, None, False),
        (hanging(HEAD + b"X: " + b"x" * (1 << 16)), BadAnswer, None, False),
    ],
    ids=[
        "closed before the head",
        "reset before the head",
        "closed in the head",
        "closed after an interim answer",
        "closed in the body",
        "reset in the body",
        "reset in a close-delimited body",
        "closed between chunks",
        "silent",
        "silent in the head",
        "silent in the body",
        "not HTTP",
        "no status",
        "no length",
        "two lengths",
        "no chunk",
        "too large",
        "too large without a length",
        "interim answers without end",
        "head without end",
    ],
)
async def test_each_way_of_failing_is_one_error_and_keeps_the_head_where_one_came(
    act: Act, error: type[UpstreamFailed], cause: Cause | None, has_head: bool
) -> None:
    async with origin(act) as one, client() as raw:
        with pytest.raises(UpstreamFailed) as caught:
            await ask(raw, one.url, seconds=0.3 if error is TooSlow else 5)
        assert type(caught.value) is error
        assert getattr(caught.value, "cause", None) is cause
        assert caught.value.headers.get("x-mbx-used-weight-1m") == ("7" if has_head else None)
        one.act = answering(OK)
        assert (await ask(raw, one.url)).status == 200
        assert (len(one.asked), one.connections) == (2, 2), (
            "nothing is sent twice, and the connection is not used again"
        )


async def test_interim_answers_do_not_move_the_deadline() -> None:
    async def act(exchange: Exchange) -> bool:
        for _ in range(15):
            await exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.1)
        return await hanging()(exchange)

    async with origin(act) as one, client() as raw:
        started = time.monotonic()
        with pytest.raises(TooSlow):
            await ask(raw, one.url, seconds=0.15)
        assert 0.14 <= time.monotonic() - started < 1.5


async def test_each_exchange_has_the_deadline_that_it_was_given() -> None:
    async with origin(in_turn(answering(OK), hanging(), answering(OK), hanging())) as one, client() as raw:
        for first, second in ((30.0, 0.1), (0.05, 0.2)):
            await ask(raw, one.url, seconds=first)
            started = time.monotonic()
            with pytest.raises(TooSlow):
                await ask(raw, one.url, seconds=second)
            assert second - 0.01 <= time.monotonic() - started < second + 2


async def test_a_refused_connection() -> None:
    async with client() as raw:
        with pytest.raises(Unreachable) as caught:
            await ask(raw, AWAY)
    assert caught.value.cause is Cause.REFUSED
    assert caught.value.msg == "127.0.0.1:1 cannot be reached: the connection was refused."


async def test_a_name_that_nobody_has() -> None:
    async with client() as raw:
        for name in ("nobody.invalid", "a" * 64):
            with pytest.raises(Unreachable) as caught:
                await ask(raw, f"http://{name}")
            assert caught.value.cause is Cause.DNS


@pytest.mark.parametrize(
    ("connect_seconds", "seconds", "error"), [(0.1, 5.0, Unreachable), (5.0, 0.1, TooSlow), (5.0, 0.0, TooSlow)]
)
async def test_a_host_that_lets_nobody_in(connect_seconds: float, seconds: float, error: type[Exception]) -> None:
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        async with client(connect_seconds=connect_seconds) as raw:
            with pytest.raises(error) as caught:
                await ask(raw, f"http://127.0.0.1:{full.getsockname()[1]}", seconds=seconds, check=refuse)
    assert getattr(caught.value, "cause", Cause.TIMEOUT) is Cause.TIMEOUT


async def test_cancelling_ends_the_connection() -> None:
    async with origin(hanging()) as one, client() as raw:
        task = asyncio.create_task(ask(raw, one.url))
        await until(lambda: bool(one.asked))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not one.open)


async def test_leaving_the_context_ends_what_is_under_way() -> None:
    async with origin(hanging()) as one:
        async with client() as raw:
            task = asyncio.create_task(ask(raw, one.url))
            await until(lambda: bool(one.asked))
        with pytest.raises(ConnectionLost):
            await task


# --- The check.


async def test_what_the_check_raises_ends_the_attempt_and_keeps_the_connection() -> None:
    async with origin(answering(OK)) as one, client() as raw:
        for _ in range(3):
            with pytest.raises(Banned, match=BANNED):
                await ask(raw, one.url, check=refuse)
        assert one.asked == []
        await ask(raw, one.url)
        with pytest.raises(Banned):
            await ask(raw, one.url, check=refuse)
        await ask(raw, one.url)
    assert (len(one.asked), one.connections) == (2, 1)


async def test_a_request_that_cannot_be_written_ends_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: Tls, __: bytes) -> None:
        raise RuntimeError

    async with origin(answering(OK)) as one, client() as raw:
        await ask(raw, one.url)
        connection = raw.pool.take(one.url, time.monotonic())
        assert connection is not None
        transport = connection._transport
        monkeypatch.setattr(Tls, "write", broken)
        connection._way = Tls(ssl.create_default_context(), "127.0.0.1")
        with pytest.raises(RuntimeError):
            await connection.exchange(b"GET / HTTP/1.1\r\n\r\n", b"", deadline=connection.loop.time() + 0.01)
        assert transport.is_closing()
        await raw.pool.close()


async def test_nothing_is_waited_for_between_the_check_and_the_first_byte() -> None:
    order: list[str] = []

    class Seen:
        """A way that tells when it is written to."""

        def __init__(self, way: Tls | asyncio.Transport) -> None:
            self._way = way

        def write(self, data: bytes) -> None:
            order.append("write")
            self._way.write(data)

    def check() -> None:
        order.append("check")
        asyncio.get_running_loop().call_soon(order.append, "another turn of the loop")

    async with origin(answering(OK)) as one, client() as raw:
        await ask(raw, one.url)
        (connection,) = raw.pool._open
        connection._way = Seen(connection._way)  # type: ignore[assignment]
        await ask(raw, one.url, check=check)
    assert order[:2] == ["check", "write"]


# --- Never twice.


def dying(*, with_reset: bool) -> Act:
    return resetting() if with_reset else cutting()


@pytest.mark.no_cover
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"])
@pytest.mark.parametrize("is_kept", [False, True], ids=["fresh", "kept"])
@pytest.mark.parametrize("with_reset", [False, True], ids=["closed", "reset"])
async def test_a_request_whose_connection_dies_reaches_the_origin_once(
    method: str, is_kept: bool, with_reset: bool
) -> None:
    checks: list[None] = []
    async with origin(answering(OK)) as one, client() as raw:
        if is_kept:
            await ask(raw, one.url)
        one.act = dying(with_reset=with_reset)
        with pytest.raises(ConnectionLost):
            await ask(raw, one.url, method, b"/order?signature=1", check=lambda: checks.append(None))
        await asyncio.sleep(0.02)
        assert [exchange.line for exchange in one.asked if b"order" in exchange.line] == [
            f"{method} /order?signature=1 HTTP/1.1".encode()
        ]
        assert (len(checks), one.connections) == (1, 1)


# --- Kept connections.


async def test_a_kept_connection_that_the_origin_has_closed_is_not_used() -> None:
    async with origin(answering(OK)) as one, client() as raw:
        for number in range(1, 4):
            assert (await ask(raw, one.url, "POST")).status == 200
            assert one.connections == number
            one.hang_up()
            await until(lambda: not one.open)


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_a_close_that_the_loop_has_not_seen_yet_is_noticed(last_words: bytes) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        async with client() as raw:
            for _ in range(3):
                task = asyncio.create_task(ask(raw, url, "POST"))
                peer, _ = await asyncio.wait_for(loop.sock_accept(server), 10)
                with peer:
                    await asyncio.wait_for(loop.sock_recv(peer, 1 << 16), 10)
                    peer.sendall(OK)
                    await task
                    peer.sendall(last_words)
                # The loop had no turn since the close.


async def test_what_has_come_counts_against_kept_connections_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # TLS sends session tickets after the handshake: the first bytes of a new connection say nothing against it.
    class Restless:
        def register(self, descriptor: int, events: int) -> None:
            assert descriptor >= 0
            assert events

        def poll(self, milliseconds: int) -> list[int]:
            return [milliseconds]

    monkeypatch.setattr("proxy.forward.connection.select.poll", Restless)
    async with origin(answering(OK)) as one, client() as raw:
        for _ in range(2):
            assert (await ask(raw, one.url)).status == 200
    assert one.connections == 2


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async with origin(answering(OK)) as one, client() as raw:
        await ask(raw, one.url)
        await one.asked[0].send(OK)
        await asyncio.sleep(0.02)
        one.act = answering(HEAD + b"Content-Length: 4\r\n\r\nmine")
        assert (await ask(raw, one.url)).body == b"mine"
    assert one.connections == 2


@pytest.mark.parametrize(
    ("text", "idle_seconds", "connections"),
    [
        (OK, 29.9, 1),
        (OK, 30.0, 2),
        (HEAD + b"Keep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n", 3.9, 1),
        (HEAD + b"Keep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n", 4.0, 2),
        (HEAD + b"Keep-Alive: timeout=999\r\nContent-Length: 0\r\n\r\n", 30.0, 2),
    ],
)
async def test_a_connection_is_kept_for_a_while(text: bytes, idle_seconds: float, connections: int) -> None:
    clock = Clock()
    async with origin(answering(text)) as one, client(monotonic=clock) as raw:
        await ask(raw, one.url)
        clock.now += idle_seconds
        await ask(raw, one.url)
    assert one.connections == connections


async def test_connections_that_nobody_takes_are_closed() -> None:
    clock = Clock()
    async with origin(answering(OK)) as one, client(monotonic=clock) as raw:
        await asyncio.gather(*(ask(raw, one.url) for _ in range(4)))
        clock.now += 20
        await ask(raw, one.url)
        assert one.open == 4
        clock.now += 15
        raw.pool.sweep()
        assert len(raw.pool._free[one.url]) == 1
        await until(lambda: one.open == 1)
        await ask(raw, one.url)
    assert one.connections == 4


async def test_each_host_has_connections_of_its_own() -> None:
    async with origin(answering(OK)) as one, origin(answering(OK)) as two, client() as raw:
        for url in (one.url, two.url, one.url, two.url):
            await ask(raw, url)
    assert [(each.connections, len(each.asked)) for each in (one, two)] == [(1, 2), (1, 2)]


async def test_requests_at_once_do_not_share_a_connection() -> None:
    async def echo(exchange: Exchange) -> bool:
        await asyncio.sleep(0)
        await exchange.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(exchange.line), exchange.line)
        return True

    async with origin(echo) as one, client() as raw:

        async def bot(name: int) -> None:
            for turn in range(20):
                target = b"/%d/%d" % (name, turn)
                assert (await ask(raw, one.url, target=target)).body == b"GET %b HTTP/1.1" % target

        await asyncio.gather(*map(bot, range(16)))
    assert one.connections <= 16
    assert len(one.asked) == 320
