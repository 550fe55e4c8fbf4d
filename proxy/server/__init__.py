"""The HTTP side: listeners, traffic, probes. Knows aiohttp.web; the rest of the package does not."""

from __future__ import annotations

import ssl
from typing import Any


def _without_certificates(*_: Any, **__: Any) -> ssl.SSLContext:
    """A context that trusts nobody."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _import_aiohttp() -> None:
    """aiohttp's client, which nobody uses here, reads every certificate of the system when it is imported.

    That takes two megabytes and a fifth of the start. Where aiohttp was imported before, nothing changes.
    """
    before = ssl.create_default_context
    ssl.create_default_context = _without_certificates
    try:
        import aiohttp  # noqa: F401, PLC0415 - imported for what follows
    finally:
        ssl.create_default_context = before


_import_aiohttp()
