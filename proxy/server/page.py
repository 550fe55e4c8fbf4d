"""The status page over HTTP: the page itself, and the files that it loads.

Owns: their headers, and 304. Must not know: what the page shows, other paths. Nothing from outside is loaded, nothing
inside the HTML runs, and no other site may embed the page (Content Security Policy Level 3).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from proxy.core.query.accepted import matches
from proxy.page.files import Asset, assets
from proxy.server import web
from proxy.server.field_lines import list_in

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Coded = Callable[[web.BaseRequest, bytes, str], Awaitable[web.Response]]
"""Makes the answer with this body and type, in the coding that the client prefers."""


def page_paths(status: Callable[[], Mapping[str, Any]], coded: Coded) -> Mapping[str, Handler]:
    """Each path of the page and its handler."""
    files = {path: partial(_file, asset, coded) for path, asset in assets().items()}
    return {"/": partial(_page, status, coded), **files}


async def _page(status: Callable[[], Mapping[str, Any]], coded: Coded, request: web.BaseRequest) -> web.Response:
    from proxy.page.html import render  # noqa: PLC0415 - most gateways show no page to anybody

    body = render(status()).encode("utf-8", "backslashreplace")
    response = await coded(request, body, "text/html; charset=utf-8")
    response.headers.update(_SAFE)
    return response


async def _file(asset: Asset, coded: Coded, request: web.BaseRequest) -> web.Response:
    """A file, which the browser asks for again each time: most answers are 304 (RFC 9110, section 15.4.5)."""
    known = list_in(request.headers, "If-None-Match")
    if known is not None and matches(known, asset.etag):
        response = web.Response(status=304, headers={"Vary": "Accept-Encoding"})
    else:
        response = await coded(request, asset.body, asset.content_type)
    response.headers.update(_SAFE | {"ETag": f"W/{asset.etag}", "Cache-Control": "no-cache"})
    return response
