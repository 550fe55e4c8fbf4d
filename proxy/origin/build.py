"""The client of the origin as the settings and the environment want it.

Owns: which setting goes where. Must not know: how a request is sent.
"""

from __future__ import annotations

import os

from proxy.origin.client import Upstream, UpstreamObserver
from proxy.origin.environment_proxy import environment_proxies
from proxy.ports import Clock
from proxy.settings import Settings


def build_upstream(settings: Settings, observer: UpstreamObserver, clock: Clock) -> Upstream:
    """The client. Raises ValueError if the environment names an HTTP proxy that cannot be used."""
    return Upstream(
        settings.upstreams,
        connect_seconds=settings.upstream_connect_seconds,
        max_body_bytes=settings.max_body_bytes,
        observer=observer,
        proxies=environment_proxies(settings.upstreams, os.environ),
        wall=clock.wall,
    )
