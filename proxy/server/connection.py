"""A client's connection and the server that creates it: those of aiohttp, but for three kinds of clients.

Owns: the answer to bytes that are not HTTP or too many, what a client gets that has ended its side of the connection,
and closing a connection whose client stopped reading. Must not know: how requests are answered.

aiohttp answers a malformed request with plain text that repeats the request line, and logs a traceback, so a client
could fill the log. It leaves a client without its answer that has ended its side (RFC 9112, section 9.6). And it waits
for a slow reader without limit, which keeps a replaced document in memory.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import RequestHandler

from proxy.core.reply import Outcome, error_reply
from proxy.errors import INTERNAL_ERROR, SidecarError
from proxy.event_log import log
from proxy.server.cors import CORS_HEADERS, is_public
from proxy.server.refusals import HeadTooLarge, MalformedRequest, TargetTooLong

SERVER = "binance-sidecar"

STALL_SECONDS = 60.0
"""A client that reads no byte of its answer for this long is disconnected."""
LINGER_SECONDS = 1.0
"""How long a client may go on sending after the answer to a request that could not be read."""
MAX_TARGET_BYTES = 8190
"""Of a request target."""
MAX_FIELD_BYTES = 8192
"""Of a header field. Another number than that of the target: the parser's error tells only the bound."""
MAX_FIELDS = 128
_PATH = re.compile(rb"[A-Z]{1,20} (/[^?#\s]*)[?#\s]")
"""A whole path at the start of a request line."""
_START_BYTES = 128
"""Enough for every public path."""


