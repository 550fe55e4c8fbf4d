"""The way to one base URL: the name and port to connect to, TLS, the HTTP proxy, and what the request line needs.

Owns: `Route`. Must not know: sockets, pools, requests.
"""

from __future__ import annotations

import base64

from msgspec import Struct
from yarl import URL


class Hop(Struct, frozen=True):
    """Somewhere to connect to."""

    host: str
    """A name in ASCII, or an address without brackets."""
    port: int
    is_tls: bool

    @property
    def server_name(self) -> str:
        """What the certificate must be for."""
        return self.host.rstrip(".")


class Route(Struct, frozen=True):
    """How requests for one base URL are sent."""

    base_url: str
    name: str
    """Host and port for the text of errors."""
    host: bytes
    """The Host header."""
    origin: Hop
    proxy: Hop | None
    prefix: bytes
    """Before each target: scheme and host for a proxy that takes requests in absolute form."""
    lines: bytes
    """Header lines that every request has, and those for that proxy."""
    tunnel: bytes
    """The request for a tunnel; empty: none is needed."""


def route_to(base_url: str, proxy: URL | None, own_lines: bytes = b"") -> Route:
    """The route to `scheme://host[:port]`. Raises ValueError for anything else. `own_lines`: in every request."""
    url = URL(base_url)
    if url.scheme not in ("http", "https") or not url.raw_host or url.raw_path != "/" or url.query_string:
        raise ValueError("not a base URL: scheme, host and port")
    origin = _hop(url)
    host = (url.host_port_subcomponent or "").encode("ascii")
    credentials = _credentials(proxy) if proxy is not None else b""
    is_relayed = proxy is not None and not origin.is_tls
    tunnel = b""
    if proxy is not None and origin.is_tls:
        authority = b"%b:%d" % ((url.host_subcomponent or "").encode("ascii"), origin.port)
        tunnel = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (authority, authority, credentials)
    return Route(
        base_url=base_url,
        name=base_url.partition("//")[2],
        host=host,
        origin=origin,
        proxy=_hop(proxy) if proxy is not None else None,
        prefix=b"http://" + host if is_relayed else b"",
        lines=own_lines + (credentials if is_relayed else b""),
        tunnel=tunnel,
    )


def _hop(url: URL) -> Hop:
    assert url.raw_host is not None
    assert url.port is not None
    return Hop(url.raw_host, url.port, url.scheme == "https")


def _credentials(proxy: URL) -> bytes:
    """Basic credentials (RFC 7617), in Latin-1 as long as it has the characters."""
    if not (proxy.user or proxy.password):
        return b""
    text = f"{proxy.user or ''}:{proxy.password or ''}"
    try:
        plain = text.encode("latin-1")
    except UnicodeEncodeError:
        plain = text.encode("utf-8")
    return b"Proxy-Authorization: Basic %b\r\n" % base64.b64encode(plain)
