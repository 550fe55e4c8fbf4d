"""The connections that redis-py's pools open for us.

Owns: the name that the server shows for us, one TLS context a client, the map of addresses behind NAT. Must not know:
URLs, deadlines, the breaker.

redis-py makes a connection of the class that a pool was given, so these are subclasses of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    RedisSSLContext,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ResponseError

CLIENT_NAME = "binance-sidecar"

Address: TypeAlias = tuple[str, int]
AddressMap: TypeAlias = Mapping[Address, Address]
"""What servers call each other, and where we reach them instead."""


class Named(AbstractConnection):
    """Tells the server who we are. A server, user or proxy that refuses this costs only the name."""

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in, then give the name."""
        try:
            await super().on_connect_check_health(check_health)
        except Exception:
            # redis-py closes it after errors of its own kind only. A peer that answers nonsense causes others, and
            # a connection that did not log in would be used again.
            await self.disconnect(nowait=True)
            raise
        await self.send_command("CLIENT", "SETNAME", CLIENT_NAME, check_health=False)
        try:
            await self.read_response()
        except ResponseError:
            return

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """An answer. Raises what redis-py does.

        In the frame where redis-py raises, a variable holds the error: a cycle, which keeps the task and its result in
        memory, such as a document, until the next full garbage collection. Errors leave here without that frame.
        """
        try:
            return await super().read_response(*args, **kwargs)
        except ResponseError as error:
            raise error.with_traceback(None) from None


class TcpConnection(Named, Connection):
    """Over TCP, to where the map says."""

    def __init__(self, *, address_map: AddressMap, host: str = "localhost", port: int = 6379, **options: Any) -> None:
        host, port = address_map.get((host, int(port)), (host, port))
        super().__init__(host=host, port=port, **options)


class TlsConnection(Named, SSLConnection):
    """Over TLS, to where the map says."""

    def __init__(
        self,
        *,
        address_map: AddressMap,
        tls: RedisSSLContext,
        host: str = "localhost",
        port: int = 6379,
        **options: Any,
    ) -> None:
        host, port = address_map.get((host, int(port)), (host, port))
        super().__init__(host=host, port=port, **options)
        self.ssl_context = tls


class UnixConnection(Named, UnixDomainSocketConnection):
    """Over a unix socket."""

    def __init__(self, *, address_map: AddressMap, **options: Any) -> None:
        super().__init__(**options)


def tls_context(options: Mapping[str, Any]) -> RedisSSLContext:
    """The TLS context for options of redis-py. Reads the files of certificates and keys, so it may take a while.

    Raises OSError, ssl.SSLError, and TypeError or ValueError for an option that redis-py does not know.
    """
    context = SSLConnection(**options).ssl_context
    context.get()
    return context
