"""The fast path: a request with the same bytes as an earlier one is answered without parsing.

Owns: which connections and requests may use it, and which of aiohttp's private names that takes (`connection.py` reads
a few too, and does without one that is missing). Must not know: endpoints, queries, stores.

No client can see a difference. The fast path answers a chunk only if it is exactly one remembered request and nothing
else is under way on the connection. Every other chunk takes the slow path, which is aiohttp's. Both write the same
bytes and count in the same metrics.

Why it may bypass aiohttp's state. A connection is *exact* as long as each chunk that it received was one complete
request without a body: then the parser holds no unparsed bytes. A connection is *idle* while its task waits for the
next message and none is queued: then no answer and no body is under way. The fast path writes only on a connection
that is exact and idle, and whose transport accepts more data. A connection that is not exact never becomes exact again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import hdrs
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

from proxy.background import tick
from proxy.event_log import log
from proxy.server import large_bodies, web
from proxy.server.connection import ClientConnection, Server
from proxy.server.fast_path_table import FastPathTable
from proxy.server.peers import peer_of
from proxy.server.turn import Turn

RELEASE_SECONDS = 1.0
MAX_REQUEST_BYTES = 4096
"""Longer requests are not remembered."""
PRIVATE_FIELDS = (
    "_buffer_paused",
    "_close",
    "_force_close",
    "_keepalive_handle",
    "_keepalive_timeout",
    "_loop",
    "_messages",
    "_next_keepalive_close_time",
    "_paused",
    "_payload_parser",
    "_request_count",
    "_upgraded",
    "_waiter",
)
"""The fields of aiohttp's connection that the fast path reads or writes."""
PRIVATE_METHODS = ("_drain_helper", "_process_keepalive")


