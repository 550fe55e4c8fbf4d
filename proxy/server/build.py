"""The listeners' bounds, and who is served, as the settings ask for it.

Owns: which setting goes where, how many connections the descriptor limit allows. Must not know: how a bound is kept.
"""

from __future__ import annotations

import asyncio

from proxy.server.bounds import Bounds, Connections, Observer
from proxy.server.connection import Server
from proxy.server.fast_path import FastPathServer
from proxy.server.fast_path_table import FastPathTable
from proxy.server.ops import Handler
from proxy.server.peers import Peers
from proxy.settings import Settings

RESERVED_DESCRIPTORS = 512
"""For the origin, Redis, the ops listener and files; at most half of the limit."""


def build_room(settings: Settings, observer: Observer) -> Connections:
    """The connections of the traffic listener."""
    bounds = Bounds(
        head_seconds=settings.head_seconds,
        connections=settings.max_connections or connections_for(descriptor_limit()),
        per_peer=settings.max_connections_per_peer,
        requests=settings.max_requests,
    )
    return Connections(bounds, now=asyncio.get_running_loop().time, observer=observer)


def build_ops_room(settings: Settings, observer: Observer) -> Connections:
    """The connections of the ops listener, of which there may be any number."""
    bounds = Bounds(head_seconds=settings.head_seconds)
    return Connections(bounds, now=asyncio.get_running_loop().time, observer=observer)


def build_server(
    settings: Settings,
    handler: Handler,
    room: Connections,
    *,
    fast_path: FastPathTable | None = None,
    peers: Peers | None = None,
) -> Server:
    """A server for these connections, with the fast path if there is one for the peers that are served."""
    idle_seconds = settings.keep_alive_seconds
    if fast_path is None or peers is None:
        return Server(handler, room=room, keepalive_timeout=idle_seconds)
    return FastPathServer(
        handler, room=room, keepalive_timeout=idle_seconds, fast_path=fast_path, is_allowed=peers.is_allowed
    )


def build_peers(settings: Settings) -> Peers:
    """Who is served, and what clients are called."""
    return Peers(settings.allowed_networks, settings.clients)


def descriptor_limit() -> int | None:
    """How many files and sockets this process may have open; None: any number, or the system does not say."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def connections_for(limit: int | None) -> int | None:
    """How many connections of clients leave enough descriptors for the rest; None: any number."""
    return None if limit is None else max(1, limit - min(RESERVED_DESCRIPTORS, limit // 2))
