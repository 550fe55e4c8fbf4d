"""The pool of connections, and the client that sends one command.

Owns: which connection a command gets, that a connection which is broken or not in step is not used again. Must not
know: URLs, deadlines, the breaker, the commands.

Those of redis-py count for metrics that nobody reads here, and repeat what failed; ours send an operation at most once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from redis.asyncio.client import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError, RedisError, ResponseError

from proxy.redis_client.clients import Client, is_cluster
from proxy.redis_client.driver import Named


class Pool(ConnectionPool):
    """Hands out the connection that was used last. The class below it takes every connection for one in use."""

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


class Script(AsyncScript):
    """A script that is called by its hash. redis-py's also serves pipelines, which costs time at each call."""

    async def __call__(self, keys: Any = None, args: Any = None, client: Any = None) -> Any:
        """Call it; if the server does not know it, load it first. Raises what redis-py does."""
        to, keys, args = client or self.registered_client, keys or (), args or ()
        try:
            return await to.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            self.sha = await to.script_load(self.script)
            return await to.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)


class SingleClient(Redis):
    """A client of one server at a time."""

    def register_script(self, script: Any) -> AsyncScript:  # type: ignore[override]
        """A script to call."""
        return Script(self, script)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command, once. Raises what redis-py does."""

        async def ask(connection: Named) -> Any:
            await connection.send_command(*args)
            if args[0] == "EVALSHA":  # redis-py changes nothing of what a script returns
                return await connection.read_response()
            return await self.parse_response(cast(Any, connection), args[0], **options)

        return await self._on_one(ask)

    async def transact(self, commands: tuple[tuple[Any, ...], ...]) -> None:
        """Have commands done together, or none of them. Raises what redis-py does."""
        block = (("MULTI",), *commands, ("EXEC",))

        async def ask(connection: Named) -> None:
            await connection.send_packed_command(connection.pack_commands(block))
            await connection.read_response(to=tuple([command[0] for command in block]))

        await self._on_one(ask)

    async def _on_one(self, ask: Callable[[Named], Awaitable[Any]]) -> Any:
        """Ask on one connection. After an error that is not a server's answer it is closed."""
        pool = self.connection_pool
        connection = cast(Named, await pool.get_connection())  # type: ignore[no-untyped-call]
        try:
            return await ask(connection)
        except ResponseError:
            raise
        except RedisError:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)


async def transact(client: Client, *commands: tuple[Any, ...]) -> None:
    """Have commands done together, or none of them. Raises what redis-py does: a refusal names the command."""
    if not is_cluster(client):
        await cast(SingleClient, client).transact(commands)
    else:
        async with client.pipeline(transaction=True) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            await pipeline.execute()
