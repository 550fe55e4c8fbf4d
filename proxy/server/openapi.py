"""`/openapi.json`: the description of what this gateway serves.

Owns: its bytes, made at the first request and kept. Must not know: what they say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from multidict import CIMultiDict

from proxy.bodies import compress
from proxy.core.query.accepted import accepts_gzip
from proxy.core.reply import Outcome, error_reply
from proxy.errors import MethodNotAllowed
from proxy.server import web
from proxy.server.cors import CORS_HEADERS
from proxy.server.field_lines import list_in
from proxy.server.unreadable import SERVER


class OpenApi:
    """The handler."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe
        self._body: bytes | None = None
        self._packed: bytes | None = None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        headers = CIMultiDict([*CORS_HEADERS, ("Server", SERVER)])
        if request.method not in ("GET", "HEAD"):
            reply = error_reply(
                MethodNotAllowed(f"Request method '{request.method[:20]}' is not supported."), Outcome.REJECTED
            )
            headers.extend(reply.headers)
            return web.Response(status=reply.status, headers=headers, body=reply.body)
        if self._body is None:
            self._body = orjson.dumps(self._describe(), option=orjson.OPT_NON_STR_KEYS)
            self._packed = await compress(self._body)
        headers.extend({"Content-Type": "application/json", "Vary": "Accept-Encoding", "Cache-Control": "max-age=300"})
        if self._packed is not None and accepts_gzip(list_in(request.headers, "Accept-Encoding")):
            headers["Content-Encoding"] = "gzip"
            return web.Response(headers=headers, body=self._packed)
        return web.Response(headers=headers, body=self._body)
