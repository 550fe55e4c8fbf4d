"""Every endpoint of every API, and which of them the gateway forwards.

Owns: the look-up by path and method over all tables, and the refusal of what is not forwarded. Must not know: what is
done with an endpoint, where an API's hosts are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from types import MappingProxyType
from typing import assert_never

from proxy.core.endpoints import coin_futures, options, sapi, spot, usd_futures
from proxy.core.endpoints.endpoint import Api, CachePolicy, Endpoint, Security
from proxy.core.endpoints.weight_rules import Fixed
from proxy.errors import ApiNotConfigured, MethodNotAllowed, NotForwarded, UnknownPath

TABLES: Mapping[Api, tuple[Endpoint, ...]] = MappingProxyType(
    {
        Api.SPOT: spot.TABLE,
        Api.USD_FUTURES: usd_futures.TABLE,
        Api.COIN_FUTURES: coin_futures.TABLE,
        Api.OPTIONS: options.TABLE,
    }
)
"""Every endpoint of every API."""

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType({endpoint.path: endpoint for endpoint in spot.GENERAL})
"""The endpoints about the spot exchange itself, by path. Every mode forwards them."""

SHARED_PREFIX = "/futures/data/"
"""Two APIs have paths that begin so: the host tells which one is meant."""

_LINES = tuple(endpoint for table in TABLES.values() for endpoint in table)
PUBLIC_PATHS = frozenset(endpoint.path for endpoint in _LINES) - frozenset(
    endpoint.path for endpoint in _LINES if endpoint.security is not Security.PUBLIC
)
"""The paths on which no request needs a key, whether the gateway serves them or not."""

_PUBLIC: Mapping[str, Endpoint] = MappingProxyType(
    {endpoint.path: endpoint for endpoint in reversed(_LINES) if endpoint.path in PUBLIC_PATHS}
)

UNKNOWN = "unknown"
"""The name of every endpoint that no table has."""
_PREFIXES: Mapping[str, Api] = MappingProxyType(
    {
        "/api/": Api.SPOT,
        sapi.PREFIX: Api.SPOT,
        "/fapi/": Api.USD_FUTURES,
        "/dapi/": Api.COIN_FUTURES,
        "/eapi/": Api.OPTIONS,
        SHARED_PREFIX: Api.USD_FUTURES,
    }
)
"""How the paths of each API begin."""
_DOTS = frozenset({".", ".."})
"""Segments of a path that name no place of their own (RFC 3986, section 5.2.4)."""

UPSTREAM_SETTINGS: Mapping[Api, str] = MappingProxyType(
    {
        Api.SPOT: "SIDECAR_UPSTREAMS",
        Api.USD_FUTURES: "SIDECAR_USD_FUTURES_UPSTREAMS",
        Api.COIN_FUTURES: "SIDECAR_COIN_FUTURES_UPSTREAMS",
        Api.OPTIONS: "SIDECAR_OPTIONS_UPSTREAMS",
    }
)
"""The setting that names the hosts of an API."""


class Forward(Enum):
    """Which requests are forwarded. The value is that of SIDECAR_FORWARD."""

    GENERAL = "general"
    """The four general endpoints of spot."""
    MARKET = "market"
    """Also every public GET."""
    ALL = "all"
    """Also the requests of accounts: those that need a key or carry a signature, and `/sapi`."""


_FORWARDED: Mapping[Forward, str] = MappingProxyType(
    {
        Forward.GENERAL: "ping, time, exchangeInfo and executionRules of spot only, and no signature",
        Forward.MARKET: "no request that needs a key or has a signature",
    }
)
"""What the refusal of each mode says; `all` leaves nothing out."""
_UNKNOWN_ENDPOINT = "This gateway knows no such endpoint; only SIDECAR_FORWARD=all forwards what it does not know."
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""What an API may be asked by. Nobody needs the origin's answer to others: no page may read one about an account, so a
browser's OPTIONS is not sent on, and TRACE would send the key back."""


