"""A network between a gateway and a server: it can refuse, cut, delay and damage.

Owns: the sockets in between, and what happens to the bytes. Must not know: what is said over them.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from tests.simulator.listener import Listener

_CHUNK_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends a reset."""

Target = str | tuple[str, int]
"""The path of a unix socket, or an address."""


class Kind(Enum):
    """What happens to the answers."""

    DELAY = "delay"
    """Each piece is kept back."""
    CUT = "cut"
    """Half of a piece, then the end of the connection."""
    RESET = "reset"
    """Half of a piece, then a reset."""
    HALF_CLOSE = "half-close"
    """Half of a piece, then the end of the answers; what the client sends still passes."""
    DRIP = "drip"
    """One byte after the other."""
    GARBAGE = "garbage"
    """The second half of each piece is other bytes."""


@dataclass(frozen=True, slots=True)
class Damage:
    """`seconds`: between two pieces, or two bytes that drip."""

    kind: Kind
    seconds: float = 0.0
    seed: int = 0

    def garbage(self, size: int) -> bytes:
        """Other bytes."""
        return random.Random(self.seed).randbytes(size)


class Relay:
    """Passes every connection on."""

    def __init__(self, target: Target) -> None:
        self.damage: Damage | None = None
        """What happens to the answers that pass from now on, on old connections and new ones."""
        self.damaged = 0
        """Pieces to which something happened."""
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = Listener(self._protocol, host="127.0.0.1", port=0)
        self.port = self._listener.port
        self._listener.listen()

    @property
    def connections(self) -> int:
        """Those that are being passed on."""
        return len(self._tasks)

    @property
    def delay_seconds(self) -> float:
        """How long each piece of an answer is kept back."""
        return self.damage.seconds if self.damage is not None and self.damage.kind is Kind.DELAY else 0.0

    @delay_seconds.setter
    def delay_seconds(self, seconds: float) -> None:
        self.damage = Damage(Kind.DELAY, seconds) if seconds else None

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
            from_server, to_server = await self._open()
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

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        """Until one end has closed, or the answers have."""
        try:
            while piece := await reader.read(_CHUNK_BYTES):
                damage = self.damage if is_answer else None
                if damage is None:
                    await _write(writer, piece)
                elif await self._write_damaged(writer, piece, damage):
                    return
        except (OSError, RuntimeError):  # the latter from uvloop, for a connection that is closed
            pass  # cut
        writer.transport.abort()

    async def _write_damaged(self, writer: asyncio.StreamWriter, piece: bytes, damage: Damage) -> bool:
        """Whether this way is closed, and the other one open."""
        self.damaged += 1
        half = len(piece) // 2
        match damage.kind:
            case Kind.DELAY:
                await asyncio.sleep(damage.seconds)
                await _write(writer, piece)
            case Kind.DRIP:
                for place in range(len(piece)):
                    await _write(writer, piece[place : place + 1])
                    await asyncio.sleep(damage.seconds)
            case Kind.GARBAGE:
                await _write(writer, piece[:half] + damage.garbage(len(piece) - half))
            case Kind.CUT:
                await _write(writer, piece[:half])
                writer.close()
                raise ConnectionAbortedError
            case Kind.RESET:
                await _write(writer, piece[:half])
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
                raise ConnectionAbortedError
            case Kind.HALF_CLOSE:
                await _write(writer, piece[:half])
                writer.write_eof()
                return True
            case never:
                assert_never(never)
        return False


async def _write(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """ConnectionAbortedError if the connection was cut while the piece was kept back."""
    if writer.transport.is_closing():
        raise ConnectionAbortedError
    writer.write(piece)
    await writer.drain()


@asynccontextmanager
async def relay(target: Target) -> AsyncIterator[Relay]:
    """A relay to a server, for as long as the context lasts."""
    made = Relay(target)
    try:
        yield made
    finally:
        await made.close()
