"""The clients of the origin as the settings and the environment want them.

Owns: which setting goes where. Must not know: how a request is sent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from proxy.core.endpoints.endpoint import Api
from proxy.forward.resolver import FixedAddresses
from proxy.origin.client import Upstream, UpstreamObserver
from proxy.origin.environment_proxy import environment_proxies
from proxy.ports import Clock
from proxy.settings import Settings


def build_upstreams(settings: Settings, observer: UpstreamObserver, clock: Clock) -> Mapping[Api, Upstream]:
    """The client of each API that has hosts. Raises ValueError if the environment names an unusable HTTP proxy."""
    return {api: _upstream(settings, settings.upstreams_of(api), observer, clock) for api in settings.apis}


def _upstream(settings: Settings, urls: tuple[str, ...], observer: UpstreamObserver, clock: Clock) -> Upstream:
    return Upstream(
        urls,
        connect_seconds=settings.upstream_connect_seconds,
        max_body_bytes=settings.max_body_bytes,
        observer=observer,
        proxies=environment_proxies(urls, os.environ),
        addresses=_fixed(settings),
        via=settings.via,
        wall=clock.wall,
    )


def _fixed(settings: Settings) -> FixedAddresses:
    """The addresses of each host, in the order of the setting."""
    found: dict[str, list[tuple[str, int | None]]] = {}
    for host, address, port in settings.upstream_addresses:
        found.setdefault(host, []).append((address, port))
    return found
