"""What a request for public data asks for.

Owns: which kind of query it is. Must not know: how a query of each kind is read, requests of accounts.
"""

from __future__ import annotations

from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.messages import ClientRequest
from proxy.core.query.canonical import Bypass, CanonicalQuery, Rejected, canonicalize
from proxy.core.query.market import MarketQuery, market_query


def public_query(
    endpoint: Endpoint, request: ClientRequest, *, gzip: bool
) -> CanonicalQuery | MarketQuery | Bypass | Rejected:
    """The query of a request for this endpoint. Never raises. `gzip`: whether the client accepts it.

    The gateway interprets what is asked of the general endpoints of spot. All queries to an endpoint that ignores
    parameters are one. Anything else is market data, whose query goes on as the client wrote it.
    """
    if endpoint.ignores_parameters:
        return CanonicalQuery(endpoint=endpoint)
    if endpoint.path not in ENDPOINTS:
        return market_query(endpoint, request, gzip=gzip)
    return canonicalize(endpoint, request)
