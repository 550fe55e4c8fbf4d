"""Clients that do not read: an answer that is not taken ends the connection.

Owns: how fast an answer must be taken, before and after the connection is closed by us. Must not know: requests.

aiohttp waits for a slow reader without limit, and so does a transport that is closed while it has unsent bytes. Both
keep a replaced document in memory, and a descriptor.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp.web_protocol import RequestHandler

from proxy.event_log import log
from proxy.server import web
from proxy.server.bounds import Connections

STALL_SECONDS = 60.0
"""How often it is checked whether a client takes its answer."""
LEAST_BYTES_A_SECOND = 4096
"""A client that takes less is disconnected."""


class ReadConnection(RequestHandler):
    """aiohttp's connection, which ends if its client does not read."""

    __slots__ = ("_next_check", "_room", "_unread_bytes", "has_stalled", "is_secure")

    def __init__(self, manager: web.Server, *, room: Connections, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._room = room
        self._next_check: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self.is_secure = False
        """Whether it has TLS."""
        self.has_stalled = False
        """Whether the client was disconnected because it did not read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self.is_secure = transport.get_extra_info("sslcontext") is not None
        super().connection_made(transport)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is not taken yet."""
        return self.writing_paused

    def pause_writing(self) -> None:
        """The write buffer is full: check from now on whether the client reads."""
        super().pause_writing()
        self._unread_bytes = 0
        self._check_progress()

    def resume_writing(self) -> None:
        """The write buffer has room again."""
        super().resume_writing()
        self._cancel_check()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is closed."""
        self._cancel_check()
        super().connection_lost(exc)

    def _check_progress(self) -> None:
        """Disconnect the client if it has read too little since the last check, if there was one."""
        transport = self.transport
        if transport is None:
            return
        unread_bytes = transport.get_write_buffer_size()
        if self._unread_bytes and self._unread_bytes - unread_bytes < LEAST_BYTES_A_SECOND * STALL_SECONDS:
            log.debug("client_stalled", unread_bytes=unread_bytes)
            self.has_stalled = True
            self._room.stalled()
            transport.abort()
            return
        self._unread_bytes = unread_bytes
        self._next_check = asyncio.get_running_loop().call_later(STALL_SECONDS, self._check_progress)

    def _process_keepalive(self) -> None:
        """The time of an idle connection is over, says aiohttp, which does not see what the client has yet to read."""
        if self.is_busy:
            self._next_keepalive_close_time = asyncio.get_running_loop().time() + self.keepalive_timeout
        super()._process_keepalive()

    def force_close(self) -> None:
        """Close. A client that does not take the rest of its answer is disconnected."""
        transport = self.transport
        super().force_close()
        self._end(transport)

    async def start(self) -> None:
        """Serve the connection's requests. A client that does not take the rest of the last answer is disconnected."""
        transport = self.transport
        await super().start()
        self._end(transport)

    def _cancel_check(self) -> None:
        if self._next_check is not None:
            self._next_check.cancel()
            self._next_check = None

    def _end(self, transport: asyncio.Transport | None) -> None:
        """Disconnect later on, if we have closed and the client has not taken everything.

        With TLS the event loop does, half a minute after the close.
        """
        if transport is None or self.is_secure or not transport.is_closing():
            return
        if transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(STALL_SECONDS, transport.abort)
