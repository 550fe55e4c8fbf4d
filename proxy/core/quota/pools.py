"""The limits that the origin counts by IP, each apart from the others.

Owns: which pool an endpoint counts in, and the limits of a pool until the origin names them. Must not know: how much
is used, where it is counted. Sources: Binance's API documents; the notice on the integration of COIN-M and USD-M
futures, which share one pool since 30 June 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from proxy.core.endpoints.catalogue import TABLES
from proxy.core.endpoints.endpoint import Api, CachePolicy, Endpoint
from proxy.core.endpoints.sapi import SAPI
from proxy.core.quota.windows import DEFAULT_WINDOWS, MINUTE_SECONDS, RateLimitKind, Window

SPOT = "spot"
FUTURES = "futures"
OPTIONS = "options"

IP_POOLS: Mapping[Api, str] = MappingProxyType(
    {Api.SPOT: SPOT, Api.USD_FUTURES: FUTURES, Api.COIN_FUTURES: FUTURES, Api.OPTIONS: OPTIONS}
)
_FIVE_MINUTES = 300
_FUNDING = (Window(RateLimitKind.RAW_REQUESTS, _FIVE_MINUTES, 500),)
_SAPI = (Window(RateLimitKind.REQUEST_WEIGHT, MINUTE_SECONDS, 12_000),)
_STATISTICS = (Window(RateLimitKind.RAW_REQUESTS, _FIVE_MINUTES, 1000),)


def pool_of(endpoint: Endpoint) -> str:
    """The pool that a request for this endpoint counts in."""
    return endpoint.pool or IP_POOLS[endpoint.api]


def is_sapi(pool: str) -> bool:
    """Whether it is a pool of `/sapi`. Its limit never leads to a ban."""
    return pool.startswith(f"{SAPI}-")


def pool_label(pool: str) -> str:
    """The word for a pool in metrics and on the status page: all pools of `/sapi` have one."""
    return SAPI if is_sapi(pool) else pool


def api_pool(api: Api) -> str:
    """The IP pool of an API. While it is blocked, its endpoints with a pool of their own are not sent either."""
    return IP_POOLS[api]


def pools_of(apis: Iterable[Api], forwards: Callable[[Endpoint], bool]) -> tuple[str, ...]:
    """The pools of the endpoints that a gateway forwards, each API's own pool before those beside it."""
    lines = [line for api in apis for line in TABLES[api] if forwards(line)]
    return tuple(dict.fromkeys([*(api_pool(line.api) for line in lines), *map(pool_of, lines)]))


def fetch_weight(pool: str) -> int:
    """The most that one fetch of a document costs that names the limits of this pool; 1 if there is none."""
    costs = [line.weight.dearest for line in _DOCUMENTS if api_pool(line.api) == pool]
    return max(costs, default=1)


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
        case _ if is_sapi(pool):
            return _SAPI
        case _:
            return _STATISTICS


_DOCUMENTS = tuple(
    line
    for table in TABLES.values()
    for line in table
    if line.policy is CachePolicy.CACHED and line.path.endswith("/exchangeInfo")
)
"""The documents that name the limits, one for each API."""
