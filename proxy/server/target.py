"""The request target: the path that it names, and the host if it names one (RFC 9112, section 3.2).

Owns: several slashes at the start of a path, the host of a target in absolute form. Must not know: which paths exist.
"""

from __future__ import annotations

from aiohttp import web


def path_of(request: web.BaseRequest) -> str:
    """The decoded path. Several slashes at its start are one: they come from a base URL that ends in a slash."""
    path, raw = request.path, request.rel_url.raw_path
    extra = len(raw) - len(raw.lstrip("/")) - 1
    return path[extra:] if extra > 0 else path


def named_host(request: web.BaseRequest) -> str | None:
    """The host in a target in absolute form, in lower case; None if the target is a path."""
    if request.raw_path.startswith("/") or request.raw_path == "*":
        return None
    host = request.url.raw_host
    return None if host is None else host.lower().removesuffix(".")
