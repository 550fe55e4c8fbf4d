"""The change feed over HTTP: Server-Sent Events, or a JSON list (HTML standard, section 9.2).

Owns: the headers, the loop of one reader, and how a stream ends. Must not know: where changes come from.

A browser's EventSource never comes back after a 503 or a 429. So a reader that cannot stay gets 200, the time after
which it shall come again, and the end of the stream. Proxies: nginx holds an answer back without
`X-Accel-Buffering: no`, and HAProxy the end of an event without `no-transform`; both close what is silent for a minute,
so there is a comment every 15 seconds. Some clients take each blank line for an event: comments have none.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Protocol

import orjson
from multidict import CIMultiDict

from proxy.bodies import compress
from proxy.core.feed.log import Cursor
from proxy.core.feed.position import FEED_APIS, UNKNOWN, decode, encode
from proxy.core.feed.record import id_bytes
from proxy.core.feed.selection import FeedRequest, Selection, read_request
from proxy.core.query.accepted import accepts_gzip
from proxy.core.reply import Outcome, error_reply
from proxy.errors import MethodNotAllowed, SidecarError
from proxy.feed.hub import Hub, Reader
from proxy.server import web
from proxy.server.connection import ClientConnection
from proxy.server.cors import CORS_HEADERS
from proxy.server.field_lines import list_in
from proxy.server.unreadable import SERVER

HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b":\n"
GREETING = b": binance-sidecar: what changes in the exchange's documents\n"
RETRY_MS = (2_000, 5_000)
"""When a reader shall come again: at different times, so that they do not come all at once."""
AWAY_SECONDS = 1.0
"""Between two attempts to reach Redis, before a reader has been told anything."""
SEND_BUFFER_BYTES = 64 << 10
"""Of the socket of a reader. By default the kernel takes 4 MB for one that reads nothing."""
_EVENT_STREAM, _JSON = "text/event-stream", "application/json"
STREAM_HEADERS = (
    ("Content-Type", _EVENT_STREAM),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
    ("Vary", "Accept"),
    ("Server", SERVER),
    *CORS_HEADERS,
)


class End(Enum):
    """Why a stream ended. The value is a metric label."""

    LEFT = "left"
    """The client left."""
    SLOW = "slow"
    """The client read nothing for a minute."""
    DRAINING = "draining"
    """The gateway stops."""
    FULL = "full"
    """There are SIDECAR_FEED_READERS readers already."""


class FeedObserver(Protocol):
    """Counts readers."""

    def feed_ended(self, end: str) -> None:
        """A reader's stream has ended."""


