"""The troubles that a Redis can have, each with how it begins and how it ends.

Owns: the table of troubles, the servers that each one needs. Must not know: gateways.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from tests.chaos.relay import relay
from tests.ports import free_ports
from tests.redis_client.valkey import START_SECONDS, Valkey

Act = Callable[[], Awaitable[None]]
FAILOVER_MS = 500
"""After so long Sentinels and Cluster nodes take a silent server for dead."""
_PASSWORD = "right"


class Seen(Enum):
    """What a trouble looks like to who asks Redis."""

    AWAY = "away"
    """No answer: the breaker opens."""
    REFUSING = "refusing"
    """Errors for answers to every write: it is up, and operations fail."""
    FORGETFUL = "forgetful"
    """It answers, and has forgotten everything."""
    FAILS_OVER = "fails over"
    """No answer for a moment; then another server takes its place while the trouble lasts."""


class Trouble(Enum):
    """What happens to Redis."""

    KILLED = "killed, restarted empty"
    STOPPED = "SIGSTOP"
    PAUSED = "CLIENT PAUSE"
    FULL = "maxmemory 1mb noeviction"
    READ_ONLY = "read-only replica"
    FLUSHED = "FLUSHALL"
    REFUSED = "network refused"
    SLOW = "network slow"
    WRONG_PASSWORD = "wrong password at restart"
    SENTINEL_FAILOVER = "Sentinel failover"
    CLUSTER_NODE_KILLED = "Cluster node killed"

    @property
    def seen(self) -> Seen:
        """What it looks like."""
        return _SEEN.get(self, Seen.AWAY)


_SEEN = {
    Trouble.FULL: Seen.REFUSING,
    Trouble.READ_ONLY: Seen.REFUSING,
    Trouble.FLUSHED: Seen.FORGETFUL,
    Trouble.SENTINEL_FAILOVER: Seen.FAILS_OVER,
    Trouble.CLUSTER_NODE_KILLED: Seen.FAILS_OVER,
}


@dataclass(frozen=True, slots=True)
class Patient:
    """A Redis that is well, and what makes it ill and well again."""

    url: str
    begin: Act
    end: Act


@asynccontextmanager
async def patient(trouble: Trouble, seconds: float) -> AsyncIterator[Patient]:
    """The servers for this trouble, which is to last so long; gone when the context ends."""
    servers: list[Valkey] = []
    try:
        match trouble:
            case Trouble.SENTINEL_FAILOVER:
                yield await asyncio.to_thread(_sentinel, servers)
            case Trouble.CLUSTER_NODE_KILLED:
                yield await asyncio.to_thread(_cluster, servers)
            case Trouble.REFUSED | Trouble.SLOW:
                server = await _start(servers)
                async with _behind_relay(server, trouble) as made:
                    yield made
            case Trouble.FLUSHED:
                async with _flushed(await _start(servers)) as made:
                    yield made
            case Trouble.WRONG_PASSWORD:
                yield _locked(await _start(servers, "--requirepass", _PASSWORD))
            case _:
                yield _single(trouble, await _start(servers), seconds)
    finally:
        for server in servers:
            with suppress(ProcessLookupError, AssertionError):
                server.thaw()
            server.remove()


async def _start(servers: list[Valkey], *once: str) -> Valkey:
    server = Valkey()
    servers.append(server)
    return await asyncio.to_thread(server.start, *once)


def _single(trouble: Trouble, server: Valkey, seconds: float) -> Patient:
    match trouble:
        case Trouble.KILLED:
            return Patient(server.url, _act(server.kill), _act(server.start))
        case Trouble.STOPPED:
            return Patient(server.url, _act(server.freeze), _act(server.thaw))
        case Trouble.PAUSED:  # CLIENT UNPAUSE would wait for the end of the pause like any other command
            return _administered(server, ("CLIENT", "PAUSE", str(int(seconds * 1000)), "ALL"), ("PING",))
        case Trouble.FULL:
            limit = ("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory")
            return _administered(server, (*limit, "1mb"), (*limit, "0"))
        case Trouble.READ_ONLY:
            return _administered(server, ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))
        case _:
            raise AssertionError(trouble)


def _act(work: Callable[..., Any], *arguments: Any) -> Act:
    async def act() -> None:
        await asyncio.to_thread(work, *arguments)

    return act


def _administered(server: Valkey, begin: tuple[str, ...], end: tuple[str, ...]) -> Patient:
    return Patient(server.url, _act(server.admin, *begin), _act(server.admin, *end))


@asynccontextmanager
async def _flushed(server: Valkey) -> AsyncIterator[Patient]:
    """Emptied again and again."""
    flushing: list[asyncio.Task[None]] = []

    async def flush() -> None:
        while True:
            await asyncio.to_thread(server.admin, "FLUSHALL")
            await asyncio.sleep(0.2)

    async def begin() -> None:
        flushing.append(asyncio.create_task(flush()))

    async def end() -> None:
        for task in flushing:
            task.cancel()
        await asyncio.gather(*flushing, return_exceptions=True)

    try:
        yield Patient(server.url, begin, end)
    finally:
        await end()


@asynccontextmanager
async def _behind_relay(server: Valkey, trouble: Trouble) -> AsyncIterator[Patient]:
    async with relay(str(server.folder / "s")) as network:

        async def begin() -> None:
            if trouble is Trouble.REFUSED:
                network.refuse()
            else:
                network.delay_seconds = 2.0

        async def end() -> None:
            network.delay_seconds = 0.0
            network.accept()

        yield Patient(f"redis://127.0.0.1:{network.port}", begin, end)


def _locked(server: Valkey) -> Patient:
    """It comes back with another password, then with the right one."""

    def restart(password: str) -> None:
        server.kill()
        server.start("--requirepass", password)

    url = f"{server.url}?password={_PASSWORD}"
    return Patient(url, _act(restart, "wrong"), _act(restart, _PASSWORD))


def _sentinel(servers: list[Valkey]) -> Patient:
    """A master with one replica, and a Sentinel that decides alone. The old master comes back as a replica."""
    port, other_port, sentinel_port = free_ports(3)
    master = _add(servers, "--port", str(port))
    follower = _add(servers, "--port", str(other_port), "--replicaof", f"127.0.0.1 {port}")
    _wait(partial(_follows, follower))
    watch = Valkey("--sentinel", "--port", str(sentinel_port))
    servers.append(watch)
    configuration = Path(watch.folder) / "sentinel.conf"
    configuration.write_text(
        f"sentinel monitor main 127.0.0.1 {port} 1\n"
        f"sentinel down-after-milliseconds main {FAILOVER_MS}\n"
        "sentinel failover-timeout main 3000\n"
    )
    watch.options = (str(configuration), *watch.options)
    watch.start()
    _wait(lambda: str(other_port) in str(watch.admin("SENTINEL", "REPLICAS", "main")))
    return Patient(f"redis+sentinel://127.0.0.1:{sentinel_port}/main", _act(master.kill), _act(master.start))


def _cluster(servers: list[Valkey]) -> Patient:
    """Three masters with a replica each; the one that has the ledger's counters is killed."""
    nodes = [_node(servers) for _ in range(6)]
    ids = [_text(server.admin("CLUSTER", "MYID")) for server, _ in nodes]
    first, first_port = nodes[0]
    for server, _ in nodes[1:]:
        server.admin("CLUSTER", "MEET", "127.0.0.1", str(first_port), _bus(first))
    for i, (start, end) in enumerate(((0, 5460), (5461, 10922), (10923, 16383))):
        nodes[i][0].admin("CLUSTER", "ADDSLOTSRANGE", str(start), str(end))
    for i in range(3):
        follower = nodes[3 + i][0]
        _wait(partial(_knows, follower, ids[i]))
        follower.admin("CLUSTER", "REPLICATE", ids[i])
    for server, _ in nodes:
        server.wait_for_cluster()
    for server, _ in nodes[3:]:
        _wait(partial(_follows, server))
    slot = int(str(first.admin("CLUSTER", "KEYSLOT", "{spot:default}")))
    victim = nodes[0 if slot <= 5460 else 1 if slot <= 10922 else 2][0]
    hosts = ",".join(f"127.0.0.1:{port}" for _, port in nodes)
    return Patient(f"redis+cluster://{hosts}", _act(victim.kill), _act(victim.start))


def _node(servers: list[Valkey]) -> tuple[Valkey, int]:
    port, bus = free_ports(2)
    options = ("--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus))
    return _add(servers, *options, "--cluster-node-timeout", str(FAILOVER_MS)), port


def _bus(server: Valkey) -> str:
    return server.options[server.options.index("--cluster-port") + 1]


def _add(servers: list[Valkey], *options: str) -> Valkey:
    server = Valkey(*options)
    servers.append(server)
    return server.start()


def _follows(server: Valkey) -> bool:
    return "'master_link_status': 'up'" in str(server.admin("INFO", "replication"))


def _knows(server: Valkey, node: str) -> bool:
    return node in str(server.admin("CLUSTER", "NODES"))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _wait(is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while True:
        with suppress(RedisError):
            if is_so():
                return
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
