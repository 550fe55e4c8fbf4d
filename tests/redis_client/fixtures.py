"""Connections and servers for the tests that need a real Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from proxy.redis_client.connection import RedisConnection, RedisObserver, RedisOperation, connect
from tests.redis_client.valkey import Valkey

PATIENT_SECONDS = 10.0
"""A deadline that only a hanging server passes."""

StartValkey = Callable[..., Valkey]
Opener = Callable[..., RedisConnection]


class NullRedisObserver:
    """Counts nothing."""

    def operation(self, operation: RedisOperation, *, seconds: float, ok: bool) -> None:
        """Do nothing."""


async def ping(connection: RedisConnection) -> None:
    """The smallest operation that every server does. Raises RedisAway."""

    async def call() -> None:
        await connection.client.ping()

    await connection.run(RedisOperation.PING, call)


@pytest.fixture
def start_valkey() -> Iterator[StartValkey]:
    """Start servers with options; they are gone when the test ends."""
    servers: list[Valkey] = []

    def start(*options: str) -> Valkey:
        server = Valkey(*options)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.remove()


@pytest_asyncio.fixture
async def opened() -> AsyncIterator[Opener]:
    """Open connections; they are closed when the test ends."""
    connections: list[RedisConnection] = []

    def opener(
        url: str,
        *,
        deadline_seconds: float = PATIENT_SECONDS,
        observer: RedisObserver | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> RedisConnection:
        more = {} if monotonic is None else {"monotonic": monotonic}
        connection = connect(
            url,
            prefix="test",
            deadline_seconds=deadline_seconds,
            observer=observer or NullRedisObserver(),
            **more,
        )
        connections.append(connection)
        return connection

    yield opener
    for connection in connections:
        await connection.close()


@pytest_asyncio.fixture
async def connection(redis_url: str, opened: Opener) -> RedisConnection:
    """A patient connection to the shared, empty server."""
    return opened(redis_url)
