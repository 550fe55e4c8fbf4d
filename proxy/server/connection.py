"""A client's connection and the server that creates it: those of aiohttp, but for three kinds of clients.

Owns: the answer to bytes that are not HTTP or too many, what a client gets that has ended its side of the connection,
when the head of a request begins and ends. Must not know: how requests are answered, how many connections there may be.

aiohttp answers a malformed request with plain text that repeats the request line, and logs a traceback, so a client
could fill the log. It leaves a client without its answer that has ended its side (RFC 9112, section 9.6). And it waits
without limit for the rest of a head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, cast

from aiohttp.http import HttpVersion, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from proxy.core.reply import Outcome, error_reply
from proxy.event_log import log
from proxy.server import web
from proxy.server.bounds import Bounds, Connections, Slot
from proxy.server.peers import peer_of
from proxy.server.target import is_spoken
from proxy.server.tls import Certificate, Handshake
from proxy.server.unread import ReadConnection
from proxy.server.unreadable import (
    MAX_FIELD_BYTES,
    MAX_FIELDS,
    MAX_TARGET_BYTES,
    NO_ROOM,
    error_of,
    headers_of,
    internal_error,
)

KEEP_ALIVE_SECONDS = 120.0
LINGER_SECONDS = 1.0
"""How long a client may go on sending after the answer to a request that could not be read."""
SHORTEST_SECONDS = 0.001
"""Of the end: aiohttp takes 0 for no bound at all."""
_START_BYTES = 128
"""Enough for every public path."""


class ClientConnection(ReadConnection):
    """aiohttp's connection, with other answers to malformed requests, and other ways to end."""

    __slots__ = (
        *("_body", "_has_ended", "_is_lingering", "_is_partial", "_left", "_newest", "_on_leave", "_reading", "_slot"),
        *("_start", "_unanswered", "is_answered"),
    )

    def __init__(self, manager: web.Server, **kwargs: Any) -> None:
        bounds = {"max_line_size": MAX_TARGET_BYTES, "max_field_size": MAX_FIELD_BYTES, "max_headers": MAX_FIELDS}
        # No body is ever decoded: a small one could unpack to a large one, and a signature covers the bytes as sent.
        super().__init__(manager, **(bounds | {"auto_decompress": False} | kwargs))
        self._slot: Slot | None = None
        """Its place among the connections of the listener, while it is open."""
        self._unanswered = 0
        """The requests that were parsed and whose answers are not written yet."""
        self.is_answered = False
        """Whether the last answer is written, nothing came since, and the connection stays open."""
        self._body: StreamReader | None = None
        """The body of the request that was answered last."""
        self._newest: Any = EMPTY_PAYLOAD
        """The body of the request that came last."""
        self._reading: StreamReader | None = None
        """The body that an answer waits for."""
        self._has_ended = False
        """Whether the client has ended its side of the connection."""
        self._is_lingering = False
        """Whether what the client sends is thrown away, because it cannot be parsed."""
        self._left: asyncio.Future[None] | None = None
        self._on_leave: Callable[[], None] | None = None
        """Called when the client leaves a stream."""
        self._start = b""
        """The first bytes of the request that is being read, for the case that it cannot be read."""
        self._is_partial = False
        """Whether the head of that request has not ended yet, or cannot be read: what comes next is no other begin."""

    def take(self, slot: Slot) -> None:
        """Have this place, which the connection had while its TLS handshake was under way."""
        self._slot, slot.occupant = slot, self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve it, if there is room."""
        if self._slot is None:
            self._slot = self._room.enter(self, peer_of(transport))
        if self._slot is not None:
            super().connection_made(transport)
            return
        self._is_lingering = True
        refused = cast("asyncio.WriteTransport", transport)
        refused.write(NO_ROOM)
        refused.close()

    @property
    def asked(self) -> int:
        """How many requests have come. If aiohttp counts them no more, a client that ends its side has left."""
        return getattr(self, "_request_count", 0)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is under way, or not taken yet."""
        return self._unanswered > 0 or super().is_busy

    @property
    def idle_since(self) -> float:
        """When the last answer was written; before the first, when the connection was made."""
        return float(getattr(self, "_next_keepalive_close_time", 0.0)) - self.keepalive_timeout

    def disconnect(self) -> None:
        """Close it at once, as nothing is under way."""
        self.force_close()

    def data_received(self, data: bytes) -> None:
        """Parse, unless an earlier request could not be read."""
        if self._is_lingering:
            return
        before, body = self.asked, self._newest
        is_body = not body.is_eof()
        if not self._is_partial:
            self._start = data[:_START_BYTES]
        super().data_received(data)
        parsed = self.asked - before
        self.is_answered = False
        self._is_partial = not (parsed or is_body) and (self._is_partial or data.strip(b"\r\n") != b"")
        self._unanswered += parsed
        if parsed:
            if not body.is_eof():
                self._break_off(body)
            message, self._newest = _newest_of(self)
            self._is_partial = message is not None and not isinstance(message, RawRequestMessage)
            # Behind a body none is looked for: it begins with the first bytes of the next read.
            is_head = self._newest is EMPTY_PAYLOAD and not data.endswith(b"\r\n\r\n")
        else:
            is_head = not is_body and data.strip(b"\r\n") != b""  # some clients end a body with an empty line
        if is_head and data and self._slot is not None:
            self._room.begin_head(self._slot)

    def _break_off(self, body: StreamReader) -> None:
        """The rest of a body cannot be read, and aiohttp would wait for it."""
        if body is self._reading:
            body.set_exception(BadHttpMessage("The body's framing is broken."))
        body.feed_eof()

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp's declaration leaves no choice
        """The client has ended its side. True keeps ours open, for answers under way. TLS cannot, and warns."""
        self._has_ended = True
        self._leave()
        if self._on_leave is not None:
            self._on_leave()
        if self._body is not None and not self._body.is_eof():
            self._body.feed_eof()  # the rest will not come, and aiohttp would wait ten seconds for it
        return self._unanswered > 0 and not self._is_cut and not self.is_secure

    def reads(self, body: StreamReader) -> None:
        """This body is needed for the answer: without its rest there will be none."""
        self._reading = body
        if self._has_ended and self._is_cut and self.transport is not None:
            self.transport.close()

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
        before, self._body = self.asked, request.content
        if not is_spoken(request.version):
            _answer_in(HttpVersion11, request)
        finished = await super().finish_response(request, resp, start_time)
        self._unanswered += self.asked - before - 1
        self.is_answered = self._unanswered == 0 and bool(resp.keep_alive) and request.content.is_eof()
        if self._is_lingering:
            await self._linger()
        elif self._has_ended and self._unanswered <= 0:
            self.force_close()
        return finished

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

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is closed."""
        if self._slot is not None:
            self._room.leave(self._slot)
        self._has_ended = True
        self._leave()
        if self._on_leave is not None:
            self._on_leave()
        super().connection_lost(exc)

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
            self._is_lingering, error = True, error_of(exc)
        reply = error_reply(error, Outcome.REJECTED)
        response = web.Response(status=reply.status, headers=headers_of(reply, self._start), body=reply.body)
        response.force_close()
        return response


def _answer_in(version: HttpVersion, request: web.BaseRequest) -> None:
    """aiohttp's status line repeats the client's version. If aiohttp keeps that elsewhere, it still does."""
    request._version = version
    getattr(request, "_cache", {}).pop("version", None)


def _newest_of(connection: web.RequestHandler) -> tuple[Any, Any]:
    """The request that came last, and its body. If aiohttp keeps them elsewhere, the body is taken for empty."""
    messages = getattr(connection, "_messages", None)
    return messages[-1] if messages else (None, EMPTY_PAYLOAD)


class Server(web.Server):
    """aiohttp's server with connections of this kind."""

    def __init__(
        self,
        handler: Any,
        *,
        room: Connections | None = None,
        certificate: Certificate | None = None,
        handshake_seconds: float = 15.0,
        connection: Callable[..., ClientConnection] = ClientConnection,
        **kwargs: Any,
    ) -> None:
        super().__init__(handler)
        loop = asyncio.get_running_loop()
        self.room = room or Connections(Bounds(), now=loop.time)
        chosen = {"keepalive_timeout": KEEP_ALIVE_SECONDS} | kwargs | {"access_log": None}
        self._make = partial(connection, self, room=self.room, loop=loop, **chosen)
        self._certificate, self._handshake_seconds = certificate, handshake_seconds
        self._handshakes: set[asyncio.Task[None]] = set()

    def __call__(self) -> Any:
        """A new connection; with a certificate, its handshake, which the connection follows."""
        if self._certificate is None:
            return self._make()
        seconds, tasks = self._handshake_seconds, self._handshakes
        return Handshake(self._certificate, self.room, self._make, seconds=seconds, tasks=tasks)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """End every connection, those whose handshake is under way first. Each waits several times for so long."""
        handshakes = tuple(self._handshakes)
        for task in handshakes:
            task.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)
        try:
            async with asyncio.timeout(timeout):
                await super().shutdown(timeout)
        except TimeoutError:
            await super().shutdown(SHORTEST_SECONDS)
