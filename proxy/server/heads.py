"""The heads of requests as aiohttp has read them before: the same bytes need no second reading.

Owns: which heads are remembered, and the request that a head and a request line make. Must not know: connections, what
is done with a request.

A head is what follows the request line. Bots send the same one with each request, while the target changes. An API key
is cut out of a head before it is remembered, so no secret stays here.
"""

from __future__ import annotations

import re
from typing import Any

from aiohttp import hdrs
from aiohttp.http import HttpVersion11, RawRequestMessage
from msgspec import Struct

from proxy.core.messages import ClientRequest, SentHeaders
from proxy.server.field_lines import list_in
from proxy.server.keyed import listed, readable_type
from proxy.server.target import without_port
from proxy.server.template import HEAD_END, MAX_KEY_BYTES, MAX_LINE_BYTES, QUERY, VERSION, Template

API_KEY = "x-mbx-apikey"
MAX_HEAD_BYTES = 4096
MAX_HEADS = 256
MAX_START_BYTES = 256
"""Method and path of a longer start are not read here: no endpoint has one."""
MAX_BODY_BYTES = 1 << 16
_EXCLUDED_HEADERS = (
    hdrs.AUTHORIZATION,
    hdrs.PROXY_AUTHORIZATION,
    hdrs.COOKIE,
    hdrs.EXPECT,
    hdrs.UPGRADE,
    hdrs.VIA,
    hdrs.TRANSFER_ENCODING,
    hdrs.IF_NONE_MATCH,
)
"""A request with one of these, or with a `Connection` other than `keep-alive`, is never remembered."""
_EITHER_CASE = "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in API_KEY)
_KEY = re.compile(rb"(\r\n%b:[ \t]*)([A-Za-z0-9]{1,%d})(?=\r\n|\Z)" % (_EITHER_CASE.encode(), MAX_KEY_BYTES))
"""The line of an API key, which is cut out of what is remembered. To ignore the case would take twice as long."""
_START = re.compile(rb"(GET|POST|PUT|DELETE) (/[A-Za-z0-9._~/-]*)\Z")
"""A request line up to its query, without a byte that is read differently anywhere."""
_MAX_KINDS = 32


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
    kinds: dict[bytes, Any]
    """What requests with this head have in common that begin alike, by these bytes: for whoever asks."""

    def keep(self, start: bytes, kind: Any) -> None:
        """Remember the kind of the requests that begin so, up to the query: not of too many."""
        if len(self.kinds) >= _MAX_KINDS:
            self.kinds.clear()
        self.kinds[start] = kind


class Asked(Struct):
    """One whole request with a known head."""

    head: Head
    line: bytes
    """Method and target."""
    start: bytes
    """The same up to the query."""
    query: bytes
    """Without a byte that is read differently anywhere."""
    api_key: str
    body: bytes

    def place(self) -> tuple[str, str] | None:
        """Method and path; None for a line that must be read."""
        read = _START.match(self.start) if len(self.start) <= MAX_START_BYTES else None
        return None if read is None else (read[1].decode("ascii"), read[2].decode("ascii"))

    def template(self, chunk: bytes, method: str) -> Template:
        """What stays of requests like this one. `chunk`: all of its bytes."""
        rest = chunk[len(self.line) : len(chunk) - len(self.body)]
        found = _KEY.search(rest)
        key_at, key_end = (len(rest), len(rest)) if found is None else found.span(2)
        return Template(
            start=self.start,
            target_at=len(method) + 1,
            before=rest[:key_at],
            after=rest[key_end:],
            has_key=found is not None,
            body_bytes=len(self.body),
        )

    def request(self, method: str, path: str) -> ClientRequest:
        """All of it, by its `place`. Its client is the name that it claims."""
        head = self.head
        return ClientRequest(
            method=method,
            path=path,
            host=head.host,
            raw_query=self.query.decode("ascii"),
            accept=head.accept,
            accept_encoding=head.accept_encoding,
            time_unit=head.time_unit,
            sbe_schema=head.sbe_schema,
            client=head.claimed,
            target=self.line[len(method) + 1 :].decode("ascii"),
            sent=head.sent,
            api_key=self.api_key,
            body=self.body,
            content_type=head.content_type,
        )


class Heads:
    """The heads that were read last, without their API keys."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def learn(self, chunk: bytes, message: RawRequestMessage) -> None:
        """Remember the head of a chunk that is one whole request, as it was read."""
        block = chunk.partition(VERSION)[2].partition(HEAD_END)[0]
        if len(block) > MAX_HEAD_BYTES or not block.startswith(b"\r\n") or not _may_be_remembered(message):
            return
        head, api_key = _without_key(block)
        if head in self._known or message.headers.getall(API_KEY, []) != ([api_key] if api_key else []):
            return
        if len(self._known) >= MAX_HEADS:
            del self._known[next(iter(self._known))]
        self._known[head] = _read(message)

    def asked(self, chunk: bytes) -> Asked | None:
        """The request that these bytes are, if they are one whole request with a known head; else None."""
        line, _, rest = chunk.partition(VERSION)
        block, end, body = rest.partition(HEAD_END)
        bare, api_key = _without_key(block)
        head = self._known.get(bare)
        if head is None or not end or len(body) != head.body_bytes:
            return None
        start, _, query = line.partition(b"?")
        if len(line) > MAX_LINE_BYTES or query.translate(None, QUERY):
            return None
        return Asked(head, line, start, query, api_key, body)


def _without_key(block: bytes) -> tuple[bytes, str]:
    """The lines of a head without the value of the first API key, and that; empty if they have none that is plain."""
    parts = _KEY.split(block, 1)
    if len(parts) == 1:
        return block, ""
    before, name, key, after = parts
    return before + name + after, key.decode("ascii")


def _read(message: RawRequestMessage) -> Head:
    headers, pairs = message.headers, listed(message.raw_headers)
    at = next((at for at, (name, _) in enumerate(pairs) if name.lower() == API_KEY), None)
    if at is not None:
        pairs = (*pairs[:at], (pairs[at][0], ""), *pairs[at + 1 :])
    return Head(
        accept=list_in(headers, "Accept"),
        accept_encoding=list_in(headers, "Accept-Encoding"),
        time_unit=headers.get("X-MBX-TIME-UNIT"),
        sbe_schema=headers.get("X-MBX-SBE"),
        claimed=headers.get("X-Sidecar-Client", ""),
        sent=SentHeaders(pairs, at),
        content_type=readable_type(headers),
        host=without_port(headers.get("Host", "").lower()),
        body_bytes=int(headers.get("Content-Length", "0")),
        kinds={},
    )


def _may_be_remembered(message: RawRequestMessage) -> bool:
    headers = message.headers
    lengths = headers.getall(hdrs.CONTENT_LENGTH, ["0"])
    is_plain = message.version == HttpVersion11 and not message.should_close and not message.upgrade
    is_kept_alive = all(option.lower() == "keep-alive" for option in headers.getall(hdrs.CONNECTION, []))
    has_length = len(lengths) == 1 and lengths[0].isascii() and lengths[0].isdigit() and len(lengths[0]) < 9
    is_short = has_length and int(lengths[0]) <= MAX_BODY_BYTES
    return is_plain and is_kept_alive and is_short and not any(name in headers for name in _EXCLUDED_HEADERS)
