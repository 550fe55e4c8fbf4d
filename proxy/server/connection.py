"""One connection of a client, and the server that makes it: aiohttp's, but for what it says of malformed requests.

Owns: the answer to bytes that are no HTTP request. Must not know: what is answered to those that are.
aiohttp's own answer is plain text that repeats the request line, and a traceback in the log: a client could fill it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.core.messages import Outcome, error_reply
from proxy.errors import MalformedRequest, SidecarError

log = structlog.get_logger(__name__)

SERVER = "binance-sidecar"


class Connection(RequestHandler):
    """aiohttp's connection."""

    __slots__ = ()

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

    def __init__(self, handler: Any, *, connection: type[Connection] = Connection, **kwargs: Any) -> None:
        super().__init__(handler)
        self._make = partial(connection, self, loop=asyncio.get_running_loop(), **(kwargs | {"access_log": None}))

    def __call__(self) -> RequestHandler:
        return self._make()
