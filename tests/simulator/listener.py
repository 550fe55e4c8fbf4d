"""The listening socket: it can stop listening at once and listen again on the same port.

Owns the socket and the acceptance of connections. Must not know HTTP. asyncio's own Server is not used
because its port is free for anybody while it is closed: here a second socket keeps the port, and refuses. It is bound
before the first one listens: once that is closed, any connection of this machine might be given the port.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable


class Listener:
    """Hands every accepted connection to a new protocol. All methods are called in the event loop."""

    def __init__(self, protocol: Callable[[], asyncio.BaseProtocol], *, host: str, port: int) -> None:
        """Bind the port (0: a free one). OSError if it is taken."""
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._accepting: dict[asyncio.Task[None], socket.socket] = {}
        self._is_listening = False
        self._held = _bound(host, port)
        self._held.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEPORT, 1
        )  # only now: before, it would share a taken port
        self.host: str = host
        self.port: int = self._held.getsockname()[1]
        self._socket = self._held

    def listen(self) -> None:
        """Accept connections from now on."""
        if not self._is_listening:
            self._socket = _bound(self.host, self.port, socket.SO_REUSEPORT)
            self._socket.listen(1024)
            self._loop.add_reader(self._socket, self._accept)
            self._is_listening = True

    def refuse(self) -> None:
        """Refuse connections from now on, and keep the port."""
        if self._is_listening:
            self._loop.remove_reader(self._socket)
            self._is_listening = False
            self._socket.close()
        for task in self._accepting:
            task.cancel()

    def close(self) -> None:
        """Give the port back. Connections that are being accepted are dropped."""
        self.refuse()
        self._held.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._adopt(connection))
        self._accepting[task] = connection
        task.add_done_callback(self._adopted)

    async def _adopt(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()

    def _adopted(self, task: asyncio.Task[None]) -> None:
        connection = self._accepting.pop(task)
        if task.cancelled():  # perhaps before its first step: then nothing within `_adopt` has run
            connection.close()


def _bound(host: str, port: int, *options: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in (socket.SO_REUSEADDR, *options):
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.setblocking(False)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made
