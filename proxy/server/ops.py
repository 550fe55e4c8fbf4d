"""Operations: probes, metrics and status.

Owns: what an operator sees over HTTP, compressed where the client wants it. Must not know: traffic. No probe depends on
the origin or on Redis: a gateway without them still answers from its entries, and a restart would lose these.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from proxy.bodies import compress
from proxy.core.reply import accepts_gzip
from proxy.server.target import path_of

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Ops:
    """The handlers of the ops paths. `paths` maps each path to its handler."""

    def __init__(
        self,
        *,
        warmed: Callable[[], bool],
        draining: Callable[[], bool],
        exposition: Callable[[], bytes],
        status: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._warmed = warmed
        self._draining = draining
        self._exposition = exposition
        self._status = status
        self.paths: Mapping[str, Handler] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/status": self._status_page,
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """The handler of a listener for operations alone."""
        handler = self.paths.get(path_of(request))
        if handler is None:
            return web.Response(status=404, text="Not found: /livez, /readyz, /metrics and /status are here.\n")
        return await handler(request)

    async def _livez(self, _: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.BaseRequest) -> web.StreamResponse:
        if self._draining():
            return web.Response(status=503, text="draining\n")
        if not self._warmed():
            return web.Response(status=503, text="warming up\n")
        return web.Response(text="ok\n")

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        return await _page(request, self._exposition(), CONTENT_TYPE_LATEST)

    async def _status_page(self, request: web.BaseRequest) -> web.StreamResponse:
        body = orjson.dumps(self._status(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        return await _page(request, body, "application/json")


async def _page(request: web.BaseRequest, body: bytes, content_type: str) -> web.StreamResponse:
    """The body in the coding that the client prefers."""
    headers = {"Content-Type": content_type, "Vary": "Accept-Encoding"}
    if accepts_gzip(request.headers.get("Accept-Encoding")):
        packed = await compress(body)
        if packed is not None:
            return web.Response(body=packed, headers=headers | {"Content-Encoding": "gzip"})
    return web.Response(body=body, headers=headers)
