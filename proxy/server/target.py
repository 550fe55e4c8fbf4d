"""The request line: the path that its target names, the host if it names one (RFC 9112, section 3.2), the version.

Owns: several slashes at the start of a path, the host that a request names, and what is refused whatever the path: by
its version, its host, or the framing of its body. Must not know: which paths exist.
"""

from __future__ import annotations

import re

from aiohttp.http import HttpVersion, HttpVersion11

from proxy.errors import MethodNotAllowed, SidecarError
from proxy.server import web
from proxy.server.refusals import MalformedRequest, Misdirected, VersionNotSupported

_HAS_PORT = re.compile(r":[0-9]*$")


def path_of(request: web.BaseRequest) -> str:
    """The decoded path. Several slashes at its start are one: they come from a base URL that ends in a slash."""
    path, target = request.path, request.raw_path
    if target.startswith("/") and not target.startswith("//"):
        return path
    raw = request.rel_url.raw_path
    extra = len(raw) - len(raw.lstrip("/")) - 1
    return path[extra:] if extra > 0 else path


def named_host(request: web.BaseRequest) -> str | None:
    """The host in a target in absolute form, in lower case; None if the target is a path."""
    if request.raw_path.startswith("/") or request.raw_path == "*":
        return None
    host = request.url.raw_host
    return None if host is None else host.lower().removesuffix(".")


def host_of(request: web.BaseRequest) -> str:
    """The host that a request is for, in lower case and without a port: that of the target, else the Host field's."""
    named = named_host(request)
    if named is not None:
        return named
    return without_port(request.headers.get("Host", "").lower())


def without_port(field: str) -> str:
    """The host in a Host field."""
    return field.rpartition(":")[0].removesuffix(".") if _HAS_PORT.search(field) else field.removesuffix(".")


def refusal(request: web.BaseRequest, hosts: frozenset[str]) -> SidecarError | None:
    """Why the gateway does not answer for the target, whatever its path; None if it does. `hosts`: the origin's.

    The Host field may name any host: it refuses nobody.
    """
    if not is_spoken(request.version):
        return VersionNotSupported()
    if not is_framed(request):
        return MalformedRequest("The request's body has a Transfer-Encoding other than chunked, or one in HTTP/1.0.")
    if request.method == "CONNECT":
        return MethodNotAllowed("Request method 'CONNECT' is not supported: this is no forward proxy.")
    host = named_host(request)
    return None if host is None or host in hosts else Misdirected()


def is_spoken(version: HttpVersion) -> bool:
    """Whether the gateway speaks this version. Every HTTP/1.x that the parser lets through is one."""
    return version.major == 1


def is_framed(request: web.BaseRequest) -> bool:
    """Whether it is clear what the body is. The parser lets more codings through than it decodes, if chunked is last.

    HTTP/1.0 knows none: others on the way may have read another end (RFC 9112, section 6.1).
    """
    codings = request.headers.getall("Transfer-Encoding", ())
    if not codings:
        return True
    return request.version >= HttpVersion11 and [coding.strip(" \t").lower() for coding in codings] == ["chunked"]


def has_passed(request: web.BaseRequest, via: str) -> bool:
    """Whether the header Via says that a gateway with this name has sent the request (RFC 9110, section 7.6.3)."""
    stations = ",".join(request.headers.getall("Via", ())).lower().split(",")
    return any(via.lower() in station.split()[1:2] for station in stations)
