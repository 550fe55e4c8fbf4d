"""The heads of answers as bytes, each in two pieces: the reply's own, and what ends every head in this second.

Owns: which pieces are rendered once a second. Must not know: connections, how a reply is made.

They are those that aiohttp would write of the same headers.
"""

from __future__ import annotations

from proxy.core.lines import WITHOUT_BODY, begin_of, lines_of
from proxy.core.reply import Reply
from proxy.server.api import Headers

_Kind = tuple[float, str | None, bool, bool, bool]
"""The second, the pool whose used weight is told, and whether the path is public, the connection closes, a length is
told."""


class AnswerHeads:
    """Renders the heads of one listener."""

    __slots__ = ("_ends", "_headers", "_second", "_used_weight", "_wall")

    def __init__(self, headers: Headers) -> None:
        self._headers = headers
        self._wall, self._used_weight = headers.wall, headers.used_weight
        self._second = 0.0
        self._ends: dict[_Kind, tuple[bytes, slice]] = {}
        """What ends the heads of this second, with a `%d` for each number that is told. These are the part at the slice
        of (used weight, used weight, length): spot tells its used weight under two names."""

    def render(self, reply: Reply, *, is_public: bool, closes: bool) -> bytes:
        """Status line, headers, Content-Length, Connection. Raises ValueError for what cannot be written."""
        pool, size = reply.pool, len(reply.body)
        weight = None if pool is None else self._used_weight(pool)
        if weight is None:
            pool = None
        else:
            weight -= reply.refund
            weight = max(weight, reply.told_weight)
        kind = self._wall() // 1, pool, is_public, closes, size > 0 or reply.status not in WITHOUT_BODY
        end, places = self._ends.get(kind) or self._end(kind)
        return (reply.begin or begin_of(reply.status, reply.headers)) + end % (weight, weight, size)[places]

    def _end(self, kind: _Kind) -> tuple[bytes, slice]:
        second, pool, is_public, closes, has_length = kind
        if second != self._second:
            self._ends.clear()
            self._second = second
        used = None if pool is None else "%d"
        headers = self._headers.with_used(used, pool, is_public=is_public, is_kept=not closes)
        places = slice(2 - sum(text == used for _, text in headers), 3 if has_length else 2)
        if has_length:
            headers.append(("Content-Length", "%d"))
        if closes:
            headers.append(("Connection", "close"))
        end = self._ends[kind] = lines_of(headers) + b"\r\n", places
        return end
