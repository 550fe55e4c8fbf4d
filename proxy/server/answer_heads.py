"""The heads of answers as bytes, each in one piece out of few that are kept.

Owns: the order of a head's parts, and which of them are rendered once a second. Must not know: connections, how a reply
is made.

They are those that aiohttp would write of the same headers.
"""

from __future__ import annotations

from proxy.core.quota.pools import SPOT
from proxy.core.reply import Reply, lines_of
from proxy.server.api import USED_IN_MINUTE, USED_WEIGHT, Headers
from proxy.server.cors import CORS_HEADERS
from proxy.server.response_head import status_line


class AnswerHeads:
    """Renders the heads of one listener."""

    __slots__ = ("_headers", "_kept", "_last", "_second", "_used_weight", "_wall")

    def __init__(self, headers: Headers) -> None:
        self._headers = headers
        self._wall, self._used_weight = headers.wall, headers.used_weight
        self._second = -1
        self._kept = self._last = ""
        """What ends the head in this second, on a connection that stays and on one that is closed."""

    def render(self, reply: Reply, *, is_public: bool, closes: bool) -> bytes:
        """Status line, headers, Content-Length, Connection. Raises ValueError for what cannot be written."""
        wall, used_weight = self._wall, self._used_weight
        second = int(wall())
        if second != self._second:
            self._renew(second)
        own, pool, used = reply.lines or lines_of(reply.headers), reply.pool, ""
        weight = None if pool is None else used_weight(pool)
        if weight is not None:  # as in `Headers.used`
            used = f"{USED_IN_MINUTE}: {weight}\r\n"
            if pool == SPOT:
                used = f"{USED_WEIGHT}: {weight}\r\n{used}"
        cors, rest = _CORS if is_public else "", self._last if closes else self._kept
        has_length = bool(reply.body) or reply.status not in (204, 304)
        length = f"Content-Length: {len(reply.body)}\r\n" if has_length else ""
        end = "Connection: close\r\n\r\n" if closes else "\r\n"
        return f"{status_line(reply.status)}\r\n{own}{cors}{used}{rest}{length}{end}".encode()

    def _renew(self, second: int) -> None:
        self._second = second
        self._kept, self._last = (lines_of(self._headers.of_every(is_kept=is_kept)) for is_kept in (True, False))


_CORS = lines_of(CORS_HEADERS)
