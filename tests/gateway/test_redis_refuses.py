"""A Redis that answers, and refuses what the gateways need: metrics, status page and log say that nothing is shared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.events import capture_logs
from tests.gateway.harness import INFO, Stage, client, gateway
from tests.ports import free_ports
from tests.redis_client.fixtures import StartValkey
from tests.simulator import Simulator

SLOTS = 16384


@dataclass(frozen=True, slots=True)
class Refusing:
    """A server that refuses, and what must be told of it."""

    url: str
    commands: set[str]
    words: str
    cache_shared: bool = False
    quota_shared: bool = False


def read_only(start: StartValkey) -> Refusing:
    return Refusing(start("--replicaof", "127.0.0.1 1").url, {"EVALSHA", "DEL"}, "read only replica")


def full(start: StartValkey) -> Refusing:
    server = start("--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
    return Refusing(server.url, {"EVALSHA", "HSET"}, "maxmemory")


def one_node_of_a_cluster(start: StartValkey, *, quota_shared: bool) -> Refusing:
    """Which has the slots of the ledger's keys, or the other half."""
    ports = free_ports(4)
    nodes = [
        start("--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus))
        for port, bus in zip(ports[:2], ports[2:], strict=True)
    ]
    slot = int(str(nodes[0].admin("CLUSTER", "KEYSLOT", "{spot:default}")))
    half = SLOTS // 2
    nodes[0].admin("CLUSTER", "ADDSLOTSRANGE", "0", str(half - 1))
    nodes[1].admin("CLUSTER", "ADDSLOTSRANGE", str(half), str(SLOTS - 1))
    nodes[0].admin("CLUSTER", "MEET", "127.0.0.1", str(ports[1]), str(ports[3]))
    for node in nodes:
        node.wait_for_cluster()
    index = int((slot >= half) is quota_shared)
    commands = {"DEL"} if quota_shared else {"EVALSHA", "DEL"}
    return Refusing(f"redis://127.0.0.1:{ports[index]}", commands, "MovedError", quota_shared=quota_shared)


def without(start: StartValkey, right: str, *commands: str, **shared: bool) -> Refusing:
    server = start()
    server.admin("ACL", "SETUSER", "default", right)
    return Refusing(server.url, set(commands), "permission", **shared)


SITUATIONS: dict[str, Callable[[StartValkey], Refusing]] = {
    "a read-only replica": read_only,
    "full from the start": full,
    "one node of a cluster, with the ledger": lambda start: one_node_of_a_cluster(start, quota_shared=True),
    "one node of a cluster, without the ledger": lambda start: one_node_of_a_cluster(start, quota_shared=False),
    "no right for EVALSHA": lambda start: without(start, "-evalsha", "EVALSHA", cache_shared=True),
    "no right for SCRIPT": lambda start: without(start, "-script", "SCRIPT LOAD", cache_shared=True),
    "no right for a command in the script": lambda start: without(start, "-zadd", "ZADD", cache_shared=True),
    "no right for HSET": lambda start: without(start, "-hset", "HSET", quota_shared=True),
    "no right for PEXPIRE": lambda start: without(start, "-pexpire", "PEXPIRE", quota_shared=True),
}


@asynccontextmanager
async def on_stage(url: str) -> AsyncIterator[Stage]:
    async with Simulator() as origin, gateway(origin, redis_url=url) as app, client(app.url) as asking:
        yield Stage(origin, app, asking)


async def told(stage: Stage) -> tuple[float, float, float]:
    return (stage.metric("redis_up"), stage.metric("cache_shared"), stage.metric("quota_shared"))


@pytest.mark.no_cover
@pytest.mark.parametrize("situation", SITUATIONS)
async def test_metrics_status_and_log_tell_what_redis_refuses(situation: str, start_valkey: StartValkey) -> None:
    server = await asyncio.to_thread(SITUATIONS[situation], start_valkey)
    with capture_logs() as logs:
        async with on_stage(server.url) as stage:
            assert await told(stage) == (0.0, server.cache_shared, server.quota_shared)
            assert stage.metric("replicas") == 1
            status = json.loads((await stage.ask("/status")).body)["redis"]
            assert (await stage.ask(INFO)).status == 200
    assert (status["up"], status["replicas"]) == (False, 1)
    assert (status["caches_alone"], status["counts_alone"]) == (not server.cache_shared, not server.quota_shared)
    lines = [line for line in logs if line["event"] == "redis_refuses"]
    assert {line["command"] for line in lines} == server.commands
    assert {line["error"] for line in lines if server.words not in line["error"]} == set()
    assert all(line["log_level"] == "warning" for line in lines)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "options",
    [
        ("--rename-command", "HELLO", ""),
        ("--rename-command", "CLIENT", ""),
        ("--rename-command", "SELECT", "", "--rename-command", "INFO", ""),
    ],
    ids=lambda options: f"without {options[1]}",
)
async def test_a_server_or_proxy_that_lacks_what_we_can_do_without_serves(
    options: tuple[str, ...], start_valkey: StartValkey
) -> None:
    server = await asyncio.to_thread(start_valkey, *options)
    async with on_stage(server.url) as stage:
        assert await told(stage) == (1.0, 1.0, 1.0)
        assert (await stage.ask(INFO)).status == 200
        assert "binance-sidecar:spot:exchangeInfo:" in str(server.admin("KEYS", "*"))


