"""The one connection to Redis: the client, the deadline of each operation, and the breaker.

Owns: `RedisConnection`, the names of the operations, the mapping of every driver error to RedisAway.
Must not know: keys, values, or what happens while Redis is away.

These are failures for the breaker: no connection, a broken one, no answer within the deadline, refused credentials,
a server that is loading. An error that Redis answers (OOM, READONLY, WRONGTYPE, NOPERM, CLUSTERDOWN) is not: a server
that is full or read-only still serves reads, and its answer proves that the connection works.
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
from proxy.redis_client.url import Client, OpenedClient, open_client

T = TypeVar("T")


_NO_ANSWER = (
    redis_errors.ConnectionError,  # also wrong credentials, LOADING, no master known to the Sentinels
    redis_errors.TimeoutError,
    redis_errors.InvalidResponse,
    redis_errors.RedisClusterException,
    OSError,
    TimeoutError,
)


class RedisOperation(Enum):
    """The kinds of operations. The value is a metric label."""

    GET = "get"
    PUT = "put"
    LOCK = "lock"
    RENEW = "renew"
    UNLOCK = "unlock"
    RESERVE = "reserve"
    RECONCILE = "reconcile"
    BLOCK = "block"
    RELEASE = "release"
    PING = "ping"


class RedisObserver(Protocol):
    """Counts the operations."""

    def operation(self, operation: RedisOperation, *, seconds: float, ok: bool) -> None:
        """One operation ended. Not called for one that the breaker refused or that was cancelled."""

    def up(self, is_up: bool) -> None:
        """Whether the breaker is closed. Called after each operation that ended."""


class NullRedisObserver:
    """Counts nothing."""

    def operation(self, operation: RedisOperation, *, seconds: float, ok: bool) -> None:
        """Do nothing."""

    def up(self, is_up: bool) -> None:
        """Do nothing."""


class RedisConnection:
    """Runs operations on `client`; every key begins with `prefix` and a colon."""

    __slots__ = (
        "_breaker",
        "_close",
        "_closed",
        "_deadline_seconds",
        "_gate",
        "_monotonic",
        "_observer",
        "_running",
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
        self._closed = asyncio.Event()
        self._running: set[asyncio.Timeout] = set()
        self._deadline_seconds = deadline_seconds
        self._observer = observer
        self._monotonic = monotonic
        self._breaker = Breaker(monotonic)
        self._gate = asyncio.Semaphore(opened.connections)

    @property
    def up(self) -> bool:
        """Whether the breaker is closed. A Redis that only refuses writes is up."""
        return self._breaker.state is BreakerState.CLOSED

    async def run(self, operation: RedisOperation, call: Callable[[], Awaitable[T]]) -> T:
        """Run `call` within the deadline, which includes the wait for a free connection.

        Raises RedisAway, whose cause is the driver's error; at once and without I/O while the breaker is open and after
        `close`.
        """
        if self._closed.is_set():
            raise _closed(operation)
        admission = self._breaker.admit()
        if admission is Admission.REFUSED:
            raise RedisAway(f"Redis {operation.value}: not tried, because Redis did not answer recently")
        started = self._monotonic()
        try:
            result = await self._in_time(call)
        except _NO_ANSWER as error:
            if self._closed.is_set():
                self._breaker.abandoned(admission)
                raise _closed(operation) from error
            self._breaker.failed(admission)
            self._ended(operation, started, ok=False)
            raise _away(operation, error) from error
        except redis_errors.RedisError as error:
            self._breaker.succeeded()
            self._ended(operation, started, ok=False)
            raise _away(operation, error) from error
        except BaseException:
            self._breaker.abandoned(admission)
            raise
        self._breaker.succeeded()
        self._ended(operation, started, ok=True)
        return result

    async def ping(self) -> None:
        """Ping Redis. Raises RedisAway."""
        await self.run(RedisOperation.PING, self._ping)

    async def close(self) -> None:
        """Cancel what runs and close every connection. Sends nothing afterwards: `run` raises RedisAway.

        Never fails: a connection that cannot be closed properly is dropped.
        """
        self._closed.set()
        await self._break_off()
        for close in self._close:
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    await close()
            except (*_NO_ANSWER, redis_errors.RedisError):
                continue

    async def _in_time(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call` within the deadline. Raises what `call` raises, TimeoutError and CancelledError."""
        cancelled = _cancellations()
        async with asyncio.timeout(self._deadline_seconds) as running:
            self._running.add(running)
            try:
                async with self._gate:
                    result = await call()
            finally:
                self._running.discard(running)
        # The driver sends within asyncio.wait_for, which swallows a cancellation that comes as it ends (CPython
        # issue 86296, mended in 3.12): whoever cancelled us would wait for us in vain.
        if _cancellations() > cancelled:
            raise asyncio.CancelledError
        return result

    async def _break_off(self) -> None:
        """End the deadlines of what runs now. What ran on would open a socket again that nobody closes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline_seconds):
                while self._running:
                    for running in self._running:
                        if not running.expired():
                            running.reschedule(0.0)
                    await asyncio.sleep(0)

    async def _ping(self) -> None:
        await self.client.ping()

    def _ended(self, operation: RedisOperation, started: float, *, ok: bool) -> None:
        self._observer.operation(operation, seconds=self._monotonic() - started, ok=ok)
        self._observer.up(self.up)


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _closed(operation: RedisOperation) -> RedisAway:
    return RedisAway(f"Redis {operation.value}: the connection is closed")


def _away(operation: RedisOperation, error: Exception) -> RedisAway:
    return RedisAway(f"Redis {operation.value}: {type(error).__name__}: {str(error) or 'deadline'}")


def connect(
    url: str,
    *,
    prefix: str,
    deadline_seconds: float,
    observer: RedisObserver,
    monotonic: Callable[[], float] = time.monotonic,
) -> RedisConnection:
    """A connection to the Redis at `url` (forms: `proxy.redis_client.url`). Sends nothing yet.

    Raises ValueError for an invalid URL; its text never shows the password.
    """
    opened = open_client(url, deadline_seconds=deadline_seconds)
    return RedisConnection(
        opened, prefix=prefix, deadline_seconds=deadline_seconds, observer=observer, monotonic=monotonic
    )
