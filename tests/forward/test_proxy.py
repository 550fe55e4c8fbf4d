"""The way through an HTTP proxy: absolute form for http, a tunnel for https."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from proxy.errors import Cause, ConnectionLost, TooSlow, Unreachable
from tests.forward.origin import OK, Act, Exchange, Origin, answering, ask, client, cutting, hanging, origin, until
from tests.redis_client.tls import Certificates, make_certificates, needs_openssl

BASIC = b"Proxy-Authorization: Basic " + base64.b64encode("me:sécret".encode("latin-1"))
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def with_credentials(url: str) -> URL:
    return URL(url).with_user("me").with_password("sécret")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    return certificates.server_context()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    writer.close()


def tunnelling(answer: bytes = ESTABLISHED) -> Act:
    """Open a tunnel to where CONNECT says."""

    async def act(exchange: Exchange) -> bool:
        host, _, port = exchange.line.split(b" ")[1].decode().rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            await exchange.send(answer)
            await asyncio.gather(copy(exchange.reader, writer), copy(reader, exchange.writer))
        finally:
            writer.transport.abort()
        return False

    return act


@asynccontextmanager
async def tunnel(tls: ssl.SSLContext, answer: bytes = ESTABLISHED) -> AsyncIterator[tuple[Origin, Origin]]:
    async with origin(tunnelling(answer)) as proxy, origin(answering(OK), tls=tls) as one:
        yield proxy, one


async def test_http_goes_in_absolute_form_with_the_credentials() -> None:
    async with origin(answering(OK)) as proxy, client(proxies={"http://one:1": with_credentials(proxy.url)}) as raw:
        for _ in range(2):
            assert (await ask(raw, "http://one:1", "DELETE", b"/%7e?", body=b"a=1")).body == b"{}"
    assert proxy.connections == 1
    assert proxy.asked[1].head == (
        b"DELETE http://one:1/%%7e? HTTP/1.1\r\nHost: one:1\r\n%b\r\nContent-Length: 3\r\n\r\n" % BASIC
    )


async def test_other_base_urls_go_straight() -> None:
    async with (
        origin(answering(OK)) as proxy,
        origin(answering(OK)) as one,
        client(proxies={"http://one:1": URL(proxy.url)}) as raw,
    ):
        await ask(raw, one.url)
    assert (len(proxy.asked), len(one.asked)) == (0, 1)


@needs_openssl
@pytest.mark.parametrize(
    "answer", [ESTABLISHED, b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 100 Wait\r\n\r\n" + ESTABLISHED]
)
async def test_https_goes_through_a_tunnel_that_is_kept(tls: ssl.SSLContext, answer: bytes) -> None:
    async with tunnel(tls, answer) as (proxy, one), client(proxies={one.url: with_credentials(proxy.url)}) as raw:
        for size in (0, 9, 1 << 18):
            assert (await ask(raw, one.url, "POST", b"/%7e?", body=bytes(size))).body == b"{}"
    authority = one.url.removeprefix("https://").encode()
    assert [exchange.head for exchange in proxy.asked] == [
        b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n\r\n" % (authority, authority, BASIC)
    ]
    assert (one.connections, len(one.asked)) == (1, 3)
    assert b"Proxy-Authorization" not in b"".join(exchange.head for exchange in one.asked), "the origin does not see it"


@needs_openssl
async def test_a_proxy_that_speaks_tls_itself(tls: ssl.SSLContext) -> None:
    async with (
        origin(tunnelling(), tls=tls) as proxy,
        origin(answering(OK), tls=tls) as one,
        client(proxies={one.url: URL(proxy.url), "http://one:1": URL(proxy.url)}) as raw,
    ):
        for _ in range(2):
            assert (await ask(raw, one.url)).body == b"{}"
        proxy.act = answering(OK)
        assert (await ask(raw, "http://one:1")).body == b"{}"
    assert (one.connections, proxy.connections) == (1, 2)


@needs_openssl
async def test_the_origins_certificate_counts_within_the_tunnel(certificates: Certificates) -> None:
    async with tunnel(certificates.server_context()) as (proxy, one), client(proxies={one.url: URL(proxy.url)}) as raw:
        with pytest.raises(Unreachable) as caught:
            await ask(raw, one.url)
        assert (caught.value.cause, one.asked) == (Cause.CERTIFICATE, [])
        await until(lambda: not proxy.open)


@pytest.mark.parametrize("url", ["http://one.example", "https://one.example"])
async def test_a_proxy_that_is_away(url: str) -> None:
    async with client(proxies={url: URL("http://127.0.0.1:1")}) as raw:
        with pytest.raises(Unreachable) as caught:
            await ask(raw, url)
    assert caught.value.cause is Cause.PROXY


@pytest.mark.parametrize(
    "act",
    [
        answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"),
        answering(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", stays=False),
        answering(ESTABLISHED + b"220 other words"),
        answering(b"SSH-2.0\r\n\r\n"),
        cutting(),
    ],
    ids=["407", "502", "words before ours", "not HTTP", "closed"],
)
async def test_a_proxy_that_makes_no_tunnel(act: Act) -> None:
    async with origin(act) as proxy, client(proxies={"https://one.example": with_credentials(proxy.url)}) as raw:
        with pytest.raises(Unreachable) as caught:
            await ask(raw, "https://one.example")
        assert caught.value.cause is Cause.PROXY
        assert "sécret" not in f"{caught.value!r} {caught.value.__cause__!r}"
        assert [exchange.line for exchange in proxy.asked] == [b"CONNECT one.example:443 HTTP/1.1"]
        proxy.hang_up()
        await until(lambda: not proxy.open)


@pytest.mark.no_cover
@pytest.mark.parametrize(("connect_seconds", "seconds", "error"), [(0.1, 5.0, Unreachable), (5.0, 0.1, TooSlow)])
@pytest.mark.parametrize("text", [b"", ESTABLISHED], ids=["no tunnel", "no TLS"])
async def test_a_proxy_that_keeps_silent(
    text: bytes, connect_seconds: float, seconds: float, error: type[Exception]
) -> None:
    async with origin(hanging(text)) as proxy:
        proxies = {"https://one.example": URL(proxy.url)}
        async with client(proxies=proxies, connect_seconds=connect_seconds) as raw:
            with pytest.raises(error) as caught:
                await ask(raw, "https://one.example", seconds=seconds)
            assert getattr(caught.value, "cause", Cause.TIMEOUT) is Cause.TIMEOUT
            await until(lambda: not proxy.open)


@needs_openssl
async def test_a_request_that_dies_in_a_tunnel_arrives_once(tls: ssl.SSLContext) -> None:
    async with tunnel(tls) as (proxy, one), client(proxies={one.url: URL(proxy.url)}) as raw:
        await ask(raw, one.url)
        one.act = cutting()
        with pytest.raises(ConnectionLost):
            await ask(raw, one.url, "DELETE")
        await asyncio.sleep(0.02)
        assert (len(one.asked), len(proxy.asked)) == (2, 1)
