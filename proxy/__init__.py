"""binance-sidecar: a cache and a quota guard in front of Binance's public data."""

from __future__ import annotations

from importlib.metadata import version

from proxy.libraries.deferred import defer

__version__ = "0.1.0"

# Much of what they import is not used here: aiohttp's client, Cluster, Sentinel, an HTTP server for metrics.
defer("aiohttp", __version__=version("aiohttp"))
for _name in ("prometheus_client", "redis", "redis.asyncio"):
    defer(_name)
