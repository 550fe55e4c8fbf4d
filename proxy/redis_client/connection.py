"""The one connection to Redis: the client, the deadline of each operation, and the breaker.

Owns: `RedisConnection`, the names of the operations, the mapping of whatever the driver raises to RedisAway.
Must not know: keys, values, or what happens while Redis is away.

These are failures for the breaker: no connection, a broken one, no answer within the deadline, an answer that makes no
sense, refused credentials, a server that is loading. An error that Redis answers (OOM, READONLY, WRONGTYPE, NOPERM,
MOVED) is not: a server that is full or read-only still serves reads, and its answer proves that the connection works.
Such errors are remembered as refusals (`proxy.redis_client.refusals`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum
from typing import Protocol, TypeVar

from redis import exceptions as redis_errors

from proxy.errors import RedisAway
from proxy.redis_client.breaker import Admission, Breaker, BreakerState
from proxy.redis_client.clients import Client, OpenedClient
from proxy.redis_client.deadline import Deadline
from proxy.redis_client.opening import open_client
from proxy.redis_client.refusals import Part, Refusal, Refusals

T = TypeVar("T")


_NO_ANSWER = (
    redis_errors.ConnectionError,  # also wrong credentials, LOADING, no master known to the Sentinels
    redis_errors.TimeoutError,
    redis_errors.InvalidResponse,
    redis_errors.RedisClusterException,
    OSError,
    TimeoutError,
)


_QUOTA = ("reserve", "reconcile", "block", "release", "sync", "ping")
_FEED = ("store", "feed")
_PROBES = ("ping", "probe")


class RedisOperation(Enum):
    """The kinds of operations. The value is a metric label. Each belongs to one part of what Redis does for us."""

    GET = "get"
    PUT = "put"
    LOCK = "lock"
    RENEW = "renew"
    UNLOCK = "unlock"
    RESERVE = "reserve"
    RECONCILE = "reconcile"
    BLOCK = "block"
    RELEASE = "release"
    SYNC = "sync"
    """Leases: what was spent and given back, the next grant, and the state that is pushed to all."""
    PING = "ping"
    """The heartbeat: a script that writes, as a reservation does."""
    PROBE = "probe"
    """A small entry, written as a fill does."""
    STORE = "store"
    """A document with its changes."""
    FEED = "feed"
    """What is new in the streams of changes."""

    def __init__(self, word: str) -> None:
        self.word = word
        """The value as a plain attribute: to read `value` is a call."""
        self.part = Part.FEED if word in _FEED else Part.QUOTA if word in _QUOTA else Part.CACHE
        """What it serves."""
        self.is_probe = word in _PROBES
        """Whether it is tried once a second."""


_COMMANDS = {
    RedisOperation.GET: "HMGET",
    RedisOperation.PUT: "MULTI",
    RedisOperation.PROBE: "MULTI",
    RedisOperation.LOCK: "SET",
}
"""The command that an operation sends. Those that are not here run a script."""


class RedisObserver(Protocol):
    """Counts the operations."""

    def operation(self, operation: RedisOperation, *, seconds: float, ok: bool) -> None:
        """One operation ended. Not called for one that the breaker refused or that was cancelled."""


class RedisConnection:
    """Runs operations on `client`; every key begins with `prefix` and a colon."""

    __slots__ = (
        "_breaker",
        "_close",
        "_closed",
        "_deadline_seconds",
        "_fault",
        "_gate",
        "_monotonic",
        "_observer",
        "_refusals",
        "_running",
        "_silent",
        "client",
        "prefix",
    )

    def __init__(
        self,
        opened: OpenedClient,
        *,
        prefix: str,
        deadline_seconds: float,
        observer: RedisObserver,
        monotonic: Callable[[], float],
    ) -> None:
        self.client: Client = opened.client
        self.prefix = prefix
        self._close = opened.close
        self._closed = False
        self._running: set[Deadline] = set()
        self._deadline_seconds = deadline_seconds
        self._observer = observer
        self._monotonic = monotonic
        self._breaker = Breaker(monotonic)
        self._refusals = Refusals(monotonic)
        self._fault = ""
        self._silent = False
        self._gate = asyncio.Semaphore(opened.connections)

    @property
    def up(self) -> bool:
        """Whether the breaker is closed. A Redis that only refuses writes is up."""
        return self._breaker.state is BreakerState.CLOSED

    @property
    def fault(self) -> str:
        """Why the last operation without an answer failed: the driver's error and its words."""
        return self._fault

    @property
    def refuses(self) -> bool:
        """Whether Redis has refused anything that it was not seen to do since."""
        return self._refusals.has_any

    def refusal(self, part: Part) -> Refusal | None:
        """The error that Redis answered to a part of our work; None: it does it, or does not answer at all."""
        return self._refusals.of(part)

    def shares(self, part: Part) -> bool:
        """Whether Redis does this part of our work: it answered when it was last tried, and refuses nothing."""
        return self.up and not self._silent and self.refusal(part) is None

    async def run(self, operation: RedisOperation, call: Callable[[], Awaitable[T]]) -> T:
        """Run `call` within the deadline, which includes the wait for a free connection.

        Raises RedisAway, whose cause is the driver's error; at once and without I/O while the breaker is open and after
        `close`. `call` must read the answer too: one that makes no sense is an error like those of the driver.
        """
        if self._closed:
            raise _closed(operation)
        admission = self._breaker.admit()
        if admission is Admission.REFUSED:
            raise RedisAway(f"Redis {operation.value}: not tried, because Redis did not answer recently: {self._fault}")
        started = self._monotonic()
        try:
            result = await self._in_time(call)
        except Exception as error:
            raise self._failed(operation, admission, started, error) from error
        except BaseException:
            self._breaker.abandoned(admission)
            raise
        self._breaker.succeeded()
        self._silent = False
        if self._refusals.has_any:
            self._refusals.served(operation.part, operation.value, is_probe=operation.is_probe)
        self._ended(operation, started, ok=True)
        return result

    async def close(self) -> None:
        """Cancel what runs and close every connection. Sends nothing afterwards: `run` raises RedisAway.

        Never fails: a connection that cannot be closed properly is dropped.
        """
        self._closed = True
        await self._break_off()
        for close in self._close:
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    await close()
            except Exception:
                continue

    async def _in_time(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call` within the deadline. Raises what `call` raises, TimeoutError and CancelledError."""
        deadline = Deadline(self._deadline_seconds)
        with deadline:
            self._running.add(deadline)
            try:
                await self._gate.acquire()
                try:
                    return await call()
                finally:
                    self._gate.release()
            finally:
                self._running.discard(deadline)

    async def _break_off(self) -> None:
        """End the deadlines of what runs now. What ran on would open a socket again that nobody closes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline_seconds):
                while self._running:
                    for running in self._running:
                        running.end()
                    await asyncio.sleep(0)

    def _failed(self, operation: RedisOperation, admission: Admission, started: float, error: Exception) -> RedisAway:
        """Take note of what the driver raised."""
        is_answer = isinstance(error, redis_errors.RedisError) and not isinstance(error, _NO_ANSWER)
        if self._closed and not is_answer:
            self._breaker.abandoned(admission)
            return _closed(operation)
        words = f"{type(error).__name__}: {str(error) or 'deadline'}"
        if is_answer:
            self._breaker.succeeded()
            self._silent = False
            command = _COMMANDS.get(operation, "EVALSHA")
            self._refusals.refused(operation.part, operation.value, command=command, words=words)
        else:
            self._breaker.failed(admission)
            self._fault = words
            self._silent |= operation.is_probe
        self._ended(operation, started, ok=False)
        return RedisAway(f"Redis {operation.value}: {words}", is_refusal=is_answer)

    def _ended(self, operation: RedisOperation, started: float, *, ok: bool) -> None:
        self._observer.operation(operation, seconds=self._monotonic() - started, ok=ok)


def _closed(operation: RedisOperation) -> RedisAway:
    return RedisAway(f"Redis {operation.value}: the connection is closed")


def connect(
    url: str,
    *,
    prefix: str,
    deadline_seconds: float,
    observer: RedisObserver,
    monotonic: Callable[[], float] = time.monotonic,
) -> RedisConnection:
    """A connection to the Redis at `url` (forms: `proxy.redis_client.url`). Sends nothing yet.

    Raises ValueError for an invalid URL, and OSError for a file that it names. Neither shows the password.
    """
    opened = open_client(url, deadline_seconds=deadline_seconds)
    return RedisConnection(
        opened, prefix=prefix, deadline_seconds=deadline_seconds, observer=observer, monotonic=monotonic
    )
