"""What the fast path learns from the answers of the slow path.

Owns: which requests may be remembered with their answers. Must not know: how a remembered answer is found and written.
"""

from __future__ import annotations

from aiohttp import hdrs
from aiohttp.http import HttpVersion11
from multidict import CIMultiDictProxy

from proxy.core.reply import Reply
from proxy.server import web
from proxy.server.fast_path import FastPathProtocol
from proxy.server.fast_path_table import FastPathTable

_EXCLUDED_HEADERS = (
    hdrs.AUTHORIZATION,
    hdrs.COOKIE,
    hdrs.EXPECT,
    hdrs.UPGRADE,
    hdrs.CONTENT_LENGTH,
    hdrs.TRANSFER_ENCODING,
)
"""A request with one of these, or with a `Connection` other than `keep-alive`, always takes the slow path."""


def remember(fast_path: FastPathTable, request: web.BaseRequest, reply: Reply) -> None:
    """Add an answer of the slow path to the table, if its request may be remembered."""
    protocol = request.protocol
    if not isinstance(protocol, FastPathProtocol):
        return
    chunk, protocol.chunk = protocol.chunk, None
    if chunk is None or request.version != HttpVersion11 or request.method not in ("GET", "HEAD"):
        return
    if request.keep_alive and _may_be_remembered(request.headers):
        fast_path.learn(chunk, reply, head_only=request.method == "HEAD")


def _may_be_remembered(headers: CIMultiDictProxy[str]) -> bool:
    options = headers.getall(hdrs.CONNECTION, [])
    is_kept_alive = all(option.lower() == "keep-alive" for option in options)
    return is_kept_alive and not any(name in headers for name in _EXCLUDED_HEADERS)
