"""The pool of connections, and the client that sends one command.

Owns: which connection a command gets, that a connection which is broken or not in step is not used again. Must not
know: URLs, deadlines, the breaker, the commands.

redis-py's own count for metrics that nobody reads here, and try again, which we do not: an operation is sent at most
once.
"""

from __future__ import annotations

from typing import Any, cast

from redis.asyncio.client import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import RedisError, ResponseError

from proxy.redis_client.driver import Named


class Pool(ConnectionPool):
    """Hands out the connection that was used last. For redis-py's pool each is in use for ever."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._idle: list[Named] = []
        super().__init__(*args, **options)

    async def get_connection(self, command_name: str | None = None, *keys: Any, **options: Any) -> AbstractConnection:
        """A connection that is logged in and in step. Raises what redis-py does."""
        connection = self._idle.pop() if self._idle else self._new()
        if not connection.is_in_step:
            try:
                await self.ensure_connection(connection)
            except BaseException:
                await self.release(connection)
                raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back."""
        self._idle.append(cast(Named, connection))

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close all connections, or those that are idle. Raises the first error."""
        if inuse_connections:
            await super().disconnect()
        else:
            for connection in tuple(self._idle):
                await connection.disconnect()

    def reset(self) -> None:
        """Forget all connections."""
        super().reset()  # type: ignore[no-untyped-call]
        self._idle = []

    def _new(self) -> Named:
        return cast(Named, self.get_available_connection())  # type: ignore[no-untyped-call]


class SingleClient(Redis):
    """A client of one server at a time."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command, once. Raises what redis-py does."""
        pool = self.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_command(*args)
            return await self.parse_response(connection, args[0], **options)
        except ResponseError:
            raise
        except RedisError:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)
