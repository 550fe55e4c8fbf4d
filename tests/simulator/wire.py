"""Answers as they go over the wire: headers, gzip, and connections that end badly.

Owns the form of an answer. Must not know why it was given.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import web

JSON = "application/json;charset=UTF-8"
GARBAGE = b"\x16\x03\x01\x02\x00 this is not HTTP \x00\xff\r\n\r\n"
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_ORIGIN_HEADERS = {
    "Server": "nginx",
    "Strict-Transport-Security": "max-age=31536000; includeSubdomains",
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Expires": "0",
}


_KEPT_BYTES = 1 << 20
"""Of a tail whose compressed form is kept for every simulator."""


class Tail:
    """The part of a body that many answers share; it is compressed once, when first needed."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._deflated: bytes | None = None

    @property
    def deflated(self) -> bytes:
        """The final blocks of a raw deflate stream (RFC 1951); they refer to nothing before them."""
        if self._deflated is None:
            deflate = _deflated_once if len(self.data) <= _KEPT_BYTES else _deflated
            self._deflated = deflate(self.data)
        return self._deflated


def _deflated(data: bytes) -> bytes:
    return zlib.compress(data, 6, wbits=-15)


_deflated_once = lru_cache(maxsize=32)(_deflated)


@dataclass(frozen=True, slots=True)
class Body:
    """A body in two parts: its own beginning, and a tail."""

    start: bytes = b""
    tail: Tail = field(default_factory=lambda: Tail(b""))

    def __len__(self) -> int:
        return len(self.start) + len(self.tail.data)

    def identity(self) -> bytes:
        return self.start + self.tail.data

    def gzipped(self) -> bytes:
        """One gzip member (RFC 1952): the start, flushed to a byte boundary, then the kept tail."""
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        start = deflate.compress(self.start) + deflate.flush(zlib.Z_SYNC_FLUSH)
        checksum = zlib.crc32(self.tail.data, zlib.crc32(self.start))
        trailer = struct.pack("<LL", checksum, len(self) & 0xFFFFFFFF)
        return b"".join((_GZIP_HEADER, start, self.tail.deflated, trailer))


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent. `used_weight` is None where it is not told: by the edge, and by some endpoints.

    `is_spot`: the derivatives have another server, tell the weight in one header, and name no charset.
    `extra`: headers that few answers have.
    """

    status: int
    body: Body = field(default_factory=Body)
    content_type: str = JSON
    used_weight: int | None = None
    retry_after: int | None = None
    is_spot: bool = True
    extra: tuple[tuple[str, str], ...] = ()


def headers(answer: Answer, *, now: float) -> dict[str, str]:
    """Every header but those of the encoding; `now` in seconds since the epoch."""
    sent = {"Content-Type": answer.content_type, "Date": formatdate(int(now), usegmt=True), **_ORIGIN_HEADERS}
    if not answer.is_spot:
        sent["Server"] = "Tengine"
        sent["Content-Type"] = answer.content_type.partition(";")[0]
    if answer.used_weight is not None:
        sent["x-mbx-used-weight-1m"] = str(answer.used_weight)
        if answer.is_spot:
            sent["x-mbx-uuid"] = str(uuid.uuid4())
            sent["x-mbx-used-weight"] = str(answer.used_weight)
    sent.update(answer.extra)
    if answer.retry_after is not None:
        sent["Retry-After"] = str(answer.retry_after)
    return sent


def response(answer: Answer, *, asked: Mapping[str, str], now: float) -> web.Response:
    """The whole answer; gzip when it is over 200 bytes and the request (lower-case names) accepts that."""
    sent = headers(answer, now=now)
    if len(answer.body) <= 200:
        return web.Response(status=answer.status, headers=sent, body=answer.body.identity())
    sent["Vary"] = "Accept-Encoding"
    if not accepts_gzip(asked.get("accept-encoding", "")):
        return web.Response(status=answer.status, headers=sent, body=answer.body.identity())
    sent["Content-Encoding"] = "gzip"
    return web.Response(status=answer.status, headers=sent, body=answer.body.gzipped())


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether gzip is named and not refused by `q=0` (RFC 9110, 12.5.3)."""
    for part in accept_encoding.lower().split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() == "gzip":
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def cut_short(transport: asyncio.Transport, answer: Answer, *, now: float) -> None:
    """Promise the whole body, send half of it, close."""
    body = answer.body.identity()
    sent = headers(answer, now=now) | {"Content-Length": str(max(2, len(body)))}
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", *map(": ".join, sent.items())]
    transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body[: len(body) // 2])
    transport.close()


def send_garbage(transport: asyncio.Transport) -> None:
    transport.write(GARBAGE)
    transport.close()


def reset(transport: asyncio.Transport) -> None:
    """End the connection with RST in place of FIN."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # Through a duplicate: event loops lend their socket for looking, not for setting.
        with socket.socket(fileno=os.dup(connection.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