async def test_an_operation_that_the_heartbeat_does_not_try_tells_too(start_valkey: StartValkey) -> None:
    server = await asyncio.to_thread(start_valkey)
    async with on_stage(server.url) as stage:
        assert await told(stage) == (1.0, 1.0, 1.0)
        server.admin("ACL", "SETUSER", "default", "-hmget")
        assert (await stage.ask(INFO)).status == 200
        up, cache_shared, _ = await told(stage)
    assert (up, cache_shared) == (0.0, 0.0)


async def test_a_gateway_without_redis_tells_nothing_of_it() -> None:
    async with on_stage("memory:") as stage:
        page = stage.app.metrics.exposition().decode()
    assert not [line for line in page.splitlines() if "redis_up" in line or "_shared" in line]


async def test_a_server_that_serves_again_is_told_within_a_beat(start_valkey: StartValkey) -> None:
    server = await asyncio.to_thread(start_valkey)
    server.admin("ACL", "SETUSER", "default", "-evalsha", "-hset")
    with capture_logs() as logs:
        async with on_stage(server.url) as stage:
            assert await told(stage) == (0.0, 0.0, 0.0)
            server.admin("ACL", "SETUSER", "default", "+evalsha", "+hset")
            served: set[str] = set()
            async with asyncio.timeout(20):
                # The gauge follows each call; the lines come at the end of the beat.
                while await told(stage) != (1.0, 1.0, 1.0) or served != {"cache", "quota"}:
                    await asyncio.sleep(0.05)
                    served = {line["part"] for line in logs if line["event"] == "redis_serves"}


async def test_a_command_that_is_served_again_is_served_for_both_parts(start_valkey: StartValkey) -> None:
    """The ping tries EVALSHA, but not the release of the fill lock, to which it was refused as well."""
    server = await asyncio.to_thread(start_valkey)
    server.admin("ACL", "SETUSER", "default", "-evalsha")
    async with on_stage(server.url) as stage:
        assert (await stage.ask(INFO)).status == 200
        async with asyncio.timeout(20):
            while await told(stage) != (0.0, 0.0, 0.0):  # noqa: ASYNC110 - a gauge
                await asyncio.sleep(0.05)
            server.admin("ACL", "SETUSER", "default", "+evalsha")
            while await told(stage) != (1.0, 1.0, 1.0):  # noqa: ASYNC110 - a gauge
                await asyncio.sleep(0.05)


NONSENSE = {"+OK": b"+OK\r\n", "null": b"$-1\r\n", "0": b":0\r\n", "no elements": b"*0\r\n", "text": b"hello\r\n"}


@asynccontextmanager
async def peer(answer: bytes) -> AsyncIterator[int]:
    """The port of a peer that answers every command alike."""
    ends: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.add(writer)
        while piece := await reader.read(65_536):
            writer.write(answer * max(1, piece.count(b"*")))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for end in ends:
            end.transport.abort()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "form", ["redis://{}", "redis+sentinel://{}/main", "redis+cluster://{}", "redis://u:p@{}?protocol=3"]
)
@pytest.mark.parametrize("answer", NONSENSE)
async def test_a_peer_that_answers_nonsense_is_away_and_everybody_is_served(answer: str, form: str) -> None:
    async with peer(NONSENSE[answer]) as port, on_stage(form.format(f"127.0.0.1:{port}")) as stage:
        for target in (INFO, f"{INFO}?symbol=BTCUSDT", "/api/v3/executionRules?symbol=BTCUSDT", "/api/v3/time"):
            assert (await stage.ask(target)).status == 200
        assert stage.metric("redis_up") == 0