class ClientConnection(RequestHandler):
    """aiohttp's connection, with other answers to malformed requests, and other ways to end."""

    __slots__ = (
        *("_body", "_has_ended", "_is_lingering", "_is_partial", "_left", "_next_check", "_on_leave", "_reading"),
        *("_start", "_unanswered", "_unread_bytes", "has_stalled", "is_answered"),
    )

    def __init__(self, manager: web.Server, **kwargs: Any) -> None:
        bounds = {"max_line_size": MAX_TARGET_BYTES, "max_field_size": MAX_FIELD_BYTES, "max_headers": MAX_FIELDS}
        # No body is ever decoded: a small one could unpack to a large one, and a signature covers the bytes as sent.
        super().__init__(manager, **(bounds | {"auto_decompress": False} | kwargs))
        self._next_check: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self._unanswered = 0
        """The requests that were parsed and whose answers are not written yet."""
        self.is_answered = False
        """Whether the last answer is written, nothing came since, and the connection stays open."""
        self._body: StreamReader | None = None
        """The body of the request that was answered last."""
        self._reading: StreamReader | None = None
        """The body that an answer waits for."""
        self._has_ended = False
        """Whether the client has ended its side of the connection."""
        self._is_lingering = False
        """Whether what the client sends is thrown away, because it cannot be parsed."""
        self._left: asyncio.Future[None] | None = None
        self._on_leave: Callable[[], None] | None = None
        """Called when the client leaves a stream."""
        self.has_stalled = False
        """Whether it was closed because the client read nothing."""
        self._start = b""
        """The first bytes of the request that is being read, for the case that it cannot be read."""
        self._is_partial = False
        """Whether the head of that request has not ended yet."""

    def data_received(self, data: bytes) -> None:
        """Parse, unless an earlier request could not be read."""
        if self._is_lingering:
            return
        before = self._parsed_count
        if not self._is_partial:
            self._start = data[:_START_BYTES]
        super().data_received(data)
        parsed = self._parsed_count - before
        self.is_answered = False
        self._is_partial = parsed == 0
        self._unanswered += parsed

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp's declaration leaves no choice
        """The client has ended its side. True keeps ours open, for the answers that are under way."""
        self._has_ended = True
        self._leave()
        if self._on_leave is not None:
            self._on_leave()
        if self._body is not None and not self._body.is_eof():
            self._body.feed_eof()  # the rest will not come, and aiohttp would wait ten seconds for it
        return self._unanswered > 0 and not self._is_cut

    def reads(self, body: StreamReader) -> None:
        """This body is needed for the answer: without its rest there will be none."""
        self._reading = body
        if self._has_ended and self._is_cut and self.transport is not None:
            self.transport.close()

    @property
    def is_streaming(self) -> bool:
        """Whether an answer without an end is being written: silence is no sign that the connection is not used."""
        return self._on_leave is not None

    @contextmanager
    def streaming(self, on_leave: Callable[[], None]) -> Iterator[None]:
        """Mark the connection while an answer without an end is written. `on_leave` is called when the client leaves.

        The client that ends its side of the connection leaves too: nothing else tells a closed socket at once.
        """
        self._on_leave = on_leave
        if self._has_ended:
            on_leave()
        try:
            yield
        finally:
            self._on_leave = None

    @property
    def _is_cut(self) -> bool:
        """Whether the rest of that body will never come, if the client has ended its side."""
        return self._reading is not None and not self._reading.is_eof()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer. The last one to a client that has ended its side ends the connection."""
        before, self._body = self._parsed_count, request.content
        finished = await super().finish_response(request, resp, start_time)
        self._unanswered += self._parsed_count - before - 1
        self.is_answered = self._unanswered == 0 and bool(resp.keep_alive) and request.content.is_eof()
        if self._is_lingering:
            await self._linger()
        elif self._has_ended and self._unanswered <= 0:
            self.force_close()
        return finished

    @property
    def _parsed_count(self) -> int:
        """How many requests aiohttp has parsed. If it counts them no more, a client that ends its side has left."""
        return getattr(self, "_request_count", 0)

    async def _linger(self) -> None:
        """Let the client read the answer: to close while it still sends would reset the connection."""
        transport = self.transport
        if transport is None or self._has_ended:
            return
        transport.write_eof()
        self._left = asyncio.get_running_loop().create_future()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self._left

    def _leave(self) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(None)

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
        self._has_ended = True
        self._leave()
        if self._on_leave is not None:
            self._on_leave()
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
            self.has_stalled = True
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
        if status >= 500:
            log.error("unexpected_error", cause=exc)
            error = internal_error()
        else:
            log.debug("malformed_request", peer=request.remote)
            self._is_lingering, error = True, _unreadable(exc)
        reply = error_reply(error, Outcome.REJECTED)
        headers = [*reply.headers, *(CORS_HEADERS if _names_public_path(self._start) else ()), ("Server", SERVER)]
        response = web.Response(status=reply.status, headers=headers, body=reply.body)
        response.force_close()
        return response


def _unreadable(exc: BaseException | None) -> SidecarError:
    """The error for what the parser has refused."""
    if isinstance(exc, LineTooLong):
        is_target = exc.args[1] == MAX_TARGET_BYTES
        return TargetTooLong(MAX_TARGET_BYTES) if is_target else HeadTooLarge(MAX_FIELD_BYTES, MAX_FIELDS)
    if isinstance(exc, BadHttpMessage) and exc.message.startswith("Too many headers"):
        return HeadTooLarge(MAX_FIELD_BYTES, MAX_FIELDS)
    return MalformedRequest("The request is not HTTP that can be read.")


def _names_public_path(start: bytes) -> bool:
    """Whether a request that could not be read begins with a request line for a public path."""
    path = _PATH.match(start)
    return path is not None and is_public("/" + path[1].decode("latin-1").lstrip("/"))


def internal_error() -> SidecarError:
    """The error for a bug of ours, in the origin's words."""
    return SidecarError(INTERNAL_ERROR)


class Server(web.Server):
    """aiohttp's server with connections of this kind."""

    def __init__(self, handler: Any, *, connection: type[ClientConnection] = ClientConnection, **kwargs: Any) -> None:
        super().__init__(handler)
        self._make = partial(connection, self, loop=asyncio.get_running_loop(), **(kwargs | {"access_log": None}))

    def __call__(self) -> RequestHandler:
        return self._make()
