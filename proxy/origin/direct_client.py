"""A request that goes out in the turn of the loop in which it came, on a connection that is there.

Owns: its bytes, and reading its answer. Must not know: quota, the health of hosts, what an answer means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache

from proxy.core.messages import OriginResponse, SentHeaders
from proxy.core.query.keyed import KeyedRequest
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import UpstreamFailed
from proxy.event_log import log
from proxy.forward.answer import RawResponse
from proxy.forward.client import RawClient
from proxy.forward.head import is_target, length_line
from proxy.origin.sending import as_bytes, decoded, headers_of

_REMEMBERED = 256
"""How many clients' headers are remembered as bytes."""

Done = Callable[[OriginResponse | UpstreamFailed], None]


class DirectClient:
    """Shares the connections of a raw client."""

    def __init__(self, raw: RawClient, *, max_body_bytes: int, wall: Callable[[], float]) -> None:
        self._raw = raw
        self._max_body_bytes = max_body_bytes
        self._wall = wall
        self._tells = log.tells_debug()
        self._unpacking: set[asyncio.Task[None]] = set()

        @lru_cache(maxsize=_REMEMBERED)
        def lines(base_url: str, headers: tuple[tuple[str, str], ...]) -> tuple[bytes, bytes]:
            return raw.lines(base_url, headers_of(dict(headers)))

        self._lines = lines
        self._shapes: dict[tuple[str, int, bool], tuple[SentHeaders, bytes, bytes, bytes]] = {}
        """The parts of the heads of keyed requests, by base URL, identity of the headers, and if gzip is wanted."""
        self._heads: dict[tuple[str, int], tuple[UpstreamQuery, bytes]] = {}
        """The heads of public queries, which are one object for all that ask alike, by base URL and identity."""

    async def close(self) -> None:
        """Give up what is being unpacked."""
        tasks = list(self._unpacking)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin(
        self, base_url: str, query: UpstreamQuery, *, check: Callable[[], None], seconds: float, done: Done
    ) -> bool:
        """Write one request now; False: there is no connection for it. `done` is called in a later turn.

        What `check` raises is raised here, and nothing is sent. Raises ValueError for a request that is not valid HTTP.
        """
        connection = self._raw.take(base_url)
        if connection is None:
            return False
        body = query.body
        try:
            if isinstance(query, KeyedRequest):
                head = self._keyed_head(base_url, query)
            else:
                head = self._known_head(base_url, query)
            check()
        except BaseException:
            self._raw.give(base_url, connection)
            raise
        sent_at = self._wall()
        if self._tells:
            log.debug("sending")
        reader = self._raw.reader()

        def ended(error: UpstreamFailed | None) -> None:
            if error is not None:
                done(error)
                return
            self._raw.give(base_url, connection)
            raw = reader.response()
            if "content-encoding" in raw.head.texts:
                self._unpack(raw, sent_at, done)
            else:
                done(_response(raw, sent_at, raw.body))

        deadline = asyncio.get_running_loop().time() + seconds
        connection.send(head, body, reader=reader, deadline=deadline, done=ended)
        return True

    def _known_head(self, base_url: str, query: UpstreamQuery) -> bytes:
        place = base_url, id(query)
        known = self._heads.get(place)
        if known is not None:
            return known[1]
        if len(self._heads) >= _REMEMBERED:
            self._heads.clear()
        head = self._head(base_url, query)
        self._heads[place] = query, head  # as long as the query is kept, no other has its identity
        return head

    def _keyed_head(self, base_url: str, query: KeyedRequest) -> bytes:
        """Of a request whose target and key are its own, and are kept nowhere."""
        place = base_url, id(query.sent), query.accepts_gzip
        known = self._shapes.get(place)
        if known is None:
            if len(self._shapes) >= _REMEMBERED:
                self._shapes.clear()
            known = self._shapes[place] = query.sent, *self._shape(base_url, query)
        _, prefix, before, after = known
        target = as_bytes(query.target)
        if not is_target(target):
            raise ValueError("this is no valid request")
        method = query.method
        parts = method.encode(), prefix, target, before, query.api_key.encode(), after
        return b"%b %b%b HTTP/1.1\r\n%b%b%b%b\r\n" % (*parts, length_line(method, len(query.body)))

    def _shape(self, base_url: str, query: KeyedRequest) -> tuple[bytes, bytes, bytes]:
        """What comes before the target, and the lines before and after the value of the key."""
        chosen = {**query.sent.all(""), "Accept-Encoding": "gzip" if query.accepts_gzip else "identity"}
        prefix, lines = self._raw.lines(base_url, headers_of(chosen))
        at = query.sent.key_at
        if at is None:
            return prefix, lines, b""
        before, line, after = lines.partition(b"\r\n%b: " % as_bytes(query.sent.pairs[at][0]))
        return prefix, before + line, after

    def _head(self, base_url: str, query: UpstreamQuery) -> bytes:
        prefix, lines = self._lines(base_url, tuple(query.upstream_headers.items()))
        target = as_bytes(query.target)
        if not is_target(target):
            raise ValueError("this is no valid request")
        length = length_line(query.method, len(query.body))
        return b"%b %b%b HTTP/1.1\r\n%b%b\r\n" % (query.method.encode(), prefix, target, lines, length)

    def _unpack(self, raw: RawResponse, sent_at: float, done: Done) -> None:
        """In a task, because a long body is unpacked in a thread."""

        async def unpack() -> None:
            outcome: OriginResponse | UpstreamFailed
            try:
                outcome = _response(raw, sent_at, await decoded(raw.body, raw.texts, max_bytes=self._max_body_bytes))
            except UpstreamFailed as error:
                outcome = error
            done(outcome)

        task = asyncio.get_running_loop().create_task(unpack())
        self._unpacking.add(task)
        task.add_done_callback(self._unpacking.discard)


def _response(raw: RawResponse, sent_at: float, body: bytes) -> OriginResponse:
    head = raw.head
    return OriginResponse(
        status=head.status,
        headers=head.texts,
        body=body,
        gzip=raw.body if body is not raw.body else None,
        sent_at=sent_at,
        received_at=raw.received_at,
    )
