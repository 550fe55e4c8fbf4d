"""Operations: probes, metrics, status and the status page.

Owns: what an operator sees over HTTP, compressed where the client wants it, with the same errors as traffic. Must not
know: traffic. No probe depends on the origin or on Redis: a gateway without them still answers from its entries, and a
restart would lose these.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from multidict import CIMultiDict

from proxy.bodies import compress
from proxy.core.query.accepted import accepts_gzip
from proxy.core.reply import Outcome, error_reply
from proxy.errors import MethodNotAllowed, SidecarError, UnknownPath
from proxy.server import web
from proxy.server.field_lines import list_in
from proxy.server.page import page_paths
from proxy.server.target import is_framed, is_spoken, path_of, refusal
from proxy.server.unreadable import SERVER

METHODS = ("GET", "HEAD")
PATHS = frozenset({"/", "/livez", "/readyz", "/metrics", "/status"})
"""Those that somebody asks for by name. The page loads some more."""
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
        hosts: frozenset[str],
    ) -> None:
        self._warmed = warmed
        self._draining = draining
        self._exposition = exposition
        self._status = status
        self._hosts = hosts
        self.paths: Mapping[str, Handler] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/status": self._status_json,
            **page_paths(status, _coded),
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to one request, with the errors that traffic has too."""
        try:
            response = await self._handler(request)(request)
        except SidecarError as error:
            reply = error_reply(error, Outcome.REJECTED)
            response = web.Response(status=reply.status, headers=CIMultiDict(reply.headers), body=reply.body)
        response.headers["Server"] = SERVER
        response.headers.setdefault("Cache-Control", "no-store")
        is_clear = is_spoken(request.version) and is_framed(request)
        if request.method == "CONNECT" or request.can_read_body or not is_clear:  # what follows is of no use
            response.force_close()
        return response

    def _handler(self, request: web.BaseRequest) -> Handler:
        """Raises the error of a request that has none."""
        refused = refusal(request, self._hosts)
        if refused is not None:
            raise refused
        handler = self.paths.get(path_of(request))
        if handler is None:
            raise UnknownPath("This listener serves /, /livez, /readyz, /metrics and /status only.")
        if request.method not in METHODS:
            allow = ", ".join(METHODS)
            raise MethodNotAllowed(f"Request method '{request.method[:20]}' is not supported.", allow=allow)
        return handler

    async def _livez(self, _: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.BaseRequest) -> web.StreamResponse:
        if self._draining():
            return web.Response(status=503, text="draining\n")
        if not self._warmed():
            return web.Response(status=503, text="warming up\n")
        return web.Response(text="ok\n")

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST  # noqa: PLC0415 - brings a web server of its own

        return await _coded(request, self._exposition(), CONTENT_TYPE_LATEST)

    async def _status_json(self, request: web.BaseRequest) -> web.StreamResponse:
        body = orjson.dumps(self._status(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        return await _coded(request, body, "application/json")


async def _coded(request: web.BaseRequest, body: bytes, content_type: str) -> web.Response:
    """The body in the coding that the client prefers."""
    headers = {"Content-Type": content_type, "Vary": "Accept-Encoding"}
    if accepts_gzip(list_in(request.headers, "Accept-Encoding")):
        packed = await compress(body)
        if packed is not None:
            return web.Response(body=packed, headers=headers | {"Content-Encoding": "gzip"})
    return web.Response(body=body, headers=headers)
