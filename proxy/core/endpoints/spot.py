"""The endpoints that the gateway serves, as data.

Owns: path, parameters, weight and cache policy of each endpoint. Must not know: how a query is read, or how
an answer is kept. Source: Binance's API documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Protocol


class CachePolicy(Enum):
    """What may be done with an answer besides passing it on."""

    CACHED = "cached"
    """Stored, and filled by a single flight."""
    COLLAPSED = "collapsed"
    """Never stored; a request joins only one that is in flight."""
    FORWARDED = "forwarded"
    """Never stored nor collapsed: each request has an answer of its own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Endpoint:
    """One row of the table. Rows are compared by identity, which keeps the memo of canonical queries fast."""

    name: str
    """The word in keys, metrics and logs."""
    path: str
    policy: CachePolicy
    parameters: tuple[str, ...] = ()
    """The parameters that the origin reads, in the order in which keys and upstream queries name them."""
    max_weight: int
    """The most that one request can cost."""
    weight_per_symbol: int | None = None
    """What each symbol costs where symbols are named; None where every request costs `max_weight`."""
    has_document: bool = False
    """Whether the full document can answer filters."""
    has_times: bool = True
    """Whether X-MBX-TIME-UNIT may change the answer."""
    on_public_data: bool = True
    """Whether data-api.binance.vision serves it too."""


_TABLE = (
    Endpoint(name="ping", path="/api/v3/ping", policy=CachePolicy.COLLAPSED, max_weight=1, has_times=False),
    Endpoint(name="time", path="/api/v3/time", policy=CachePolicy.FORWARDED, max_weight=1),
    Endpoint(
        name="exchangeInfo",
        path="/api/v3/exchangeInfo",
        policy=CachePolicy.CACHED,
        parameters=("symbol", "symbols", "permissions", "symbolStatus", "showPermissionSets"),
        max_weight=20,
        has_document=True,
    ),
    Endpoint(
        name="executionRules",
        path="/api/v3/executionRules",
        policy=CachePolicy.CACHED,
        parameters=("symbol", "symbols", "symbolStatus"),
        max_weight=40,
        weight_per_symbol=2,
        on_public_data=False,
    ),
)

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType({endpoint.path: endpoint for endpoint in _TABLE})
"""Every endpoint by its path."""


class NamesSymbols(Protocol):
    """What the weight depends on."""

    @property
    def symbols(self) -> tuple[str, ...] | None:
        """The symbols that are asked for; None where none are named, or where nobody here could tell."""


def find(path: str) -> Endpoint | None:
    """The endpoint with exactly this path."""
    return ENDPOINTS.get(path)


def weight(endpoint: Endpoint, query: NamesSymbols) -> int:
    """What the origin charges for this query, at most."""
    if endpoint.weight_per_symbol is None or query.symbols is None:
        return endpoint.max_weight
    return min(endpoint.max_weight, endpoint.weight_per_symbol * len(query.symbols))
