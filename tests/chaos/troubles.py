"""The troubles that a Redis can have, each with how it begins and how it ends.

Owns: the table of troubles, the servers that each one needs. Must not know: gateways.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.chaos.relay import relay
from tests.chaos.topologies import cluster, sentinel, single_node, wait
from tests.redis_client.valkey import Valkey

Act = Callable[[], Awaitable[None]]
_PASSWORD = "right"
_USER = ("ACL", "SETUSER", "default")


class Seen(Enum):
    """What a trouble looks like to who asks Redis."""

    AWAY = "away"
    """No answer: the breaker opens."""
    REFUSING = "refusing"
    """Errors for answers to writes or scripts: it answers, and does not do all of its work."""
    FORGETFUL = "forgetful"
    """It answers, and has forgotten everything."""
    FAILS_OVER = "fails over"
    """No answer for a moment; then another server takes its place while the trouble lasts."""
    NOTHING = "nothing"
    """It does all that is needed."""


class Trouble(Enum):
    """What happens to Redis."""

    KILLED = "killed, restarted empty"
    STOPPED = "SIGSTOP"
    PAUSED = "CLIENT PAUSE"
    FULL = "maxmemory 1mb noeviction"
    FULL_FROM_START = "full from the start"
    READ_ONLY = "read-only replica"
    READ_ONLY_FROM_START = "read-only from the start"
    ONE_NODE = "one node of a cluster"
    NO_EVALSHA = "no right for EVALSHA"
    NO_SCRIPT = "no right for SCRIPT"
    NO_HELLO = "no HELLO"
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

    @property
    def is_from_start(self) -> bool:
        """Whether it begins before the gateways start."""
        return self in (Trouble.FULL_FROM_START, Trouble.READ_ONLY_FROM_START)


_SEEN = {
    Trouble.FULL: Seen.REFUSING,
    Trouble.FULL_FROM_START: Seen.REFUSING,
    Trouble.READ_ONLY: Seen.REFUSING,
    Trouble.READ_ONLY_FROM_START: Seen.REFUSING,
    Trouble.ONE_NODE: Seen.REFUSING,
    Trouble.NO_EVALSHA: Seen.REFUSING,
    Trouble.NO_SCRIPT: Seen.REFUSING,
    Trouble.NO_HELLO: Seen.NOTHING,
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
                yield _killed(*await asyncio.to_thread(sentinel, servers))
            case Trouble.CLUSTER_NODE_KILLED:
                yield _killed(*await asyncio.to_thread(cluster, servers))
            case Trouble.ONE_NODE:
                yield _without_slots(*await asyncio.to_thread(single_node, servers))
            case Trouble.NO_HELLO:
                yield _administered(await _start(servers, "--rename-command", "HELLO", ""), ("PING",), ("PING",))
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
            pause = ("CLIENT", "PAUSE", str(int(seconds * 1000)), "ALL")
            return Patient(server.url, _act(server.admin, *pause), _act(wait, lambda: bool(server.admin("PING"))))
        case Trouble.FULL | Trouble.FULL_FROM_START:
            limit = ("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory")
            return _administered(server, (*limit, "1mb"), (*limit, "0"))
        case Trouble.NO_EVALSHA:
            return _administered(server, (*_USER, "-evalsha"), (*_USER, "+evalsha"))
        case Trouble.NO_SCRIPT:
            return _without_scripts(server)
        case Trouble.READ_ONLY | Trouble.READ_ONLY_FROM_START:
            return _administered(server, ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))
        case _:
            raise AssertionError(trouble)


def _act(work: Callable[..., Any], *arguments: Any) -> Act:
    async def act() -> None:
        await asyncio.to_thread(work, *arguments)

    return act


def _killed(url: str, server: Valkey) -> Patient:
    return Patient(url, _act(server.kill), _act(server.start))


def _without_slots(url: str, server: Valkey) -> Patient:
    """As a node that shares the slots with others."""
    slots = ("4096", "16383")
    begin, end = ("CLUSTER", "DELSLOTSRANGE", *slots), ("CLUSTER", "ADDSLOTSRANGE", *slots)
    return Patient(url, _act(server.admin, *begin), _act(server.admin, *end))


def _without_scripts(server: Valkey) -> Patient:
    """It has forgotten its scripts, and takes none."""

    def begin() -> None:
        server.admin(*_USER, "-script|load")
        server.admin("SCRIPT", "FLUSH")

    return Patient(server.url, _act(begin), _act(server.admin, *_USER, "+script|load"))


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
