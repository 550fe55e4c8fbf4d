"""The fast lane: a request whose very bytes were answered before is answered without being parsed.

Owns: the table from request bytes to what was answered, and everything that this package touches of aiohttp's
private parts. Must not know: endpoints, queries, stores. It is invisible: a chunk that is not exactly one remembered
request, on a connection with nothing else under way, goes aiohttp's way; what is answered here is byte for byte what
that way answers, and counted in the same metrics.

What aiohttp keeps, and why the lane may step around it. A connection is *exact* as long as each chunk it received was
one complete request without a body: then the parser holds nothing back. It is *idle* while its task waits for the
next message and none is queued: then nothing is being answered and no body is being drained. Only on an exact, idle
connection whose transport takes more data does the lane write; once a connection is not exact it never is again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Protocol

import structlog
from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

from proxy.core.messages import Outcome, Rendition, Reply

log = structlog.get_logger(__name__)

MAX_REQUESTS = 16_384
MAX_REQUEST_BYTES = 4096
"""Longer requests are not remembered."""
JOIN_BYTES = 64 << 10
"""Bodies above this are written by themselves, without being copied behind the head."""
_REMEMBERED = frozenset({Outcome.HIT, Outcome.SNAPSHOT})
_NEVER = (
    hdrs.AUTHORIZATION,
    hdrs.COOKIE,
    hdrs.EXPECT,
    hdrs.UPGRADE,
    hdrs.CONTENT_LENGTH,
    hdrs.TRANSFER_ENCODING,
    hdrs.CONNECTION,
)
"""A request with one of these goes the ordinary way, but for `Connection: keep-alive`."""
_PRIVATE = (
    "_close",
    "_current_request",
    "_force_close",
    "_keepalive_handle",
    "_keepalive_timeout",
    "_messages",
    "_next_keepalive_close_time",
    "_payload_parser",
    "_request_count",
    "_request_in_progress",
    "_waiter",
)
_PRIVATE_OF_BASE = ("_buffer_paused", "_paused", "_upgraded")


class Versioned(Protocol):
    """What changes whenever an entry is replaced."""

    version: int


class Tally(Protocol):
    """Counts answers of one kind."""

    count: int


@dataclass(slots=True)
class Lane:
    """One remembered request: what it gets, and its bytes as rendered for the present second."""

    rendition: Rendition
    head_only: bool
    version: int
    tally: Tally
    size_bytes: int
    wire: bytes = b""
    """Head, and the body behind it where it is small."""
    body: bytes = b""
    """The body, where it is written by itself."""
    used: int = -1
    good_from: float = 0.0
    good_until: float = -1.0
    date: int = -1


class FastLane:
    """The table. Bounded in requests and bytes; the least recently used are forgotten first."""

    def __init__(  # noqa: PLR0913 - what a head is made of
        self,
        entries: Versioned,
        *,
        wall: Callable[[], float],
        used_weight: Callable[[], int],
        headers: Callable[[Reply, int], list[tuple[str, str]]],
        tally: Callable[[Reply], Tally],
        max_bytes: int,
        max_requests: int = MAX_REQUESTS,
        is_open: Callable[[], bool] = lambda: True,
    ) -> None:
        self._entries = entries
        self._wall = wall
        self._used_weight = used_weight
        self._headers = headers
        self._tally = tally
        self._max_bytes = max_bytes
        self._max_requests = max_requests
        self._is_open = is_open
        self._lanes: OrderedDict[bytes, Lane] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def size_bytes(self) -> int:
        """What is remembered: requests and bodies."""
        return self._bytes

    def find(self, chunk: bytes) -> Lane | None:
        """What to write for these bytes now; None: the ordinary way."""
        lane = self._lanes.get(chunk)
        if lane is None:
            return None
        now = self._wall()
        if lane.version != self._entries.version or not self._is_open():
            self._forget(chunk)
            return None
        used = self._used_weight()
        is_good = lane.good_from <= now < lane.good_until and used == lane.used and lane.date == int(time.time())
        if not is_good and not self._render(lane, now, used):
            self._forget(chunk)
            return None
        self._lanes.move_to_end(chunk)
        lane.tally.count += 1
        return lane

    def learn(self, chunk: bytes, reply: Reply, *, head_only: bool) -> None:
        """Remember a fresh answer that was made from an entry."""
        rendition = reply.rendition
        if rendition is None or reply.outcome not in _REMEMBERED or len(chunk) > MAX_REQUEST_BYTES:
            return
        size_bytes = 2 * len(chunk) + 1024 + len(reply.body)
        if size_bytes > self._max_bytes:
            return
        self._forget(chunk)
        lane = Lane(rendition, head_only, self._entries.version, self._tally(reply), size_bytes)
        self._lanes[chunk] = lane
        self._bytes += size_bytes
        while self._bytes > self._max_bytes or len(self._lanes) > self._max_requests:
            _, oldest = self._lanes.popitem(last=False)
            self._bytes -= oldest.size_bytes

    def _forget(self, chunk: bytes) -> None:
        lane = self._lanes.pop(chunk, None)
        if lane is not None:
            self._bytes -= lane.size_bytes

    def _render(self, lane: Lane, now: float, used: int) -> bool:
        """Make the bytes for the present second; False once the entry is stale."""
        entry = lane.rendition.entry
        age, fresh_seconds = entry.age(now), entry.lifetimes.fresh_seconds
        if age >= fresh_seconds:
            return False
        reply = lane.rendition.reply(now)
        lane.date = int(time.time())
        head = render_head(reply, self._headers(reply, used), date=lane.date, head_only=lane.head_only)
        body = b"" if lane.head_only else reply.body
        lane.wire, lane.body = (head, body) if len(body) > JOIN_BYTES else (head + body, b"")
        lane.used = used
        lane.good_from = now
        # Age counts up a second after the last whole one, ttl down at the end of the one that is running.
        to_next_age = 1.0 - age % 1.0 if now >= entry.stored_at else 0.0
        to_next_ttl = (fresh_seconds - age) % 1.0
        lane.good_until = now + min(to_next_age, to_next_ttl)
        return True


def render_head(reply: Reply, headers: list[tuple[str, str]], *, date: int, head_only: bool) -> bytes:
    """The head of an answer as aiohttp writes it: status line, our headers, Content-Length, Date."""
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if reply.body or (reply.status != 304 and not head_only):
        lines.append(f"Content-Length: {len(reply.body)}")
    lines.append(f"Date: {formatdate(date, usegmt=True)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class FastLaneProtocol(RequestHandler):
    """aiohttp's connection, with the lane in front of its parser."""

    __slots__ = ("_exact", "_lane", "chunk")

    def __init__(self, manager: web.Server, *, lane: FastLane, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._lane = lane
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
            lane = self._lane.find(data)
            transport = self.transport
            if lane is not None and transport is not None and not transport.is_closing():
                transport.write(lane.wire)
                if lane.body:
                    transport.write(lane.body)
                self._answered()
                return
        self._take_ordinary_way(data, idle=idle)

    def _answered(self) -> None:
        """What aiohttp does after an answer."""
        self._request_count += 1
        if self._keepalive_timeout > 0:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            if self._keepalive_handle is None:
                self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def _take_ordinary_way(self, data: bytes, *, idle: bool) -> None:
        """Feed the parser, and watch whether it took the chunk as exactly one request without a body."""
        before = self._request_count
        self.chunk = data if idle else None
        super().data_received(data)
        is_one = self._request_count == before + 1 and data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
        is_plain = is_one and bool(self._messages) and self._messages[-1][1] is EMPTY_PAYLOAD
        if not is_plain or self._upgraded or self._buffer_paused or self._payload_parser is not None:
            self._exact, self.chunk = False, None


class FastLaneServer(web.Server):
    """aiohttp's server, with connections that have a fast lane."""

    def __init__(self, handler: Any, *, lane: FastLane, **kwargs: Any) -> None:
        super().__init__(handler, **kwargs)
        self._lane = lane

    def __call__(self) -> RequestHandler:
        return FastLaneProtocol(self, lane=self._lane, loop=self._loop, **self._kwargs)


def remember(lane: FastLane, request: web.BaseRequest, reply: Reply) -> None:
    """Let the lane learn from an ordinary answer, if the request is one that may be remembered."""
    protocol = request.protocol
    chunk = protocol.chunk if isinstance(protocol, FastLaneProtocol) else None
    if chunk is None or request.version != HttpVersion11 or request.method not in ("GET", "HEAD"):
        return
    headers = request.headers
    if any(name in headers for name in _NEVER) and not _only_keep_alive(headers):
        return
    lane.learn(chunk, reply, head_only=request.method == "HEAD")


def _only_keep_alive(headers: Any) -> bool:
    others = any(name in headers for name in _NEVER if name != hdrs.CONNECTION)
    return not others and headers[hdrs.CONNECTION].lower() == "keep-alive"


def guard() -> list[str]:
    """What the lane needs of aiohttp and does not find: empty as long as aiohttp is as it was tested."""
    missing = [name for name in _PRIVATE if name not in RequestHandler.__slots__]
    base: Any = RequestHandler.__mro__[1]
    missing += [name for name in _PRIVATE_OF_BASE if name not in base.__slots__]
    missing += [name for name in ("_process_keepalive", "data_received") if not hasattr(RequestHandler, name)]
    return missing
