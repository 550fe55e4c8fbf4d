"""Every endpoint of every API, and which of them the gateway forwards.

Owns: the look-up by path and method over all tables, and the refusal of what is not forwarded. Must not know: what is
done with an endpoint, where an API's hosts are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from types import MappingProxyType

from proxy.core.endpoints import coin_futures, options, spot, usd_futures
from proxy.core.endpoints.endpoint import Api, Endpoint, Security
from proxy.errors import ApiNotConfigured, MethodNotAllowed, NotForwarded, SidecarError, UnknownPath

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


class Catalogue:
    """The endpoints that one gateway serves: those of its mode, of the APIs that it has hosts for."""

    def __init__(self, forward: Forward = Forward.MARKET, *, apis: Collection[Api] = (Api.SPOT,)) -> None:
        self._forward = forward
        self._apis = frozenset(apis)
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
        methods = self._lines.get(path)
        if methods is None:
            raise UnknownPath("This gateway knows no such path.")
        lines = methods.get("GET" if method == "HEAD" else method, {})
        endpoint = lines.get(Api.COIN_FUTURES) if to_coin_futures else None
        endpoint = endpoint or next(iter(lines.values()), None)
        if endpoint is None or not self.forwards(endpoint):
            raise self._refusal(methods, method)
        if endpoint.api not in self._apis:
            setting = UPSTREAM_SETTINGS[endpoint.api]
            raise ApiNotConfigured(f"This gateway has no host for this API; {setting} names them.")
        return endpoint

    def forwards(self, endpoint: Endpoint) -> bool:
        """Whether the mode includes this endpoint."""
        if endpoint.path in ENDPOINTS:
            return True
        return self._forward is Forward.MARKET and endpoint.security is Security.PUBLIC

    def _refusal(self, methods: Mapping[str, Mapping[Api, Endpoint]], method: str) -> SidecarError:
        """Why a path of the exchange is not served for this method."""
        is_served = any(self.forwards(endpoint) for lines in methods.values() for endpoint in lines.values())
        if is_served and method not in methods:
            return MethodNotAllowed(f"Request method '{method[:20]}' is not supported.")
        return self.not_forwarded()

    def not_forwarded(self) -> NotForwarded:
        """The refusal of a request that the mode leaves out. It repeats nothing of the request."""
        return NotForwarded(f"This gateway does not forward this request: SIDECAR_FORWARD is {self._forward.value}.")


def find_public(path: str) -> Endpoint | None:
    """The endpoint with exactly this path, if none with it needs a key; the first API's where two have it."""
    return _PUBLIC.get(path)
