"""The heads of the requests that go out without waiting, in few pieces that are kept.

Owns: which pieces are kept: none with a key or a signature. Must not know: connections, who asks.
"""

from __future__ import annotations

from functools import lru_cache

from proxy.core.messages import Pairs, SentHeaders
from proxy.core.query.keyed import KeyedRequest
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.forward.client import RawClient
from proxy.forward.head import VISIBLE, is_target, length_line
from proxy.origin.sending import as_bytes, headers_of, pairs_of

_REMEMBERED = 256
"""How many clients' headers are remembered as bytes."""


class QueryHeads:
    """Renders the heads of one API's requests."""

    def __init__(self, raw: RawClient) -> None:
        self._raw = raw
        self.known: dict[tuple[str, int], tuple[UpstreamQuery, bytes]] = {}
        """Those of public queries, which are one object for all that ask alike, by base URL and identity."""
        self._shapes: dict[tuple[str, int, bool], tuple[SentHeaders, bytes, bytes, bytes]] = {}
        """The parts of the heads of keyed requests, by base URL, identity of the headers, and if gzip is wanted."""

        @lru_cache(maxsize=_REMEMBERED)
        def lines(base_url: str, headers: Pairs) -> tuple[bytes, bytes]:
            return raw.lines(base_url, headers_of(headers))

        self._lines = lines

    def render(self, base_url: str, query: UpstreamQuery) -> bytes:
        """The head of one that is not `known`. Raises ValueError for a request that is not valid HTTP.

        Target and key of a keyed request are its own, and are kept nowhere.
        """
        if not isinstance(query, KeyedRequest):
            return self._public_head(base_url, query)
        place = base_url, id(query.sent), query.accepts_gzip
        known = self._shapes.get(place)
        if known is None:
            if len(self._shapes) >= _REMEMBERED:
                self._shapes.clear()
            known = self._shapes[place] = query.sent, *self._shape(base_url, query)
        _, prefix, before, after = known
        target, method, body = query.raw_target, query.method, query.body
        if not target or target.translate(None, VISIBLE):
            raise ValueError("this is no valid request")
        length = b"Content-Length: %d\r\n" % len(body) if body else length_line(method, 0)
        parts = method.encode(), prefix, target, before, query.raw_key, after, length
        return b"%b %b%b HTTP/1.1\r\n%b%b%b%b\r\n" % parts

    def _public_head(self, base_url: str, query: UpstreamQuery) -> bytes:
        if len(self.known) >= _REMEMBERED:
            self.known.clear()
        head = self._head(base_url, query)
        self.known[base_url, id(query)] = query, head  # as long as the query is kept, no other has its identity
        return head

    def _shape(self, base_url: str, query: KeyedRequest) -> tuple[bytes, bytes, bytes]:
        """What comes before the target, and the lines before and after the value of the key."""
        chosen = (*query.sent.all(""), ("Accept-Encoding", "gzip" if query.accepts_gzip else "identity"))
        prefix, lines = self._raw.lines(base_url, headers_of(chosen))
        at = query.sent.key_at
        if at is None:
            return prefix, lines, b""
        before, line, after = lines.partition(b"\r\n%b: " % as_bytes(query.sent.pairs[at][0]))
        return prefix, before + line, after

    def _head(self, base_url: str, query: UpstreamQuery) -> bytes:
        prefix, lines = self._lines(base_url, pairs_of(query))
        target = as_bytes(query.target)
        if not is_target(target):
            raise ValueError("this is no valid request")
        length = length_line(query.method, len(query.body))
        return b"%b %b%b HTTP/1.1\r\n%b%b\r\n" % (query.method.encode(), prefix, target, lines, length)
