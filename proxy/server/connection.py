"""One connection of a client, and the server that makes it: aiohttp's, but for malformed requests and stalled readers.

Owns: the answer to bytes that are no HTTP request, and the end of a connection whose client takes nothing any more.
Must not know: what is answered to requests. aiohttp's own answer to malformed ones is plain text that repeats the
request line, and a traceback in the log: a client could fill it. And aiohttp waits for a reader without end, who would
keep a replaced document in memory for as long.
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
"""A client that takes no byte of its answer for so long is cut off."""


class ClientConnection(RequestHandler):
    """aiohttp's connection."""

    __slots__ = ("_next_look", "_untaken_bytes")

    def __init__(self, manager: web.Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._next_look: asyncio.TimerHandle | None = None
        self._untaken_bytes = 0

    def pause_writing(self) -> None:
        """The client is behind: from now on it is watched."""
        super().pause_writing()
        self._untaken_bytes = 0
        self._look()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._look_no_more()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self._look_no_more()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Cut the client off if it has taken nothing since the last look."""
        transport = self.transport
        if transport is None:
            return
        untaken_bytes = transport.get_write_buffer_size()
        if untaken_bytes == self._untaken_bytes:
            log.debug("client_stalled", untaken_bytes=untaken_bytes)
            transport.abort()
            return
        self._untaken_bytes = untaken_bytes
        self._next_look = asyncio.get_running_loop().call_later(STALL_SECONDS, self._look)

    def _look_no_more(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in Binance's shape, and close. Raises ConnectionError when an answer was begun already."""
        if request.writer.output_size > 0:
            raise ConnectionError("An answer was begun already.")
        error: SidecarError = MalformedRequest("The request is not HTTP that can be read.")
        if status >= 500:
            log.error("unexpected_error", exc_info=exc)
            error = SidecarError("An unknown error occurred while processing the request.")
        else:
            log.debug("malformed_request", peer=request.remote)
        reply = error_reply(error, Outcome.REJECTED)
        response = web.Response(status=reply.status, headers=[*reply.headers, ("Server", SERVER)], body=reply.body)
        response.force_close()
        return response


class Server(web.Server):
    """aiohttp's server, with these connections."""

    def __init__(self, handler: Any, *, connection: type[ClientConnection] = ClientConnection, **kwargs: Any) -> None:
        super().__init__(handler)
        self._make = partial(connection, self, loop=asyncio.get_running_loop(), **(kwargs | {"access_log": None}))

    def __call__(self) -> RequestHandler:
        return self._make()
