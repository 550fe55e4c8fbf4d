"""The fast path: a request whose very bytes were answered before is answered without being parsed.

Owns: which connections and requests may use it, and everything that this package touches of aiohttp's private parts.
Must not know: endpoints, queries, stores. It is invisible: a chunk that is not exactly one remembered request, on a
connection with nothing else under way, goes aiohttp's way; what is answered here is byte for byte what that way
answers, and counted in the same metrics.

What aiohttp keeps, and why the fast path may step around it. A connection is *exact* as long as each chunk that it
received was one complete request without a body: then the parser holds nothing back. It is *idle* while its task waits
for the next message and none is queued: then nothing is being answered and no body is being drained. The fast path
writes only on a connection that is exact and idle and whose transport takes more data. A connection that is not exact
never becomes exact again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDictProxy

from proxy.core.reply import Reply
from proxy.server.connection import ClientConnection, Server
from proxy.server.fast_path_table import FastPathTable, RememberedResponse

MAX_REQUEST_BYTES = 4096
"""Longer requests are not remembered."""
_NEVER = (
    hdrs.AUTHORIZATION,
    hdrs.COOKIE,
    hdrs.EXPECT,
    hdrs.UPGRADE,
    hdrs.CONTENT_LENGTH,
    hdrs.TRANSFER_ENCODING,
)
"""A request with one of these, or with a `Connection` other than `keep-alive`, always goes the slow path."""
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
"""What the fast path reads and writes of aiohttp's connection."""
PRIVATE_METHODS = ("_drain_helper", "_process_keepalive")


class FastPathProtocol(ClientConnection):
    """aiohttp's connection, with the fast path in front of its parser."""

    __slots__ = ("_exact", "_fast_path", "chunk")

    def __init__(self, manager: web.Server, *, fast_path: FastPathTable, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._fast_path = fast_path
        self._exact = True
        self.chunk: bytes | None = None
        """The bytes of the request that is being answered, if it may be remembered."""

    def data_received(self, data: bytes) -> None:
        """Write at once what is remembered, else go aiohttp's way."""
        if not self._exact:
            super().data_received(data)
            return
        waiter = self._waiter
        idle = waiter is not None and not waiter.done() and not self._messages
        if idle and not (self._paused or self._close or self._force_close):
            fast_path = self._fast_path.find(data)
            if fast_path is not None:
                self._write(fast_path)
                return
        self._take_ordinary_way(data, idle=idle)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Let a slow reader have what the fast path wrote, as aiohttp does for an answer under way."""
        if self._paused:
            with suppress(TimeoutError, ConnectionError):
                await asyncio.wait_for(self._drain_helper(), timeout)
        await super().shutdown(timeout)

    def _write(self, fast_path: RememberedResponse) -> None:
        """What is remembered, and what aiohttp does after an answer."""
        transport = self.transport
        assert transport is not None  # it reads
        transport.write(fast_path.wire)
        if fast_path.body:
            transport.write(fast_path.body)
        self._request_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def _take_ordinary_way(self, data: bytes, *, idle: bool) -> None:
        """Feed the parser, and watch whether it took the chunk as exactly one request without a body."""
        before = self._request_count
        self.chunk = data if idle and len(data) <= MAX_REQUEST_BYTES else None
        super().data_received(data)
        is_one = self._request_count == before + 1 and data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
        is_plain = is_one and bool(self._messages) and self._messages[-1][1] is EMPTY_PAYLOAD
        if not is_plain or self._upgraded or self._buffer_paused or self._payload_parser is not None:
            self._exact, self.chunk = False, None


class FastPathServer(Server):
    """aiohttp's server, with connections that have a fast path."""

    def __init__(self, handler: Any, *, fast_path: FastPathTable, **kwargs: Any) -> None:
        super().__init__(handler, connection=FastPathProtocol, fast_path=fast_path, **kwargs)


def remember(fast_path: FastPathTable, request: web.BaseRequest, reply: Reply) -> None:
    """Let the fast path learn from an ordinary answer, if the request is one that may be remembered."""
    protocol = request.protocol
    if not isinstance(protocol, FastPathProtocol):
        return
    chunk, protocol.chunk = protocol.chunk, None
    if chunk is None or request.version != HttpVersion11 or request.method not in ("GET", "HEAD"):
        return
    if request.keep_alive and _may_be_remembered(request.headers):
        fast_path.learn(chunk, reply, head_only=request.method == "HEAD")


def _may_be_remembered(headers: CIMultiDictProxy[str]) -> bool:
    wishes = headers.getall(hdrs.CONNECTION, [])
    return all(wish.lower() == "keep-alive" for wish in wishes) and not any(name in headers for name in _NEVER)


def missing_private_names() -> list[str]:
    """What the fast path needs of aiohttp and does not find: empty as long as aiohttp is as it was tested."""
    fields = {name for kind in RequestHandler.__mro__ for name in getattr(kind, "__slots__", ())}
    missing = [name for name in PRIVATE_FIELDS if name not in fields]
    return missing + [name for name in PRIVATE_METHODS if not callable(getattr(RequestHandler, name, None))]
