"""One request on its way to a host, and the answer as it came.

Owns: `Sending`, `Answer`, the headers that every request has, the coding of bodies. Must not know: which client sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from proxy import __version__
from proxy.bodies import decompress
from proxy.core.messages import Pairs
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import BadAnswer
from proxy.event_log import log
from proxy.forward.messages import Headers

USER_AGENT = f"binance-sidecar/{__version__}"
_USER_AGENT = ((b"User-Agent", USER_AGENT.encode()),)
_GZIP = ((b"Accept-Encoding", b"gzip"),)


class Sending:
    """The check of one request, and whether it has passed."""

    def __init__(self, check: Callable[[], None], wall: Callable[[], float]) -> None:
        self._check = check
        self._wall = wall
        self.is_allowed = False
        self.at = 0.0
        """When the first byte was about to be written, by the wall clock."""

    def check(self) -> None:
        """Call this right before the first byte is written. What it raises ends the attempt."""
        self._check()
        self.at = self._wall()
        self.is_allowed = True
        log.debug("sending")


class Answer(Struct, frozen=True):
    """A complete answer of a host."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    raw: bytes
    """The body in the coding that the host chose."""
    received_at: float
    """Wall time at which the head arrived."""


def pairs_of(query: UpstreamQuery) -> Pairs:
    """The headers of a query in their order."""
    headers = query.upstream_headers
    return tuple(headers.items()) if isinstance(headers, Mapping) else headers


def headers_of(chosen: Pairs) -> Headers:
    """The headers of a request as bytes: those of the query, and ours."""
    lines = tuple((as_bytes(name), as_bytes(value)) for name, value in chosen)
    return lines + (_USER_AGENT if any(name == "Accept-Encoding" for name, _ in chosen) else _USER_AGENT + _GZIP)


def as_bytes(text: str) -> bytes:
    """What a client sent, where it was read as text."""
    return text.encode("utf-8", "surrogateescape")


async def decoded(raw: bytes, headers: Mapping[str, str], *, max_bytes: int) -> bytes:
    """A body without its coding. Raises BadAnswer."""
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding == "identity" or not raw:
        return raw
    if encoding not in ("gzip", "x-gzip"):
        raise BadAnswer(f"The origin's answer has an unknown coding: {encoding[:20]}.", headers=headers)
    try:
        return await decompress(raw, max_bytes=max_bytes)
    except ValueError as error:
        raise BadAnswer("The origin's answer cannot be decompressed.", headers=headers) from error
