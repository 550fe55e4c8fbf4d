"""The heads of requests as aiohttp has read them before: the same bytes need no second reading.

Owns: which heads are remembered, and the request that a head and a request line make. Must not know: connections, what
is done with a request.

A head is what follows the request line. Bots send the same one with each request, while the target changes. An API key
is cut out of a head before it is remembered, so no secret stays here.
"""

from __future__ import annotations

import re

from aiohttp import hdrs
from aiohttp.http import HttpVersion11, RawRequestMessage
from msgspec import Struct

from proxy.core.messages import ClientRequest, SentHeaders
from proxy.server.keyed import listed
from proxy.server.target import without_port

API_KEY = "x-mbx-apikey"
MAX_HEAD_BYTES = 4096
MAX_HEADS = 256
MAX_LINE_BYTES = 256
"""Method and path of a longer line are not read here: no endpoint has one."""
MAX_BODY_BYTES = 1 << 16
_EXCLUDED_HEADERS = (
    hdrs.AUTHORIZATION,
    hdrs.COOKIE,
    hdrs.EXPECT,
    hdrs.UPGRADE,
    hdrs.VIA,
    hdrs.TRANSFER_ENCODING,
    hdrs.IF_NONE_MATCH,
)
"""A request with one of these, or with a `Connection` other than `keep-alive`, is never remembered."""
_KEY = re.compile(rb"\r\n(x-mbx-apikey):[ \t]*([A-Za-z0-9]{1,256})(?=\r\n)", re.IGNORECASE)
"""The line of an API key. It is cut out of what is remembered."""
_START = re.compile(rb"(GET|POST|PUT|DELETE) (/[A-Za-z0-9._~/-]*)\Z")
"""A request line up to its query, without a byte that is read differently anywhere."""
_QUERY = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~!$&'()*+,;=:@/?%-"
"""The bytes of such a query."""
_END = b" HTTP/1.1"


class Head(Struct, frozen=True):
    """What aiohttp has read in one head."""

    accept: str | None
    accept_encoding: str | None
    time_unit: str | None
    sbe_schema: str | None
    claimed: str
    """The name that the client gives itself; empty: none."""
    sent: SentHeaders
    """Those that are sent on with a keyed request, without the key."""
    content_type: str
    host: str
    body_bytes: int


class Heads:
    """The heads that were read last, without their API keys."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self._places: dict[bytes, tuple[str, str]] = {}
        """Method and path of the lines that were read last, up to their queries."""

    def learn(self, chunk: bytes, message: RawRequestMessage) -> None:
        """Remember the head of a chunk that is one whole request, as it was read."""
        start, end = chunk.find(b"\r\n"), chunk.find(b"\r\n\r\n") + 4
        if end - start > MAX_HEAD_BYTES or not _may_be_remembered(message):
            return
        head, api_key = _without_key(chunk[start:end])
        if head in self._known or message.headers.getall(API_KEY, []) != ([api_key] if api_key else []):
            return
        if len(self._known) >= MAX_HEADS:
            del self._known[next(iter(self._known))]
        self._known[head] = _read(message)

    def request(self, chunk: bytes) -> ClientRequest | None:
        """The request that these bytes are, if they are one whole request with a known head; else None.

        Its client is the name that it claims.
        """
        start = chunk.find(b"\r\n")
        end = chunk.find(b"\r\n\r\n", start) + 4
        found = _KEY.search(chunk, start, end)
        if found is None:
            bare, api_key = chunk[start:end], ""
        else:
            at, stop = found.span(2)
            bare, api_key = chunk[start:at] + chunk[stop:end], found[2].decode("ascii")
        head = self._known.get(bare)
        if head is None or len(chunk) - end != head.body_bytes or not chunk.endswith(_END, 0, start):
            return None
        start -= len(_END)
        at = chunk.find(b"?", 0, start)
        line = chunk[:start] if at < 0 else chunk[:at]
        place = self._places.get(line) or self._place(line)
        query = b"" if at < 0 else chunk[at + 1 : start]
        if place is None or query.translate(None, _QUERY):
            return None
        method, path = place
        return ClientRequest(
            method=method,
            path=path,
            host=head.host,
            raw_query=query.decode("ascii"),
            accept=head.accept,
            accept_encoding=head.accept_encoding,
            time_unit=head.time_unit,
            sbe_schema=head.sbe_schema,
            client=head.claimed,
            target=chunk[len(method) + 1 : start].decode("ascii"),
            sent=head.sent,
            api_key=api_key,
            body=chunk[end:],
            content_type=head.content_type,
        )

    def _place(self, line: bytes) -> tuple[str, str] | None:
        """Method and path of a request line, which here ends before its query; None for one that must be read."""
        read = _START.match(line) if len(line) <= MAX_LINE_BYTES else None
        if read is None:
            return None
        if len(self._places) >= MAX_HEADS:
            self._places.clear()
        place = self._places[line] = read[1].decode("ascii"), read[2].decode("ascii")
        return place


def _without_key(head: bytes) -> tuple[bytes, str]:
    """A head without the value of its first API key, and that; empty if it has none that is plain."""
    found = _KEY.search(head)
    if found is None:
        return head, ""
    at, end = found.span(2)
    return head[:at] + head[end:], found[2].decode("ascii")


def _read(message: RawRequestMessage) -> Head:
    headers, pairs = message.headers, listed(message.raw_headers)
    at = next((at for at, (name, _) in enumerate(pairs) if name.lower() == API_KEY), None)
    if at is not None:
        pairs = (*pairs[:at], (pairs[at][0], ""), *pairs[at + 1 :])
    return Head(
        accept=headers.get("Accept"),
        accept_encoding=headers.get("Accept-Encoding"),
        time_unit=headers.get("X-MBX-TIME-UNIT"),
        sbe_schema=headers.get("X-MBX-SBE"),
        claimed=headers.get("X-Sidecar-Client", ""),
        sent=SentHeaders(pairs, at),
        content_type=headers.get("Content-Type", ""),
        host=without_port(headers.get("Host", "").lower()),
        body_bytes=int(headers.get("Content-Length", "0")),
    )


def _may_be_remembered(message: RawRequestMessage) -> bool:
    headers = message.headers
    lengths = headers.getall(hdrs.CONTENT_LENGTH, ["0"])
    is_plain = message.version == HttpVersion11 and not message.should_close and not message.upgrade
    is_kept_alive = all(option.lower() == "keep-alive" for option in headers.getall(hdrs.CONNECTION, []))
    has_length = len(lengths) == 1 and lengths[0].isascii() and lengths[0].isdigit() and len(lengths[0]) < 9
    return is_plain and is_kept_alive and has_length and not any(name in headers for name in _EXCLUDED_HEADERS)