class FastPathProtocol(ClientConnection):
    """aiohttp's connection, with the fast path in front of its parser."""

    __slots__ = ("_exact", "_fast_path", "_is_allowed", "_turn", "_usual_write", "_write", "chunk", "is_forwarding")

    def __init__(
        self,
        manager: web.Server,
        *,
        fast_path: FastPathTable,
        turn: Turn,
        is_allowed: Callable[[str], bool],
        **kwargs: Any,
    ) -> None:
        super().__init__(manager, **kwargs)
        self._fast_path = fast_path
        self._turn = turn
        self._is_allowed = is_allowed
        self._exact = True
        self._write: Callable[[bytes], None] | None = None
        """The transport's, while what comes next needs no look at the connection, and nothing is under way."""
        self._usual_write: Callable[[bytes], None] | None = None
        """The same, also while a request is under way that was sent on from here."""
        self.chunk: bytes | None = None
        """The bytes of the request under way, if it may be remembered."""
        self.is_forwarding = False
        """Whether a request is under way of which aiohttp knows nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve it. A client that is not served gets its refusal on the slow path."""
        self._exact = self._is_allowed(peer_of(transport))
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Answer at once, if nothing has happened before but this; else look at everything."""
        if (write := self._write) is not None:  # not counted in `asked`, which matters only while a head is under way
            turn = self._turn
            known = turn.known
            hit = known(data)
            if hit is not None and (hit is turn.present or turn.is_right(hit, self._loop)):
                self._next_keepalive_close_time = turn.loop_time + self._keepalive_timeout
                tally = hit.tally
                count = tally.count = tally.count + 1
                if count == turn.last_count:
                    turn.restart()
                write(hit.wire)
                return
            self._write = None
            if hit is None:
                if turn.has_begun:
                    turn.restart()
                if not self.begins(data):
                    self._take_slow_path(data, idle=True)
                return
        self._look_and_receive(data)

    def _look_and_receive(self, data: bytes) -> None:
        """Write the remembered response, if the connection may use the fast path; else take the slow path."""
        self._turn.restart()
        if self.is_forwarding or not self._exact:
            self.data_is_inexact(data)
            return
        waiter = self._waiter
        # A fast client sends its next request before aiohttp's task has begun to wait for it.
        is_waited_for = self.is_answered if waiter is None else not waiter.done()
        idle = is_waited_for and not self._messages
        if idle and not (self._paused or self._close or self._force_close):
            # TLS encrypts at once all that it is given.
            table = self._fast_path
            remembered = table.find(data, self.is_secure) if data in table.responses else None
            if remembered is not None:
                transport = self.transport
                assert transport is not None  # it has just received data
                if remembered.body:
                    file = None if self.is_secure else remembered.file  # what it has is not encrypted
                    large_bodies.write(transport, remembered.wire, remembered.body, file)
                else:
                    transport.write(remembered.wire)
                self._request_count += 1
                self._stays_open()
                # A task that does not wait yet, a full transport and a large body need another look.
                if not (waiter is None or self.writing_paused or remembered.body):
                    self._write = self._usual_write = transport.write
                return
            if self.transport is not None:
                # While its task does not wait yet, the next request needs another look too.
                self._usual_write = None if waiter is None else self.transport.write
                self._request_count += 1
                if self.begins(data):
                    return
                self._request_count -= 1
        self._take_slow_path(data, idle=idle)

    def begins(self, data: bytes) -> bool:
        """Whether a request is answered from here. Until then the connection `is_forwarding`."""
        return False

    def learns(self, data: bytes, message: RawRequestMessage) -> None:
        """A chunk was read that is one whole request."""

    def data_is_inexact(self, data: bytes) -> None:
        """What comes on a connection that is not exact, or while a request is under way."""
        super().data_received(data)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is under way, or not taken yet."""
        return self.is_forwarding or super().is_busy

    def pause_writing(self) -> None:
        """The write buffer is full."""
        self._write = self._usual_write = None
        super().pause_writing()

    def close(self) -> None:
        """Close it once it is idle."""
        self._write = self._usual_write = None
        super().close()

    def force_close(self) -> None:
        """Close it now."""
        self._write = self._usual_write = None
        super().force_close()

    def _process_keepalive(self) -> None:
        """No connection is idle while a request is under way. Its answer starts the time anew."""
        if self.is_forwarding:
            self._keepalive_handle = None
        else:
            super()._process_keepalive()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Wait until a slow reader has read what the fast path wrote, as aiohttp does for an answer under way."""
        self._write = self._usual_write = None
        if self._paused:
            with suppress(TimeoutError, ConnectionError):
                await asyncio.wait_for(self._drain_helper(), timeout)
        await super().shutdown(timeout)

    def answered(self) -> None:
        """Do what aiohttp does after an answer."""
        self._write = self._usual_write
        turn = self._turn
        if turn.has_begun:
            turn.restart()
        if self._keepalive_handle is None:
            self._stays_open()
        else:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _stays_open(self) -> None:
        """The keep-alive time begins anew."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def _take_slow_path(self, data: bytes, *, idle: bool) -> None:
        """Feed the parser, and check whether the chunk was exactly one request without a body."""
        if not data:  # aiohttp has room again, and reads on in what it has kept: nothing
            super().data_received(data)
            return
        self._usual_write, before = None, self._request_count
        self.chunk = data if idle and len(data) <= MAX_REQUEST_BYTES else None
        super().data_received(data)
        whole = self._whole(data) if self._request_count == before + 1 else None
        if whole is None or self._upgraded or self._buffer_paused or self._payload_parser is not None:
            self._exact, self.chunk = False, None
            return
        message, has_body = whole
        if has_body:
            self.chunk = None
        if idle:
            self.learns(data, message)

    def _whole(self, data: bytes) -> tuple[RawRequestMessage, bool] | None:
        """The request that was read, and whether it has a body, if it is all of a chunk; else None."""
        message, payload = self._messages[-1]
        if not (isinstance(message, RawRequestMessage) and payload.is_eof()) or message.chunked:
            return None
        lengths = message.headers.getall(hdrs.CONTENT_LENGTH, ["0"])
        body_bytes = len(data) - data.find(b"\r\n\r\n") - 4
        if len(lengths) != 1 or not lengths[0].isdigit() or int(lengths[0]) != body_bytes:
            return None
        return message, payload is not EMPTY_PAYLOAD


class FastPathServer(Server):
    """aiohttp's server, with connections that have the fast path."""

    def __init__(
        self,
        handler: Any,
        *,
        fast_path: FastPathTable,
        is_allowed: Callable[[str], bool] = lambda _: True,
        connection: Callable[..., FastPathProtocol] | None = None,
        **kwargs: Any,
    ) -> None:
        """`is_allowed`: whether a client at this address may use the fast path."""
        kind = connection or FastPathProtocol
        kwargs |= {"fast_path": fast_path, "turn": Turn(fast_path), "is_allowed": is_allowed}
        super().__init__(handler, connection=kind, **kwargs)


async def release_outdated(fast_path: FastPathTable | None) -> None:
    """Keep only the present document and the bytes of the present second."""
    while fast_path is not None:
        await tick(RELEASE_SECONDS)
        fast_path.release()


def can_be_used() -> bool:
    """Whether aiohttp has the private names that the fast path needs. If not, logs which are missing."""
    missing = missing_private_names()
    if missing:
        log.warning("fast_path_off", reason="aiohttp has changed", missing=missing)
    return not missing


def missing_private_names() -> list[str]:
    """The private names that the fast path needs and aiohttp lacks: empty for the aiohttp that we test with."""
    fields = {name for kind in RequestHandler.__mro__ for name in getattr(kind, "__slots__", ())}
    missing = [name for name in PRIVATE_FIELDS if name not in fields]
    return missing + [name for name in PRIVATE_METHODS if not callable(getattr(RequestHandler, name, None))]
