"""The files that the page loads: its style, its script, its icon.

Owns: their paths, types and entity tags. Must not know: what they do, HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib import resources

from msgspec import Struct

_TYPES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "page.svg": "image/svg+xml",
}


class Asset(Struct, frozen=True):
    """One file."""

    content_type: str
    body: bytes
    etag: str
    """With its quotes (RFC 9110, section 8.8.3). It changes with the body."""


def assets() -> Mapping[str, Asset]:
    """Each file by its path on the listener."""
    folder = resources.files("proxy.page") / "assets"
    return {f"/{name}": _asset((folder / name).read_bytes(), kind) for name, kind in _TYPES.items()}


def _asset(body: bytes, content_type: str) -> Asset:
    return Asset(content_type, body, f'"{sha256(body).hexdigest()[:16]}"')
