"""The way to the origin for every endpoint: which hosts, which pool of limits, which gate.

Owns: one `Origin` for each API and pool, made for its first request. Must not know: how an origin is asked, how a
ledger counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Protocol

from proxy.core.endpoints.catalogue import TABLES
from proxy.core.endpoints.endpoint import Api, Endpoint
from proxy.core.messages import ClientRequest
from proxy.core.query.market import market_query
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.origin_headers import parse_rate_limits
from proxy.core.quota.pools import is_sapi, pool_label, pool_of
from proxy.core.quota.windows import Window
from proxy.origin.gate import SLOTS, Gate
from proxy.origin.guarded import SPOT_PINGS, Origin
from proxy.origin.reading import AcceptedResponse, RateLimits
from proxy.ports import Clock, Ledger, Observer, RefusalObserver, Upstream

SAPI_SLOTS = 8
"""The most requests on the wire at once for the paths of one pool of `/sapi`."""


class Ledgers(Protocol):
    """The ledgers of all pools."""

    def of(self, endpoint: Endpoint) -> Ledger:
        """The ledger that a request for this endpoint is charged in."""

    def of_api(self, api: Api) -> Ledger:
        """The ledger of the API's IP pool."""

    def learn(self, api: Api, windows: tuple[Window, ...]) -> None:
        """Adopt the limits that the API's exchangeInfo names."""

    async def raise_if_blocked(self, endpoint: Endpoint) -> None:
        """Raise the SendingRefused of the API's pool if that is blocked and the endpoint has a pool of its own."""


class Origins:
    """Sends each request to the hosts of its API, within the quota of its pool."""

    def __init__(
        self,
        upstreams: Mapping[Api, Upstream],
        ledgers: Ledgers,
        clock: Clock,
        *,
        observer: Observer,
        refusals_of: Callable[[str], RefusalObserver],
        total_seconds: float,
    ) -> None:
        """`refusals_of`: who counts the refusals of a pool."""
        self._upstreams = upstreams
        self._ledgers = ledgers
        self._clock = clock
        self._observer = observer
        self._refusals_of = refusals_of
        self._total_seconds = total_seconds
        self._gates: dict[str, Gate] = {}
        self._origins: dict[tuple[Api, str], Origin] = {}

    async def ask(
        self, query: UpstreamQuery, *, background: bool = False, client: str | None = None
    ) -> AcceptedResponse:
        """One answer of the origin, for this client. Raises a SendingRefused or an UpstreamFailed."""
        endpoint = query.endpoint
        if endpoint.pool is not None:
            await self._ledgers.raise_if_blocked(endpoint)
        return await self._of(endpoint).ask(query, background=background, client=client)

    def direct(self, endpoint: Endpoint) -> Origin | None:
        """What asks without waiting (`Origin.begin`); None: for this endpoint only `ask` does."""
        return self._of(endpoint) if endpoint.pool is None else None

    def learn(self, endpoint: Endpoint, rate_limits: RateLimits) -> None:
        """Adopt the `rateLimits` of the endpoint's answer."""
        self._ledgers.learn(endpoint.api, parse_rate_limits(rate_limits))

    def _of(self, endpoint: Endpoint) -> Origin:
        key = endpoint.api, pool_of(endpoint)
        origin = self._origins.get(key)
        if origin is None:
            above = None if endpoint.pool is None else self._of(_pings_of(endpoint.api)[True].endpoint)
            origin = self._origins[key] = self._make(endpoint, above)
        return origin

    def _make(self, endpoint: Endpoint, above: Origin | None) -> Origin:
        return Origin(
            self._upstreams[endpoint.api],
            self._ledgers.of(endpoint),
            self._clock,
            observer=self._observer,
            total_seconds=self._total_seconds,
            gate=self._gate(endpoint),
            pool=pool_label(pool_of(endpoint)),
            firewall=None if above is None else above.firewall,
            above=self._ledgers.of_api(endpoint.api) if is_sapi(pool_of(endpoint)) else None,
            pings=_pings_of(endpoint.api),
            learn=self.learn,
        )

    def _gate(self, endpoint: Endpoint) -> Gate:
        """One for each pool: what two APIs send in the same pool stops together."""
        pool = pool_of(endpoint)
        gate = self._gates.get(pool)
        if gate is None:
            above = None if endpoint.pool is None else self._ledgers.of_api(endpoint.api)
            ledger = self._ledgers.of(endpoint)
            gate = self._gates[pool] = Gate(
                ledger,
                self._clock,
                observer=self._refusals_of(pool_label(pool)),
                above=above,
                slots=SAPI_SLOTS if is_sapi(pool) else SLOTS,
            )
        return gate


@cache
def _pings_of(api: Api) -> Mapping[bool, UpstreamQuery]:
    """As `SPOT_PINGS`, for an API: they have no words that a firewall could refuse."""
    if api is Api.SPOT:
        return SPOT_PINGS
    endpoint = next(line for line in TABLES[api] if line.path.endswith("/ping"))
    ping = market_query(endpoint, ClientRequest(method="GET", path=endpoint.path), gzip=False)
    return {False: ping, True: ping}
