"""The limits that the origin counts by IP, each apart from the others.

Owns: which pool an endpoint counts in, and the limits of a pool until the origin names them. Must not know: how much
is used, where it is counted. Sources: Binance's API documents; the notice on the integration of COIN-M and USD-M
futures, which share one pool since 30 June 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from proxy.core.endpoints.catalogue import TABLES
from proxy.core.endpoints.endpoint import Api, Endpoint
from proxy.core.quota.windows import DEFAULT_WINDOWS, MINUTE_SECONDS, RateLimitKind, Window

SPOT = "spot"
FUTURES = "futures"
OPTIONS = "options"

_POOLS: Mapping[Api, str] = MappingProxyType(
    {Api.SPOT: SPOT, Api.USD_FUTURES: FUTURES, Api.COIN_FUTURES: FUTURES, Api.OPTIONS: OPTIONS}
)
_FIVE_MINUTES = 300
_FUNDING = (Window(RateLimitKind.RAW_REQUESTS, _FIVE_MINUTES, 500),)
_STATISTICS = (Window(RateLimitKind.RAW_REQUESTS, _FIVE_MINUTES, 1000),)


def pool_of(endpoint: Endpoint) -> str:
    """The pool that a request for this endpoint counts in."""
    return endpoint.pool or _POOLS[endpoint.api]


def api_pool(endpoint: Endpoint) -> str:
    """The pool of the endpoint's API: while it is blocked, endpoints with a pool of their own are not sent either."""
    return _POOLS[endpoint.api]


def default_windows(pool: str) -> tuple[Window, ...]:
    """The limits of a pool until the origin's own are known."""
    match pool:
        case "spot":
            return DEFAULT_WINDOWS
        case "futures":
            return (Window(RateLimitKind.REQUEST_WEIGHT, MINUTE_SECONDS, 2400),)
        case "options":
            return (Window(RateLimitKind.REQUEST_WEIGHT, MINUTE_SECONDS, 400),)
        case "funding":
            return _FUNDING
        case _:
            return _STATISTICS


_LINES = tuple(line for table in TABLES.values() for line in table)
POOLS = tuple(dict.fromkeys([*map(api_pool, _LINES), *map(pool_of, _LINES)]))
"""Every pool, the spot exchange's first."""
