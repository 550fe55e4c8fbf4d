"""The way to the origin for every endpoint: which hosts, which pool of limits, which gate.

Owns: one `Origin` for each API and pool, made for its first request. Must not know: how an origin is asked, how a
ledger counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from proxy.core.endpoints.catalogue import TABLES
from proxy.core.endpoints.endpoint import Api, Endpoint
from proxy.core.messages import ClientRequest
from proxy.core.query.market import market_query
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.pools import api_pool, pool_of
from proxy.origin.gate import Gate
from proxy.origin.guarded import SPOT_PING, AcceptedResponse, Origin, RateLimits
from proxy.ports import Clock, Ledger, Observer, Upstream


class Ledgers(Protocol):
    """The ledgers of all pools."""

    def of_pool(self, pool: str) -> Ledger:
        """The ledger of a pool."""

    def learn(self, endpoint: Endpoint, rate_limits: RateLimits) -> None:
        """Adopt the limits that this endpoint's answer names."""


class Origins:
    """Sends each request to the hosts of its API, within the quota of its pool."""

    def __init__(
        self,
        upstreams: Mapping[Api, Upstream],
        ledgers: Ledgers,
        clock: Clock,
        *,
        observer: Observer,
        total_seconds: float,
    ) -> None:
        self._upstreams = upstreams
        self._ledgers = ledgers
        self._clock = clock
        self._observer = observer
        self._total_seconds = total_seconds
        self._gates: dict[str, Gate] = {}
        self._origins: dict[tuple[Api, str], Origin] = {}

    async def ask(
        self, query: UpstreamQuery, *, background: bool = False, client: str | None = None
    ) -> AcceptedResponse:
        """One answer of the origin, for this client. Raises a SendingRefused or an UpstreamFailed."""
        return await self.of(query.endpoint).ask(query, background=background, client=client)

    def of(self, endpoint: Endpoint) -> Origin:
        """The origin of an endpoint. Its API has hosts."""
        return self._origin(endpoint.api, pool_of(endpoint), api_pool(endpoint))

    def _origin(self, api: Api, pool: str, pool_above: str) -> Origin:
        origin = self._origins.get((api, pool))
        if origin is None:
            origin = self._origins[api, pool] = self._make(api, pool, pool_above)
        return origin

    def _make(self, api: Api, pool: str, pool_above: str) -> Origin:
        above = None if pool == pool_above else self._origin(api, pool_above, pool_above)
        return Origin(
            self._upstreams[api],
            self._ledgers.of_pool(pool),
            self._clock,
            observer=self._observer,
            total_seconds=self._total_seconds,
            gate=self._gate(pool, pool_above),
            firewall=None if above is None else above.firewall,
            ping=_ping(api),
            learn=self._ledgers.learn,
        )

    def _gate(self, pool: str, pool_above: str) -> Gate:
        """One for each pool: what two APIs send in the same pool stops together."""
        gate = self._gates.get(pool)
        if gate is None:
            above = None if pool == pool_above else self._ledgers.of_pool(pool_above)
            ledger = self._ledgers.of_pool(pool)
            gate = self._gates[pool] = Gate(ledger, self._clock, observer=self._observer, above=above)
        return gate


def _ping(api: Api) -> UpstreamQuery:
    """The API's ping, which has no words that a firewall could refuse."""
    if api is Api.SPOT:
        return SPOT_PING
    endpoint = next(line for line in TABLES[api] if line.path.endswith("/ping"))
    return market_query(endpoint, ClientRequest(method="GET", path=endpoint.path), gzip=False)
