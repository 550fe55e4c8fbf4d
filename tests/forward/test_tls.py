"""TLS: what is trusted, what each failure is called, and that an exchange is the same as without."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.errors import AnswerCut, Cause, ConnectionLost, TooSlow, Unreachable
from proxy.forward.tls import Tls
from tests.forward.origin import HEAD, OK, Exchange, answering, ask, client, cutting, hanging, origin, resetting, until
from tests.redis_client.tls import Certificates, make_certificates, needs_openssl

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's side; the client trusts its authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    return certificates.server_context()


async def test_requests_and_answers_of_all_sizes(tls: ssl.SSLContext) -> None:
    async def echo(exchange: Exchange) -> bool:
        await exchange.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(exchange.body), exchange.body)
        return True

    async with origin(echo, tls=tls) as one, client() as raw:
        for size in (0, 1, 1 << 14, 1 << 16, 1 << 20):
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            assert (await ask(raw, one.url, "POST", body=body)).body == body
    assert one.connections == 1


async def test_the_origin_may_be_asked_for_http_1_1_only(tls: ssl.SSLContext) -> None:
    tls.set_alpn_protocols(["h2", "http/1.1"])
    chosen = []

    async def act(exchange: Exchange) -> bool:
        chosen.append(exchange.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        return await answering(OK)(exchange)

    async with origin(act, tls=tls) as one, client() as raw:
        await ask(raw, one.url)
    assert chosen == ["http/1.1"]


async def test_a_certificate_that_nobody_trusts(certificates: Certificates) -> None:
    async with origin(answering(OK), tls=certificates.server_context()) as one, client() as raw:
        with pytest.raises(Unreachable) as caught:
            await ask(raw, one.url)
        assert (caught.value.cause, one.asked) == (Cause.CERTIFICATE, [])


async def test_a_certificate_for_another_name_and_the_name_that_is_asked_for(tls: ssl.SSLContext) -> None:
    asked = []
    tls.sni_callback = lambda _, name, __: asked.append(name)
    async with origin(answering(OK), tls=tls) as one, client() as raw:
        with pytest.raises(Unreachable) as caught:
            await ask(raw, one.url.replace("127.0.0.1", "localhost"))
        assert (caught.value.cause, one.asked, asked) == (Cause.CERTIFICATE, [], ["localhost"])
    tls.sni_callback = None
    gc.collect()


@pytest.mark.parametrize(
    ("text", "causes"), [(b"HTTP/1.1 400 Bad\r\n\r\n", {Cause.TLS}), (b"", {Cause.RESET, Cause.CLOSED})]
)
async def test_a_host_that_does_not_speak_tls(text: bytes, causes: set[Cause]) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, client() as raw:
        with pytest.raises(Unreachable) as caught:
            await ask(raw, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert caught.value.cause in causes


@pytest.mark.parametrize(("connect_seconds", "seconds", "error"), [(0.1, 5.0, Unreachable), (5.0, 0.1, TooSlow)])
async def test_a_handshake_that_never_ends(connect_seconds: float, seconds: float, error: type[Exception]) -> None:
    async with origin(hanging()) as one, client(connect_seconds=connect_seconds) as raw:
        with pytest.raises(error) as caught:
            await ask(raw, one.url.replace("http:", "https:"), seconds=seconds)
        assert getattr(caught.value, "cause", Cause.TIMEOUT) is Cause.TIMEOUT
        await until(lambda: not one.open)


@pytest.mark.parametrize("says_so", [True, False])
async def test_an_end_that_the_origin_does_not_say_completes_no_body(tls: ssl.SSLContext, says_so: bool) -> None:
    async def act(exchange: Exchange) -> bool:
        await exchange.send(HEAD + b"\r\n", b"{}")
        if not says_so:  # as somebody on the way can
            await until(lambda: not exchange.writer.transport.get_write_buffer_size())
            descriptor = exchange.writer.get_extra_info("socket").fileno()
            with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as way:
                way.shutdown(socket.SHUT_WR)
        return False

    async with origin(act, tls=tls) as one, client() as raw:
        if says_so:
            assert (await ask(raw, one.url)).body == b"{}"
        else:
            with pytest.raises(AnswerCut) as caught:
                await ask(raw, one.url)
            assert caught.value.cause is Cause.CLOSED


async def test_each_way_of_breaking_off(tls: ssl.SSLContext) -> None:
    cut = HEAD + b"Content-Length: 2\r\n\r\n{"
    async with origin(cutting(), tls=tls) as one, client() as raw:
        for act, error in (
            (cutting(), ConnectionLost),
            (resetting(), ConnectionLost),
            (cutting(cut), AnswerCut),
            (resetting(cut), AnswerCut),
        ):
            one.act = act
            with pytest.raises(ConnectionLost) as caught:
                await ask(raw, one.url, "POST")
            assert type(caught.value) is error
        one.act = cutting(HEAD + b"\r\n{}")
        assert (await ask(raw, one.url)).body == b"{}", "the end of the connection ends this body"
    assert len(one.asked) == one.connections == 5


async def test_a_kept_connection_that_the_origin_has_closed_is_not_used(tls: ssl.SSLContext) -> None:
    async with origin(answering(OK), tls=tls) as one, client() as raw:
        for number in range(1, 4):
            await ask(raw, one.url, "POST")
            await ask(raw, one.url, "POST")
            assert one.connections == number
            one.hang_up()
            await until(lambda: not one.open)
            await asyncio.sleep(0.02)


async def test_the_authority_is_read_from_the_environment_once_a_client(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with origin(cutting(OK), tls=tls) as one, client() as raw:
        assert (await ask(raw, one.url)).status == 200
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        assert (await ask(raw, one.url)).status == 200


async def test_what_is_left_of_a_request_is_seen_below_tls_too(tls: ssl.SSLContext) -> None:
    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}"
    async with origin(hanging(early), tls=tls, bodies_are_read=False) as one, client() as raw:
        assert (await ask(raw, one.url, "POST", body=bytes(1 << 24))).status == 413
        one.act, one.bodies_are_read = answering(OK), True
        assert (await ask(raw, one.url)).status == 200
    assert one.connections == 2


async def test_a_handshake_that_fails_leaves_nothing_behind(certificates: Certificates) -> None:
    async with origin(answering(OK), tls=certificates.server_context()) as one, client() as raw:
        with pytest.raises(Unreachable):
            await ask(raw, one.url)
        assert not raw.pool._open


async def test_what_cannot_be_encrypted_before_the_peer_has_spoken_waits(tls: ssl.SSLContext) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = tls.wrap_bio(incoming, outgoing, server_side=True)
    one = Tls(ssl.create_default_context(), "127.0.0.1")

    def send(data: bytes) -> None:
        incoming.write(data)

    one.begin(send)
    while not one.received(outgoing.read()) and outgoing.pending + incoming.pending:
        with suppress(ssl.SSLWantReadError):
            peer.do_handshake()
    await one.shaken()
    assert one.is_free

    class Renegotiating:
        def __init__(self) -> None:
            self.waits = True

        def write(self, data: memoryview) -> int:
            if self.waits:
                raise ssl.SSLWantReadError
            return inner.write(data)

        def read(self, size: int) -> bytes:
            self.waits = False
            return inner.read(size)

    inner, one._object = one._object, Renegotiating()  # type: ignore[assignment]
    one.write(b"abc")
    one.write(b"def")
    assert (one.is_free, incoming.pending) == (False, 0)
    peer.write(b"x")
    assert one.received(outgoing.read()) == b"x"
    assert one.is_free
    assert peer.read(99) == b"abcdef"
    peer.write(b"y")
    with suppress(ssl.SSLError):
        peer.unwrap()
    assert one.received(outgoing.read()) == b"y"
    assert (one.is_over, one.is_free) == (True, False)
