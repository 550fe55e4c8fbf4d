"""The connections that redis-py's pools open for us.

Owns: the name that the server shows for us, one TLS context a client, the map of addresses behind NAT, how a short
command is written, and how answers are read. Must not know: URLs, deadlines, the breaker.

redis-py makes a connection of the class that a pool was given, so these are subclasses of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from sys import getsizeof
from typing import Any, TypeAlias, TypeGuard

import hiredis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    DefaultParser,
    RedisSSLContext,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as NoAnswer

from proxy.redis_client.replies import Replies, TooLate

CLIENT_NAME = "binance-sidecar"
SHORT_BYTES = 16 << 10
"""A command up to this size is copied, and written without a wait for the socket."""

Address: TypeAlias = tuple[str, int]
AddressMap: TypeAlias = Mapping[Address, Address]
"""What servers call each other, and where we reach them instead."""


class Named(AbstractConnection):
    """Tells the server who we are. A server, user or proxy that refuses this costs only the name."""

    _replies: Replies | None = None
    """What the server says after the log-in; None before."""

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in, then give the name."""
        if self._replies is not None and self._replies.transport is not _transport_of(self._writer):
            self._replies = None  # over a unix socket redis-py logs in twice
        try:
            await super().on_connect_check_health(check_health)
        except Exception:
            # redis-py closes it after errors of its own kind only. A peer that answers nonsense causes others, and
            # a connection that did not log in would be used again.
            await self.disconnect(nowait=True)
            raise
        await self.send_command("CLIENT", "SETNAME", CLIENT_NAME, check_health=False)
        with suppress(ResponseError):
            await self.read_response()
        transport = _transport_of(self._writer)
        # A newer protocol has messages between the replies, which redis-py sorts out.
        if transport is not None and self._replies is None and str(self.protocol) == "2" and not await self.can_read():
            self._replies = Replies(transport, error_of=DefaultParser.parse_error)

    @property
    def is_in_step(self) -> bool:
        """Whether it is logged in and connected, and the next reply is that to the next command."""
        return self._replies is not None and self._writer is not None and not self._replies.has_any

    async def can_read(self) -> bool:
        """Whether something came that nobody asked for, or the end: then it cannot be used as it is."""
        replies = self._replies
        return await super().can_read() if replies is None or self._writer is None else replies.has_any

    def pack_command(self, *args: Any) -> list[bytes]:
        """The bytes of a command: in C, but for long ones, which would be copied."""
        is_one_word = isinstance(args[0], str) and " " not in args[0]
        if not is_one_word or max(map(getsizeof, args)) > SHORT_BYTES:
            return super().pack_command(*args)
        try:
            return [hiredis.pack_command(args)]
        except TypeError:
            return super().pack_command(*args)  # says what is wrong

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """The bytes of several commands: in one piece, if they are short."""
        packed = [part for command in commands for part in self.pack_command(*command)]
        return [b"".join(packed)] if sum(map(len, packed)) <= SHORT_BYTES else packed

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """Write a short command at once. redis-py makes a task of each, to bound a wait that there is not."""
        transport, now = _transport_of(self._writer), asyncio.get_running_loop().time()
        is_due = check_health and now > self.next_health_check
        if transport is None or is_due or not _is_short(command) or transport.get_write_buffer_size():
            await super().send_packed_command(command, check_health)
        else:
            transport.write(command[0])

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - redis-py's interface
        *,
        disconnect_on_error: bool = True,
        push_request: bool | None = False,
        to: tuple[str, ...] = (),
    ) -> Any:
        """An answer; None if a `timeout` is given and over. Raises what redis-py does.

        `to`: so many commands, by name. Then it is a list, or the first error of one of them: all are read.
        No variable of a frame that an error passes holds it. That would be a cycle, which keeps the task and its
        result in memory, such as a document, until the next full garbage collection.
        """
        replies = self._replies
        try:
            if replies is not None and self._writer is not None:
                reply = await replies.next(self.socket_timeout if timeout is None else timeout, count=len(to))
            else:
                reply = await self._read_slowly(to, disable_decoding, timeout, disconnect_on_error, push_request)
            if to:
                raise_first(reply, to)
        except ResponseError as error:
            reply = None
            raise error.with_traceback(None) from None
        except TooLate:
            if timeout is not None:
                return None
            if disconnect_on_error:
                await self.disconnect(nowait=True)
            raise NoAnswer(f"Timeout reading from {self._host_error()}") from None
        except BaseException:
            reply = None
            if disconnect_on_error:
                await self.disconnect(nowait=True)
            raise
        if self.health_check_interval:
            self.next_health_check = asyncio.get_running_loop().time() + self.health_check_interval
        return reply

    async def _read_slowly(self, to: tuple[str, ...], *args: Any) -> Any:
        """What `read_response` reads, as redis-py does it."""
        disable_decoding, timeout, disconnect_on_error, push_request = args
        if not to:
            return await super().read_response(
                disable_decoding, timeout, disconnect_on_error=disconnect_on_error, push_request=push_request
            )
        replies: list[Any] = []
        for _ in to:
            try:
                replies.append(await super().read_response())
            except ResponseError as error:
                replies.append(error)
        return replies


def raise_first(replies: list[Any], to: tuple[str, ...]) -> None:
    """Raise the first error of the replies to a transaction, also of those in its last one.

    As in redis-py, an error of what is done in it begins with the command that was refused.
    """
    done = replies[-1] if isinstance(replies[-1], list) else []
    for number, reply in enumerate(replies + done):
        if isinstance(reply, RedisError):
            place = number % (len(to) - 1)
            if isinstance(reply, ResponseError) and place:
                reply.args = (f"Command # {place} ({to[place]}) of pipeline caused error: {reply}",)
            raise reply


def _transport_of(writer: asyncio.StreamWriter | None) -> asyncio.WriteTransport | None:
    return None if writer is None else writer.transport


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
