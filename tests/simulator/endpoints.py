"""What an endpoint of the origin is, and how one is found by host, method and path.

Owns the words for APIs, securities and pools. Must not know the figures (`tables`), HTTP or the limits' state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

Values: TypeAlias = Mapping[str, str]
Weigh: TypeAlias = Callable[[Values], int]

SPOT_POOL = "spot"
FUTURES_POOL = "futures"
OPTIONS_POOL = "options"
FUNDING_POOL = "funding"
FUTURES_DATA = "/futures/data/"
SAPI = "/sapi/"


class ApiName(Enum):
    """One of Binance's APIs. Each has its own host."""

    SPOT = "spot"
    USD_FUTURES = "usd_futures"
    COIN_FUTURES = "coin_futures"
    OPTIONS = "options"

    @property
    def is_spot(self) -> bool:
        """Spot differs from the three others in its headers and texts."""
        return self is ApiName.SPOT


class Security(Enum):
    """What a request must bring."""

    PUBLIC = "public"
    KEY = "key"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path.

    `weigh` gives its cost in `pool` from the parameters of query and body. `is_refunded`: a 2xx costs nothing.
    `orders`: what a success counts in the account's windows of ORDERS, short one first (10 seconds, then a
    minute or a day). `keys`: the parameters that it reads; None where that is not checked.
    """

    api: ApiName
    method: str
    path: str
    weigh: Weigh
    pool: str
    security: Security = Security.PUBLIC
    is_refunded: bool = False
    orders: tuple[int, int] = (0, 0)
    keys: tuple[str, ...] | None = None
    tells_weight: bool = True
    tells_true_weight: bool = True


_PREFIXES = {
    "/api/": ApiName.SPOT,
    SAPI: ApiName.SPOT,
    "/fapi/": ApiName.USD_FUTURES,
    "/dapi/": ApiName.COIN_FUTURES,
    "/eapi/": ApiName.OPTIONS,
}
_POOLS = {
    ApiName.SPOT: SPOT_POOL,
    ApiName.USD_FUTURES: FUTURES_POOL,
    ApiName.COIN_FUTURES: FUTURES_POOL,
    ApiName.OPTIONS: OPTIONS_POOL,
}


def api_of(path: str, host: ApiName | None) -> ApiName | None:
    """Whose path this is on a host; None if that host has no such API. The host None serves all of them.

    `/futures/data/` is on both futures hosts; on the host that serves all it is that of USD-M.
    """
    if path.startswith(FUTURES_DATA):
        owner = host or ApiName.USD_FUTURES
        return owner if owner in (ApiName.USD_FUTURES, ApiName.COIN_FUTURES) else None
    owned = _PREFIXES.get(path[: path.find("/", 1) + 1])
    return owned if host is None or host is owned else None


class Endpoints:
    """All endpoints of all APIs."""

    def __init__(self, rows: Iterable[Endpoint]) -> None:
        self._by_path: dict[tuple[ApiName, str], dict[str, Endpoint]] = {}
        for row in rows:
            self._by_path.setdefault((row.api, row.path), {})[row.method] = row

    def __iter__(self) -> Iterator[Endpoint]:
        return (row for rows in self._by_path.values() for row in rows.values())

    def find(self, api: ApiName, method: str, path: str) -> Endpoint:
        """The endpoint; HEAD is GET. One without a row costs 1, and `sapi` has a pool for each path."""
        if path.startswith(SAPI):
            return _wallet(method, path)
        row = self._by_path.get((api, path), {}).get("GET" if method == "HEAD" else method)
        return row or Endpoint(api, method, path, lambda _: 1, _POOLS[api])

    def methods(self, api: ApiName, path: str) -> frozenset[str]:
        """Which methods the path has; none if there is no such path."""
        return frozenset(self._by_path.get((api, path), ()))


def _wallet(method: str, path: str) -> Endpoint:
    is_public = path == "/sapi/v1/system/status"
    security = Security.PUBLIC if is_public else Security.SIGNED
    return Endpoint(ApiName.SPOT, method, path, lambda _: 1, path.removeprefix("/"), security)
