"""Every endpoint that the gateway serves, by its path.

Owns: the look-up over all tables. Must not know: what is done with an endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from proxy.core.endpoints import spot
from proxy.core.endpoints.endpoint import Endpoint, Security

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType({endpoint.path: endpoint for endpoint in spot.GENERAL})
"""Every endpoint by its path."""
PUBLIC_PATHS = frozenset(endpoint.path for endpoint in spot.TABLE) - frozenset(
    endpoint.path for endpoint in spot.TABLE if endpoint.security is not Security.PUBLIC
)
"""The paths of the API on which no request needs a key, whether the gateway serves them or not."""


def find(path: str) -> Endpoint | None:
    """The endpoint with exactly this path."""
    return ENDPOINTS.get(path)
