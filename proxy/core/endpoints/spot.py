"""The endpoints of Binance's spot API, `/api/v3`.

Owns: the table, one line an endpoint. Must not know: other APIs. Source: Binance's API documents.
"""

from __future__ import annotations

from proxy.core.endpoints.endpoint import CachePolicy, Endpoint
from proxy.core.endpoints.weight_rules import EachSymbol, Fixed

TABLE = (
    Endpoint(name="ping", path="/api/v3/ping", weight=Fixed(1), policy=CachePolicy.COLLAPSED, has_times=False),
    Endpoint(name="time", path="/api/v3/time", weight=Fixed(1), policy=CachePolicy.FORWARDED),
    Endpoint(
        name="exchangeInfo",
        path="/api/v3/exchangeInfo",
        weight=Fixed(20),
        parameters=("symbol", "symbols", "permissions", "symbolStatus", "showPermissionSets"),
        policy=CachePolicy.CACHED,
        has_document=True,
    ),
    Endpoint(
        name="executionRules",
        path="/api/v3/executionRules",
        weight=EachSymbol(2, dearest=40),
        parameters=("symbol", "symbols", "symbolStatus"),
        policy=CachePolicy.CACHED,
        on_public_data=False,
    ),
)
