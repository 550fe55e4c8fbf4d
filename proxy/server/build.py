"""The listeners' bounds, TLS and fast path, who is served, and the gateway's own pages, as the settings ask for it.

Owns: which setting goes where, how many connections the descriptor limit allows. Must not know: how a bound is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from proxy import __version__
from proxy.core.endpoints.catalogue import Catalogue
from proxy.core.reply import Reply
from proxy.feed.hub import Hub
from proxy.ports import Clock
from proxy.server.bounds import Bounds, Connections, Observer
from proxy.server.connection import Server
from proxy.server.cors import CHANGES_PATH, OPENAPI_PATH
from proxy.server.fast_path import FastPathServer, can_be_used
from proxy.server.fast_path_table import Entries, FastPathTable, LifeCycle
from proxy.server.feed import Feed, FeedObserver
from proxy.server.forward_path import ForwardPathProtocol
from proxy.server.forward_path_table import ForwardPathTable
from proxy.server.openapi import OpenApi
from proxy.server.ops import Handler
from proxy.server.peers import Peers
from proxy.server.remembered import Tally, Usage
from proxy.server.tls import Certificate, TlsObserver
from proxy.settings import Settings

FAST_PATH_SHARE = 1 / 2
"""The part of SIDECAR_MEMORY_BYTES that the fast path may hold."""
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
    fast_paths: tuple[FastPathTable | None, ForwardPathTable | None] = (None, None),
    peers: Peers | None = None,
    certificate: Certificate | None = None,
) -> Server:
    """A server for these connections, with the fast paths, if there are any, for the peers that are served."""
    fast_path, forward_path = fast_paths
    chosen: dict[str, Any] = {
        "room": room,
        "keepalive_timeout": settings.keep_alive_seconds,
        "certificate": certificate,
        "handshake_seconds": settings.head_seconds,
    }
    if fast_path is None or peers is None:
        return Server(handler, **chosen)
    if forward_path is not None:
        chosen["connection"] = partial(ForwardPathProtocol, forward_path=forward_path)
    return FastPathServer(handler, fast_path=fast_path, is_allowed=peers.is_allowed, **chosen)


def entries_bytes(settings: Settings) -> int:
    """The memory for entries: what the fast path leaves. Bytes that both share count in both parts."""
    return settings.memory_bytes - _fast_path_bytes(settings)


def _fast_path_bytes(settings: Settings) -> int:
    return round(settings.memory_bytes * FAST_PATH_SHARE) if settings.fast_lane else 0


def build_fast_path(  # noqa: PLR0913 - what a head is made of
    settings: Settings,
    entries: Entries,
    *,
    clock: Clock,
    usage_of: Callable[[str | None], Usage],
    life_cycle: LifeCycle,
    beside: Callable[[str | None], list[tuple[str, str]]],
    tally: Callable[[Reply], Tally],
) -> FastPathTable | None:
    """The fast path; None where it is switched off, or where aiohttp lacks the private names that it needs."""
    if not settings.fast_lane or not can_be_used():
        return None
    return FastPathTable(
        entries,
        clock=clock,
        usage_of=usage_of,
        life_cycle=life_cycle,
        beside=beside,
        tally=tally,
        max_bytes=_fast_path_bytes(settings),
    )


def build_certificate(settings: Settings, observer: TlsObserver) -> Certificate | None:
    """The certificate of the traffic listener; None: no TLS. Raises OSError if the files cannot be used."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return Certificate(settings.tls_cert_file, settings.tls_key_file, observer)


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


def build_own_pages(settings: Settings, hub: Hub, observer: FeedObserver) -> Mapping[str, Handler]:
    """The handlers of what the gateway itself offers on the traffic listener."""
    return {CHANGES_PATH: Feed(hub, observer), OPENAPI_PATH: OpenApi(lambda: _description(settings))}


def _description(settings: Settings) -> dict[str, Any]:
    from proxy.core.openapi import describe  # noqa: PLC0415 - few ask for it

    return describe(Catalogue(settings.forward, apis=settings.apis).served(), version=__version__)
