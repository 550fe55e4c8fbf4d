"""A client's connection and the server that creates it: those of aiohttp, but for malformed requests and slow readers.

Owns: the answer to bytes that are not HTTP, and closing a connection whose client stopped reading. Must not know: how
requests are answered.

aiohttp answers a malformed request with plain text that repeats the request line, and logs a traceback, so a client
could fill the log. And it waits for a slow reader without limit, which keeps a replaced document in memory.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.core.reply import Outcome, error_reply
from proxy.errors import MalformedRequest, SidecarError

log = structlog.get_logger(__name__)

SERVER = "binance-sidecar"

STALL_SECONDS = 60.0
"""A client that reads no byte of its answer for this long is disconnected."""


class ClientConnection(RequestHandler):
    """aiohttp's connection, which disconnects a client that stopped reading."""

    __slots__ = ("_next_check", "_unread_bytes")

    def __init__(self, manager: web.Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._next_check: asyncio.TimerHandle | None = None
        self._unread_bytes = 0

    def pause_writing(self) -> None:
        """The write buffer is full: check from now on whether the client reads."""
        super().pause_writing()
        self._unread_bytes = 0
        self._check_progress()

    def resume_writing(self) -> None:
        """The write buffer has room again."""
        self._cancel_check()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is closed."""
        self._cancel_check()
        super().connection_lost(exc)

    def _check_progress(self) -> None:
        """Disconnect the client if it has read nothing since the last check."""
        transport = self.transport
        if transport is None:
            return
        unread_bytes = transport.get_write_buffer_size()
        if unread_bytes == self._unread_bytes:
            log.debug("client_stalled", unread_bytes=unread_bytes)
            transport.abort()
            return
        self._unread_bytes = unread_bytes
        self._next_check = asyncio.get_running_loop().call_later(STALL_SECONDS, self._check_progress)

    def _cancel_check(self) -> None:
        if self._next_check is not None:
            self._next_check.cancel()
            self._next_check = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in Binance's format, and close. Raises ConnectionError if a part of an answer was sent already."""
        if request.writer.output_size > 0:
            raise ConnectionError("A part of an answer was sent already.")
        error: SidecarError = MalformedRequest("The request is not HTTP that can be read.")
        if status >= 500:
            log.error("unexpected_error", exc_info=exc)
            error = internal_error()
        else:
            log.debug("malformed_request", peer=request.remote)
        reply = error_reply(error, Outcome.REJECTED)
        response = web.Response(status=reply.status, headers=[*reply.headers, ("Server", SERVER)], body=reply.body)
        response.force_close()
        return response


def internal_error() -> SidecarError:
    """The error for a bug of ours, in the origin's words."""
    return SidecarError("An unknown error occurred while processing the request.")


class Server(web.Server):
    """aiohttp's server with connections of this kind."""

    def __init__(self, handler: Any, *, connection: type[ClientConnection] = ClientConnection, **kwargs: Any) -> None:
        super().__init__(handler)
        self._make = partial(connection, self, loop=asyncio.get_running_loop(), **(kwargs | {"access_log": None}))

    def __call__(self) -> RequestHandler:
        return self._make()