class Catalogue:
    """The endpoints that one gateway serves: those of its mode, of the APIs that it has hosts for."""

    def __init__(
        self, forward: Forward = Forward.MARKET, *, apis: Collection[Api] = (Api.SPOT,), unknown_weight: int = 20
    ) -> None:
        """`unknown_weight`: what an endpoint costs that no table has, until the origin's header tells more."""
        self._forward = forward
        self._apis = frozenset(apis)
        self._unknown_weight = Fixed(unknown_weight)
        self._lines: dict[str, dict[str, dict[Api, Endpoint]]] = {}
        """Path, method and API of each line."""
        for table in TABLES.values():
            for endpoint in table:
                methods = self._lines.setdefault(endpoint.path, {})
                methods.setdefault(endpoint.method, {})[endpoint.api] = endpoint

    def find(self, path: str, method: str = "GET", *, to_coin_futures: bool = False) -> Endpoint:
        """The endpoint of a request. A HEAD request is for the endpoint of GET.

        `to_coin_futures` decides where a path exists on both futures hosts. Raises UnknownPath, MethodNotAllowed,
        NotForwarded or ApiNotConfigured.
        """
        endpoint = self._known(path, method, to_coin_futures=to_coin_futures)
        if endpoint is None:
            endpoint = self._unknown(path, method, to_coin_futures=to_coin_futures)
        if not self.forwards(endpoint):
            is_unknown = endpoint.name == UNKNOWN and path not in self._lines
            raise UnknownPath(_UNKNOWN_ENDPOINT) if is_unknown else self.not_forwarded()
        if endpoint.api not in self._apis:
            setting = UPSTREAM_SETTINGS[endpoint.api]
            raise ApiNotConfigured(f"This gateway has no host for this API; {setting} names them.")
        if method not in _METHODS:
            raise MethodNotAllowed(f"Request method '{method[:20]}' is not supported.", allow=", ".join(_METHODS))
        return endpoint

    def _known(self, path: str, method: str, *, to_coin_futures: bool) -> Endpoint | None:
        """The line of a table; None if none has this path and method. Raises MethodNotAllowed for a public path."""
        methods = self._lines.get(path, {})
        lines = methods.get("GET" if method == "HEAD" else method)
        if lines is None:
            if path in PUBLIC_PATHS and self.forwards(_PUBLIC[path]):
                raise MethodNotAllowed(f"Request method '{method[:20]}' is not supported.")
            return None
        is_coin = to_coin_futures and Api.COIN_FUTURES in lines
        return lines[Api.COIN_FUTURES] if is_coin else next(iter(lines.values()))

    def _unknown(self, path: str, method: str, *, to_coin_futures: bool) -> Endpoint:
        """A line for a path that no table has but that an API may have. Raises UnknownPath for all others."""
        prefix = next((prefix for prefix in _PREFIXES if path.startswith(prefix)), None)
        if prefix is None:
            raise UnknownPath("This gateway knows no such path.")
        if not _DOTS.isdisjoint(path.split("/")):  # the origin may take it for a path of another limit
            raise UnknownPath("This gateway forwards no path with the segments . and ..; resolve them first.")
        if prefix == sapi.PREFIX:
            return sapi.sapi_endpoint(path, method)
        is_coin = to_coin_futures and prefix == SHARED_PREFIX
        return Endpoint(
            name=UNKNOWN,
            path=path,
            method=method,
            api=Api.COIN_FUTURES if is_coin else _PREFIXES[prefix],
            security=Security.SIGNED,
            weight=self._unknown_weight,
            policy=CachePolicy.FORWARDED,
            on_public_data=False,
        )

    def forwards(self, endpoint: Endpoint) -> bool:
        """Whether the mode includes this endpoint."""
        if endpoint.path in ENDPOINTS:
            return True
        match self._forward:
            case Forward.GENERAL:
                return False
            case Forward.MARKET:
                return endpoint.security is Security.PUBLIC
            case Forward.ALL:
                return True
            case never:
                assert_never(never)

    def served(self) -> tuple[Endpoint, ...]:
        """The lines of the tables that this gateway forwards, of the APIs that it has hosts for."""
        return tuple(endpoint for endpoint in _LINES if endpoint.api in self._apis and self.forwards(endpoint))

    @property
    def forwards_keyed(self) -> bool:
        """Whether the mode includes the requests of accounts."""
        return self._forward is Forward.ALL

    def not_forwarded(self) -> NotForwarded:
        """The refusal of a request that the mode leaves out. It repeats nothing of the request."""
        told = f"This gateway forwards {_FORWARDED[self._forward]}: SIDECAR_FORWARD is {self._forward.value}."
        return NotForwarded(told)


def find_public(path: str) -> Endpoint | None:
    """The endpoint with exactly this path, if none with it needs a key; the first API's where two have it."""
    return _PUBLIC.get(path)
