"""What of a request may be sent on as it came: target, listed headers, body.

Owns: that list, and the bound of a body. Must not know: which requests are keyed, what is done with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError
from msgspec.structs import replace
from multidict import MultiMapping

from proxy.core.messages import ClientRequest, SentHeaders
from proxy.server import web
from proxy.server.connection import ClientConnection
from proxy.server.refusals import BodyTooLarge, BodyTooSlow, MalformedRequest

MAX_BODY_BYTES = 1 << 20
BODY_SECONDS = 15.0
"""How long a body may take to come. The client's own time runs out before."""
_PREFIX = b"x-mbx-"
_LISTED = frozenset({b"content-type", b"content-encoding", b"accept"})


async def with_all_parts(asked: ClientRequest, request: web.BaseRequest) -> ClientRequest:
    """The request with everything that may be sent on. Raises BodyTooLarge, BodyTooSlow, MalformedRequest.

    The body is read to its end, in the bytes that the client sent: nothing is decoded but the chunked framing.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _body(request) if request.can_read_body else b""
    except TimeoutError as error:
        raise BodyTooSlow from error
    return replace(
        asked,
        target=target_of(request),
        sent=SentHeaders(listed(request.raw_headers)),
        body=body,
        content_type=readable_type(request.headers),
    )


def target_of(request: web.BaseRequest) -> str:
    """Path and query as sent. Of several slashes at the start one is left; a host before them is dropped."""
    target = request.raw_path.partition("#")[0]
    if not target.startswith("/"):
        target = "/" + target.partition("://")[2].partition("/")[2]
    return "/" + target.lstrip("/")


def readable_type(headers: MultiMapping[str]) -> str:
    """The type of a body that can be read; empty for one in a coding, which is sent on and not decoded."""
    is_coded = any(coding.strip().lower() != "identity" for coding in headers.getall("Content-Encoding", ()))
    return "" if is_coded else headers.get("Content-Type", "")


def listed(raw: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """The headers that may be sent on."""
    return tuple((_text(name), _text(value)) for name, value in raw if _is_listed(name))


def _is_listed(name: bytes) -> bool:
    lower = name.lower()
    return lower in _LISTED or lower.startswith(_PREFIX)


async def _body(request: web.BaseRequest) -> bytes:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise BodyTooLarge(MAX_BODY_BYTES)
    await _invite(request)
    parts, size = [], 0
    if isinstance(request.protocol, ClientConnection):
        request.protocol.reads(request.content)
    try:
        async for part in request.content.iter_any():
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise BodyTooLarge(MAX_BODY_BYTES)
            parts.append(part)
    except (ConnectionError, HttpProcessingError, ClientPayloadError) as error:
        raise MalformedRequest("The request's body breaks off, or cannot be read.") from error
    return b"".join(parts)


async def _invite(request: web.BaseRequest) -> None:
    """Tell a client that waits for it that its body may come (RFC 9110, section 10.1.1)."""
    waits = request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11
    if waits and not request.content.is_eof():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the answer nothing is written yet


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
