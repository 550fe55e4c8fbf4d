"""The client that finds its server by Sentinels.

Owns: its connections, the time that the Sentinels have. Must not know: how a URL is written, keys, the breaker.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio.connection import RedisSSLContext
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ReadOnlyError

from proxy.redis_client.clients import OpenedClient, connection_options, options_of
from proxy.redis_client.driver import Address, AddressMap, Named
from proxy.redis_client.pool import Pool, SingleClient
from proxy.redis_client.url import RedisTarget


class _ToMaster(Named):
    """Leaves a server that is a master no more."""

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """An answer. Raises what redis-py does."""
        try:
            return await super().read_response(*args, **options)
        except ReadOnlyError:
            await self.disconnect()  # so that the next use asks the Sentinels
            raise NoConnection("The previous master is now a slave") from None


class SentinelTcpConnection(_ToMaster, SentinelManagedConnection):
    """To the master that the Sentinels name, where the map says."""

    def __init__(self, *, address_map: AddressMap, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._address_map = address_map

    async def connect_to(self, address: Address) -> None:
        """Connect to this server."""
        await super().connect_to(self._address_map.get(address, address))  # type: ignore[no-untyped-call]


class SentinelTlsConnection(_ToMaster, SentinelManagedSSLConnection):
    """To the master that the Sentinels name, where the map says, over TLS."""

    def __init__(self, *, address_map: AddressMap, tls: RedisSSLContext, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._address_map = address_map
        self.ssl_context = tls

    async def connect_to(self, address: Address) -> None:
        """Connect to this server."""
        await super().connect_to(self._address_map.get(address, address))  # type: ignore[no-untyped-call]


class _MasterPool(Pool, SentinelConnectionPool):
    """Of connections to the master. Its idle ones are closed when the Sentinels name another."""


def open_sentinel(target: RedisTarget, deadline_seconds: float) -> OpenedClient:
    """The client that asks the Sentinels of a URL for the master. Raises what redis-py does."""
    options = options_of(target, deadline_seconds, retries=0)
    # A Sentinel that does not answer must leave time for the next one, and for the master.
    timeout_seconds = deadline_seconds / (len(target.addresses) + 1)
    sentinel_options = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "username": options.pop("sentinel_username", None),
        "password": options.pop("sentinel_password", None),
        "protocol": options["protocol"],
        "retry": options["retry"],
        "driver_info": None,
        "maint_notifications_config": options["maint_notifications_config"],
    }
    options |= connection_options(target, SentinelTcpConnection, SentinelTlsConnection)
    sentinel = Sentinel(target.addresses, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    client = sentinel.master_for(target.service, redis_class=SingleClient, connection_pool_class=_MasterPool, **options)
    client.connection_pool.make_connection()
    return OpenedClient(client=client, connections=target.connections, close=(client.aclose, sentinel.aclose))
