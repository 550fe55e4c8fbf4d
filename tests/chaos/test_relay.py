"""A damaged network on either side of a gateway: clients get an answer that fits, and all recovers by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from tests.chaos.relay import Damage, Kind, Relay, relay
from tests.gateway.harness import INFO, Clock, Stage, client, gateway
from tests.redis_client.valkey import Valkey
from tests.simulator import Simulator

SECONDS = 0.25
DAMAGE = {kind: Damage(kind, {Kind.DELAY: 5.0, Kind.DRIP: 0.01}.get(kind, 0.0)) for kind in Kind}
STATUS = {Kind.DELAY: {504}, Kind.DRIP: {504}, Kind.GARBAGE: {502, 504}}
"""Of a request that the origin's damaged answers reach; the others are 502. A head that is garbage may have no end."""


@asynccontextmanager
async def before_origin() -> AsyncIterator[tuple[Stage, Relay]]:
    clock = Clock()
    async with Simulator(clock=clock, symbols=20) as origin:
        url = URL(origin.url)
        assert url.host is not None
        assert url.port is not None
        async with (
            relay((url.host, url.port)) as network,
            gateway(origin, clock, upstreams=(f"http://127.0.0.1:{network.port}",), upstream_seconds=SECONDS) as app,
            client(app.url) as asking,
        ):
            yield Stage(origin, app, asking, clock), network


@pytest.mark.parametrize("kind", Kind)
async def test_what_happens_to_answers_of_the_origin_is_told_and_nothing_of_it_is_kept(kind: Kind) -> None:
    async with before_origin() as (on, network):
        network.damage = DAMAGE[kind]
        for target in (INFO, "/api/v3/time"):
            assert (await on.ask(target)).status in STATUS.get(kind, {502})
        assert network.damaged > 0
        network.damage = None
        on.clock.push(65)
        good = await on.ask()
        assert (good.status, good.cache_status) == (200, "binance-sidecar; fwd=uri-miss; stored")
        network.damage = DAMAGE[kind]
        on.clock.push(400)
        stale = await on.ask()
        assert (stale.status, stale.body) == (200, good.body)
        assert (await on.ask(f"{INFO}?symbol=BTCUSDT")).status == 200
    assert network.connections == 0


@pytest.mark.parametrize("kind", Kind)
async def test_what_happens_to_answers_of_redis_is_seen_by_no_client(
    kind: Kind, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    clock, server = Clock(), Valkey()
    try:
        await asyncio.to_thread(server.start)
        async with (
            Simulator(clock=clock, symbols=20) as origin,
            relay(str(server.folder / "s")) as network,
            gateway(origin, clock, redis_url=f"redis://127.0.0.1:{network.port}", redis_seconds=SECONDS) as app,
            client(app.url) as asking,
        ):
            on = Stage(origin, app, asking, clock)
            network.damage = DAMAGE[kind]
            for target in (INFO, f"{INFO}?symbol=BTCUSDT", "/api/v3/executionRules?symbol=BTCUSDT", "/api/v3/time"):
                assert (await on.ask(target)).status == 200, target
            assert network.damaged > 0
            assert on.metric("redis_up") == 0.0
            network.damage = None
            async with asyncio.timeout(20):
                while on.metric("redis_up") == 0.0:
                    await asyncio.sleep(0.02)
                    await on.ask("/api/v3/ping")
        assert network.connections == 0
    finally:
        server.remove()
    assert "Traceback" not in capsys.readouterr().out + caplog.text


async def test_half_closed_answers_leave_the_other_way_open() -> None:
    heard = asyncio.Queue[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"abcd")
        heard.put_nowait(await reader.readexactly(3))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, relay(server.sockets[0].getsockname()[:2]) as network:
        network.damage = Damage(Kind.HALF_CLOSE)
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        assert await reader.read() == b"ab"
        writer.write(b"xyz")
        assert await heard.get() == b"xyz"
        writer.transport.abort()
