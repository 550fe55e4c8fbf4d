"""Redis over TLS: one context a client, client certificates, and what is wrong with a certificate."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

import aiohttp.client  # noqa: F401 - the tests' client makes a context when it is imported
import pytest

from proxy.errors import RedisAway
from proxy.redis_client.connection import RedisOperation
from tests.gateway.harness import client, gateway
from tests.redis_client.fixtures import Opener, StartValkey, ping
from tests.redis_client.places import serve
from tests.redis_client.test_connection import GET, PUT, reading, writing
from tests.redis_client.tls import Certificates, make_certificates, needs_openssl, tls_relay
from tests.simulator import Simulator

pytestmark = needs_openssl
AT_ONCE = 64
TRIES = 5
TIME = "/api/v3/time"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """The contexts that are made from now on."""
    made: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    return made


def url(port: int, certificates: Certificates, *more: str) -> str:
    return f"rediss://127.0.0.1:{port}?" + "&".join((f"ssl_ca_certs={certificates.authority}", *more))


@pytest.mark.no_cover
async def test_64_requests_at_once_make_one_context_and_fail_no_operation(
    start_valkey: StartValkey, certificates: Certificates, contexts: list[ssl.SSLContext]
) -> None:
    server = start_valkey()
    async with (
        tls_relay(server.folder / "s", certificates.server_context()) as port,
        Simulator() as origin,
        gateway(origin, redis_url=url(port, certificates)) as app,
        client(app.url) as asking,
    ):
        answers = await asyncio.gather(*(asking.ask(TIME) for _ in range(AT_ONCE)))
        metrics = app.metrics.exposition().decode()

    assert {answer.status for answer in answers} == {200}
    assert "binance_sidecar_redis_errors_total{" not in metrics
    assert len(contexts) == 1


@pytest.mark.realtime
async def test_64_requests_at_once_take_at_most_twice_as_long_as_without_tls(
    start_valkey: StartValkey, certificates: Certificates
) -> None:
    """Of several tries one must be undisturbed. The relay's end of TLS costs the same process as much again."""
    server = start_valkey()
    async with (
        tls_relay(server.folder / "s", None) as plain,
        tls_relay(server.folder / "s", certificates.server_context()) as tls,
    ):
        for _ in range(TRIES):
            ratio = await seconds_of(url(tls, certificates)) / await seconds_of(f"redis://127.0.0.1:{plain}")
            print(f"{ratio:.2f} times as long as plain")
            if ratio <= 2:
                return
    pytest.fail(f"in none of {TRIES} tries")


async def seconds_of(redis_url: str) -> float:
    """How long the requests take together, through a gateway that has just started."""
    async with Simulator() as origin, gateway(origin, redis_url=redis_url) as app, client(app.url) as asking:
        started = time.perf_counter()
        await asyncio.gather(*(asking.ask(TIME) for _ in range(AT_ONCE)))
        return time.perf_counter() - started


@pytest.mark.parametrize("form", ["redis+sentinel", "redis+cluster", "rediss+sentinel", "rediss+cluster"])
async def test_servers_behind_nat_are_reached_where_the_map_says_and_tls_has_one_context(
    start_valkey: StartValkey,
    opened: Opener,
    certificates: Certificates,
    contexts: list[ssl.SSLContext],
    form: str,
    tmp_path: Path,
) -> None:
    places = await serve(form, start_valkey, tmp_path)
    is_tls = form.startswith("rediss")
    context = certificates.server_context() if is_tls else None
    async with tls_relay(places.server.folder / "s", context) as port:
        query = f"address_map=127.0.0.1:{places.port}=127.0.0.1:{port}"
        if is_tls:
            query += f"&ssl_ca_certs={certificates.authority}"
        connection = opened(f"{form}://127.0.0.1:{places.entrance or port}{places.path}?{query}")
        await asyncio.gather(*(connection.run(PUT, writing(connection, f"k{i}")) for i in range(20)))

        assert await connection.run(GET, reading(connection, "k7")) == b"v"
        clients = str(places.server.admin("CLIENT", "LIST")).split("\\n")
        ours = [line for line in clients if "name=binance-sidecar" in line]
        await connection.close()
    assert ours
    assert all("addr=127.0.0.1:" not in line for line in ours), "all came through the relay"
    assert len(contexts) == is_tls


async def test_a_server_that_asks_for_a_certificate_gets_the_one_of_the_url(
    start_valkey: StartValkey, opened: Opener, certificates: Certificates
) -> None:
    server = start_valkey()
    async with tls_relay(server.folder / "s", certificates.server_context(asks_for_client=True)) as port:
        known = opened(url(port, certificates, certificates.client_options))
        await ping(known)
        unknown = opened(url(port, certificates), deadline_seconds=1.0)
        with pytest.raises(RedisAway):
            await ping(unknown)
        await known.close()
        await unknown.close()


async def test_a_server_that_nobody_vouches_for_is_away_and_the_reason_is_told(
    start_valkey: StartValkey, opened: Opener, certificates: Certificates
) -> None:
    server = start_valkey()
    async with tls_relay(server.folder / "s", certificates.server_context()) as port:
        connection = opened(f"rediss://127.0.0.1:{port}")
        with pytest.raises(RedisAway, match="certificate verify failed"):
            await connection.run(RedisOperation.PING, reading(connection))
        await connection.close()


@pytest.mark.parametrize("option", ["ssl_ca_certs=/nowhere.pem", "ssl_certfile=/nowhere.pem"])
@pytest.mark.parametrize("form", ["rediss://a", "rediss+sentinel://a/main", "rediss+cluster://a"])
async def test_a_file_that_is_not_there_is_told_at_the_start(opened: Opener, form: str, option: str) -> None:
    with pytest.raises(OSError, match=r"the certificates of rediss.* cannot be used: .*No such file"):
        opened(f"{form}?{option}&ssl_password=hush")
