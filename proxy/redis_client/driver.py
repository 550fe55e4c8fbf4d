"""The connections that redis-py's pools open for us.

Owns: the name that the server shows for us, one TLS context a client, the map of addresses behind NAT, how a short
command is written. Must not know: URLs, deadlines, the breaker.

redis-py makes a connection of the class that a pool was given, so these are subclasses of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, TypeGuard

import hiredis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    RedisSSLContext,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ResponseError

CLIENT_NAME = "binance-sidecar"
SHORT_BYTES = 16 << 10
"""A command up to this size is copied, and written without a wait for the socket."""

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

    def pack_command(self, *args: Any) -> list[bytes]:
        """The bytes of a command: in C, but for long ones, which would be copied."""
        is_one_word = isinstance(args[0], str) and " " not in args[0]
        if not is_one_word or any(len(arg) > SHORT_BYTES for arg in args if isinstance(arg, (bytes, str))):
            return super().pack_command(*args)
        try:
            return [hiredis.pack_command(args)]
        except TypeError:
            return super().pack_command(*args)  # says what is wrong

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """Write a short command at once. redis-py makes a task of each, to bound a wait that there is not."""
        writer, now = self._writer, asyncio.get_running_loop().time()
        is_due = check_health and now > self.next_health_check
        if writer is None or is_due or not _is_short(command) or writer.transport.get_write_buffer_size():
            await super().send_packed_command(command, check_health)
        else:
            writer.writelines(command)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """An answer. Raises what redis-py does.

        In the frame where redis-py raises, a variable holds the error: a cycle, which keeps the task and its result in
        memory, such as a document, until the next full garbage collection. Errors leave here without that frame.
        """
        try:
            return await super().read_response(*args, **kwargs)
        except ResponseError as error:
            raise error.with_traceback(None) from None


def _is_short(command: bytes | str | Iterable[bytes]) -> TypeGuard[list[bytes]]:
    return isinstance(command, list) and len(command) == 1 and len(command[0]) <= SHORT_BYTES


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