class Feed:
    """The handler of `/changes`."""

    def __init__(
        self,
        hub: Hub,
        observer: FeedObserver,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        retry_ms: Callable[[], int] = lambda: random.randint(*RETRY_MS),
    ) -> None:
        self._hub = hub
        self._observer = observer
        self._heartbeat_seconds = heartbeat_seconds
        self._retry_ms = retry_ms

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: for a stream, that takes as long as the client stays."""
        try:
            if request.method not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"Request method '{request.method[:20]}' is not supported.")
            asked = read_request(request.raw_path.partition("#")[0].partition("?")[2])
        except SidecarError as error:
            return _refused(error)
        last_event_id = request.headers.get("Last-Event-ID") or asked.last_event_id
        if _prefers_json(list_in(request.headers, "Accept") or ""):
            return await self._list(request, asked, last_event_id)
        response = web.StreamResponse(headers=CIMultiDict(STREAM_HEADERS))
        with suppress(ConnectionError):  # a client that disconnects is no error of ours
            await self._stream(request, response, asked, last_event_id)
        return response

    async def _list(
        self, request: web.BaseRequest, asked: FeedRequest, last_event_id: str | None
    ) -> web.StreamResponse:
        """The changes that are kept, or those after an id, as one JSON value."""
        await self._hub.sync()
        changes = self._hub.log
        cursor, is_reset = changes.oldest(), False
        if last_event_id is not None:
            cursor, first = changes.start(decode(last_event_id) or UNKNOWN, asked.selection)
            is_reset = bool(first)
        told = changes.select(cursor, asked.selection)
        items = [b'{"id":"%s","event":"%s",' % (at.encode(), event.encode()) + data[1:] for at, event, data in told]
        head = orjson.dumps({"id": encode(changes.position), "reset": is_reset})
        body = head[:-1] + b',"changes":[' + b",".join(items) + b"]}"
        headers = [("Content-Type", _JSON), ("Cache-Control", "no-store"), ("Server", SERVER), *CORS_HEADERS]
        headers.append(("Vary", "Accept, Accept-Encoding"))
        packed = await compress(body) if accepts_gzip(list_in(request.headers, "Accept-Encoding")) else None
        if packed is not None:
            headers.append(("Content-Encoding", "gzip"))
        return web.Response(body=packed or body, headers=CIMultiDict(headers))

    async def _stream(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        asked: FeedRequest,
        last_event_id: str | None,
    ) -> None:
        """Raises ConnectionError if the client leaves."""
        response.force_close()
        _bound_send_buffer(request)
        await response.prepare(request)
        if request.method == "HEAD":
            return
        if self._hub.is_closed or self._hub.is_full:
            end = End.DRAINING if self._hub.is_closed else End.FULL
        else:
            end = await self._serve(request, response, asked.selection, last_event_id)
        self._observer.feed_ended(end.value)
        if end in (End.DRAINING, End.FULL):
            await response.write(b"retry: %d\n" % self._retry_ms())

    async def _serve(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        selection: Selection,
        last_event_id: str | None,
    ) -> End:
        connection, transport = request.protocol, request.transport
        if not isinstance(connection, ClientConnection) or transport is None:
            return End.LEFT
        reader = Reader(selection.apis or FEED_APIS, transport.abort)
        self._hub.join(reader)
        try:
            with connection.streaming(reader.leave):
                await self._tell(response, reader, selection, last_event_id)
        except ConnectionError:
            return End.SLOW if connection.has_stalled else End.LEFT
        finally:
            self._hub.leave(reader)
        return End.LEFT if reader.has_left else End.DRAINING

    async def _tell(
        self, response: web.StreamResponse, reader: Reader, selection: Selection, last_event_id: str | None
    ) -> None:
        """Write until the client leaves or the feed closes. Raises ConnectionError."""
        await _write(response, reader, GREETING)
        if not await self._synced(response, reader):
            return
        cursor = await self._begin(response, reader, selection, last_event_id)
        written = cursor.position
        while not (reader.has_left or self._hub.is_closed):
            reader.wake.clear()
            batch = self._hub.log.batch(cursor, selection)
            cursor = batch.cursor
            if batch.data:
                written = cursor.position
                await _write(response, reader, batch.data)
            elif cursor.serial < self._hub.log.end.serial:
                await asyncio.sleep(0)
            elif not await _woken(reader, self._heartbeat_seconds):
                await _write(response, reader, HEARTBEAT if cursor.position == written else id_bytes(cursor.position))
                written = cursor.position

    async def _synced(self, response: web.StreamResponse, reader: Reader) -> bool:
        """Wait until it is known what there is: without Redis nobody can say what a reader has missed."""
        while not await self._hub.sync():
            if await _woken(reader, AWAY_SECONDS) and (reader.has_left or self._hub.is_closed):
                return False
            reader.wake.clear()
            await _write(response, reader, HEARTBEAT)
        return True

    async def _begin(
        self, response: web.StreamResponse, reader: Reader, selection: Selection, last_event_id: str | None
    ) -> Cursor:
        """Tell where the reader is, so that it can come again even before the first change."""
        changes = self._hub.log
        if last_event_id is None:
            cursor, first = changes.end, b""
        else:
            cursor, first = changes.start(decode(last_event_id) or UNKNOWN, selection)
        await _write(response, reader, first or id_bytes(cursor.position))
        return cursor


async def _write(response: web.StreamResponse, reader: Reader, data: bytes) -> None:
    reader.is_blocked = True
    try:
        await response.write(data)
    finally:
        reader.is_blocked = False


async def _woken(reader: Reader, seconds: float) -> bool:
    """Whether the reader was woken within this time."""
    try:
        async with asyncio.timeout(seconds):
            await reader.wake.wait()
    except TimeoutError:
        return False
    return True


def _bound_send_buffer(request: web.BaseRequest) -> None:
    """Let the kernel hold only little for this client."""
    peer = request.transport.get_extra_info("socket") if request.transport is not None else None
    if peer is not None:
        with suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


def _refused(error: SidecarError) -> web.Response:
    reply = error_reply(error, Outcome.REJECTED)
    headers = CIMultiDict([*reply.headers, *CORS_HEADERS, ("Server", SERVER)])
    return web.Response(status=reply.status, headers=headers, body=reply.body)


def _prefers_json(accept: str) -> bool:
    """Whether a list is wanted: JSON is named, and an event stream is not, or is wanted less (RFC 9110, 12.5.1)."""
    weights = {}
    for part in accept.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        with suppress(ValueError):
            weights[name] = float(quality)
    return weights.get(_JSON, 0.0) > weights.get(_EVENT_STREAM, 0.0)
