"""The answers to a connection that is not served: bytes that are no request, too many of them, no room.

Owns: how much of a head is read, status, code and headers of these answers. Must not know: how requests are answered.
"""

from __future__ import annotations

import re

from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from proxy.core.reply import Outcome, Reply, error_reply
from proxy.errors import INTERNAL_ERROR, SidecarError
from proxy.server.cors import CORS_HEADERS, is_public
from proxy.server.refusals import HeadTooLarge, MalformedRequest, TargetTooLong, TooManyConnections
from proxy.server.response_head import render_head

SERVER = "binance-sidecar"

MAX_TARGET_BYTES = 8190
"""Of a request target."""
MAX_FIELD_BYTES = 8192
"""Of a header field. Another number than that of the target: the parser's error tells only the bound."""
MAX_FIELDS = 128
_PATH = re.compile(rb"[A-Z]{1,20} (/[^?#\s]*)[?#\s]")
"""A whole path at the start of a request line."""


def error_of(exc: BaseException | None) -> SidecarError:
    """The error for what the parser has refused."""
    if isinstance(exc, LineTooLong):
        is_target = exc.args[1] == MAX_TARGET_BYTES
        return TargetTooLong(MAX_TARGET_BYTES) if is_target else HeadTooLarge(MAX_FIELD_BYTES, MAX_FIELDS)
    if isinstance(exc, BadHttpMessage) and exc.message.startswith("Too many headers"):
        return HeadTooLarge(MAX_FIELD_BYTES, MAX_FIELDS)
    return MalformedRequest("The request is not HTTP that can be read.")


def internal_error() -> SidecarError:
    """The error for a bug of ours, in the origin's words."""
    return SidecarError(INTERNAL_ERROR)


def headers_of(reply: Reply, start: bytes) -> list[tuple[str, str]]:
    """The headers of an answer to a request that could not be read and begins like this."""
    return [*reply.headers, *(CORS_HEADERS if _names_public_path(start) else ()), ("Server", SERVER)]


def _names_public_path(start: bytes) -> bool:
    """Whether a request that could not be read begins with a request line for a public path."""
    path = _PATH.match(start)
    return path is not None and is_public("/" + path[1].decode("latin-1").lstrip("/"))


def _no_room() -> bytes:
    reply = error_reply(TooManyConnections(), Outcome.REJECTED)
    head = render_head(reply, [*headers_of(reply, b""), ("Connection", "close")], head_only=False)
    return head + reply.body


NO_ROOM = _no_room()
"""The whole answer to a connection for which there is no room."""
