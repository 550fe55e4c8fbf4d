"""A network between the gateways and a server: it can refuse, cut and delay.

Owns: the sockets in between. Must not know: what is said over them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.simulator.listener import Listener

_CHUNK_BYTES = 65_536


class Relay:
    """Passes every connection on to a unix socket."""

    def __init__(self, path: str) -> None:
        self.delay_seconds = 0.0
        """How long each piece of an answer is kept back."""
        self._path = path
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = Listener(self._protocol, host="127.0.0.1", port=0)
        self.port = self._listener.port
        self._listener.listen()

    def refuse(self) -> None:
        """Cut every connection, and refuse new ones."""
        self._listener.refuse()
        self._cut()

    def accept(self) -> None:
        """Accept connections again."""
        self._listener.listen()

    async def close(self) -> None:
        """Cut everything and give the port back."""
        self._listener.close()
        self._cut()
        tasks = list(self._tasks)
        for task in tasks:  # one that is just connecting has no connection to cut yet
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _protocol(self) -> asyncio.BaseProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._connected)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._path)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(to_server)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._copy(reader, to_server, is_answer=False))
                both.create_task(self._copy(from_server, writer, is_answer=True))
        finally:
            for end in (writer, to_server):
                end.transport.abort()
                self._writers.discard(end)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        try:
            while piece := await reader.read(_CHUNK_BYTES):
                if is_answer and self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if writer.transport.is_closing():  # cut while the answer was delayed
                    break
                writer.write(piece)
                await writer.drain()
        except (OSError, RuntimeError):  # the latter from uvloop, for a connection that is closed
            pass  # cut
        writer.transport.abort()


@asynccontextmanager
async def relay(path: str) -> AsyncIterator[Relay]:
    """A relay to a unix socket, for as long as the context lasts."""
    made = Relay(path)
    try:
        yield made
    finally:
        await made.close()
