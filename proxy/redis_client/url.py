"""SIDECAR_REDIS_URL: its forms.

Owns: the URL forms, masking. Must not know: clients, keys, the breaker.

    redis://[[user]:password@]host[:6379][/db]         one server
    rediss://…                                         the same over TLS
    unix:///path/to/socket[?db=0&password=…]           one server on a unix socket
    redis+sentinel://[[user]:password@]host[:26379][,host…]/service[/db][?sentinel_password=…]
    redis+cluster://[[user]:password@]host[:6379][,host…]

`rediss+sentinel` and `rediss+cluster` reach the data servers over TLS. The query may hold any other option of
a redis-py connection, `password_file=/path` in place of a password, and `address_map=inner:port=outer:port,…` for
servers behind NAT: the addresses by which they name each other, and where we reach them. We speak RESP2, which every
server and proxy knows; `?protocol=3` asks for RESP3 by HELLO.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct, field
from redis.asyncio.connection import parse_url

from proxy.redis_client.driver import Address, AddressMap
from proxy.redis_client.password_file import PasswordFile

DEFAULT_CONNECTIONS = 64
"""Operations under way at a time; `?max_connections=` changes it."""
DEFAULT_TLS_CONNECTIONS = 8
"""The same over TLS. A handshake costs some milliseconds of this process: 64 at once pass the deadline of them all, and
a few connections, once open, do the same work sooner."""
TLS_PREFIX = "ssl_"
"""How redis-py's options of TLS begin."""
SENTINEL_PORT = 26379
SERVER_PORT = 6379


class Topology(Enum):
    """The kind of servers at the addresses of a URL."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class RedisTarget(Struct, frozen=True, kw_only=True):
    """A parsed URL."""

    topology: Topology
    options: Mapping[str, Any]
    """Keyword arguments of a connection, as redis-py's `parse_url` names them."""
    addresses: tuple[Address, ...] = ()
    """Sentinels or cluster nodes; empty for SINGLE."""
    service: str = ""
    """The name under which the Sentinels know the master."""
    tls: bool = False
    connections: int = DEFAULT_CONNECTIONS
    address_map: AddressMap = field(default_factory=dict)


def masked(url: str) -> str:
    """The URL without user, password and secret options, for logs. If in doubt it hides too much."""
    shown = re.sub(r"^([A-Za-z+]*:(?://)?).*@", r"\1***@", url, count=1, flags=re.DOTALL)
    return re.sub(r"((?:username|password)=)[^&]*", r"\1***", shown)


def parse(url: str) -> RedisTarget:
    """Read a URL. Raises ValueError, which never shows the password."""
    try:
        return _parse(url)
    except ValueError as error:
        # The cause may quote a part of the password as a port: it is not chained.
        reason = str(error) if isinstance(error, _Fault) else "it cannot be parsed"
        raise ValueError(f"{masked(url)} is not a Redis URL: {reason}") from None


class _Fault(ValueError):
    """A reason that we wrote ourselves, so it shows no secret."""


def _parse(url: str) -> RedisTarget:
    scheme, _, rest = url.partition(":")
    match scheme:
        case "redis" | "rediss" | "unix":
            options = dict(parse_url(url))
            if scheme == "unix" and not options.get("path"):
                raise _Fault("the path of the socket is missing")
            if scheme != "unix":
                # redis-py takes any other path for database 0, also what follows a slash in a password.
                _number(unquote(urlsplit(url).path).strip("/") or "0", "the database")
            options.pop("connection_class", None)  # ours knows more
            return _target(Topology.SINGLE, options, tls=scheme == "rediss")
        case "redis+sentinel" | "rediss+sentinel":
            addresses, options, path = _several(rest, SENTINEL_PORT)
            service, _, db = path.partition("/")
            if not service:
                raise _Fault("the name of the service is missing after the hosts")
            if db:
                options["db"] = _number(db, "the database")
            tls = scheme == "rediss+sentinel"
            return _target(Topology.SENTINEL, options, addresses=addresses, service=service, tls=tls)
        case "redis+cluster" | "rediss+cluster":
            addresses, options, path = _several(rest, SERVER_PORT)
            if path.strip("/") not in ("", "0"):
                raise _Fault("a cluster has database 0 only")
            return _target(Topology.CLUSTER, options, addresses=addresses, tls=scheme == "rediss+cluster")
        case _:
            raise _Fault("unknown scheme")


def _target(topology: Topology, options: dict[str, Any], *, tls: bool, **more: Any) -> RedisTarget:
    default = DEFAULT_TLS_CONNECTIONS if tls else DEFAULT_CONNECTIONS
    connections = int(options.pop("max_connections", default))
    if connections < 1:
        raise _Fault("max_connections must be at least 1")
    misplaced = [name for name in options if name.startswith(TLS_PREFIX)]
    if misplaced and not tls:
        raise _Fault(f"{misplaced[0]} is of use over TLS only: its scheme must be rediss, or begin with rediss+")
    address_map = _address_map(options.pop("address_map", ""))
    if path := options.pop("password_file", ""):
        if "password" in options:
            raise _Fault("password and password_file are both given")
        options["credential_provider"] = PasswordFile(Path(path), options.pop("username", None))
    return RedisTarget(
        topology=topology, options=options, connections=connections, address_map=address_map, tls=tls, **more
    )


def _several(rest: str, port: int) -> tuple[tuple[Address, ...], dict[str, Any], str]:
    """Addresses, options and path of a URL with several hosts, which urllib cannot read."""
    place, _, query = rest.removeprefix("//").partition("?")
    authority, _, path = place.partition("/")
    user, at, hosts = authority.rpartition("@")
    options = dict(parse_url(f"redis://{user}{at}localhost?{query}"))
    options.pop("host", None)
    return tuple(_address(host, port) for host in hosts.split(",")), options, path


def _address(text: str, default_port: int) -> Address:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(?::([0-9]+))?", text)
    if found is None:
        raise _Fault("a host is missing or invalid")
    port = _number(found[2], "a port") if found[2] else default_port
    if not 0 < port <= 65535:
        raise _Fault("a port is out of range")
    return found[1].strip("[]"), port


def _address_map(text: str) -> AddressMap:
    """`inner:port=outer:port`, separated by commas."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    return {_address(inner, SERVER_PORT): _address(outer, SERVER_PORT) for inner, _, outer in pairs}


def _number(text: str, what: str) -> int:
    if not text.isdecimal():
        raise _Fault(f"{what} must be a number")
    return int(text)
