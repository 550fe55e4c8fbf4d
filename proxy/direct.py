"""Requests that neither the cache nor a refusal answers, without waiting: from the client to the origin and back.

Owns: which requests go this way. Must not know: HTTP servers and clients, how a quota is kept, what an answer means.

It is a short way through the steps of `proxy.gateway`, and does nothing that the gateway would do otherwise. Whatever
has to wait for anything before it is sent, or is no usual request, is left to the gateway.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from msgspec import Struct

from proxy.cache.answers import CachedAnswers
from proxy.cache.fills import Fills
from proxy.cache.singleflight import SingleFlight
from proxy.core.endpoints.catalogue import ENDPOINTS, UNKNOWN, Catalogue
from proxy.core.endpoints.endpoint import Api, CachePolicy, Endpoint, Security
from proxy.core.messages import ClientRequest
from proxy.core.query.accepted import accepts_gzip
from proxy.core.query.canonical import CanonicalQuery, canonicalize
from proxy.core.query.keyed import KeyedRequest, is_keyed, keyed_request
from proxy.core.query.market import MarketQuery, market_query
from proxy.core.reply import Outcome, Reply, forwarded_reply, passed_reply
from proxy.errors import SendingRefused, SidecarError
from proxy.gateway import Gateway, failed, passed
from proxy.origin.guarded import Origin
from proxy.origin.origins import Origins
from proxy.origin.reading import AcceptedResponse
from proxy.quota.clock import OriginClock
from proxy.settings import Settings, TimeSource

_BYPASS, _PUBLIC = Outcome.BYPASS, Security.PUBLIC
PublicQuery = CanonicalQuery | MarketQuery
Answer = AcceptedResponse | Exception


class Asker(Protocol):
    """Who waits for a reply."""

    def answer(self, outcome: Reply | Exception) -> None:
        """Here is the reply, or a bug of ours."""


class Place(Struct, frozen=True, eq=False):
    """Where the requests with one method and path go."""

    endpoint: Endpoint
    origin: Origin


class PublicRequest:
    """A public request that is asked again and again: all that does not depend on who asks, and when."""

    __slots__ = ("_fills", "_flights", "_is_shared", "_key", "_may_be_kept", "_origin", "_query", "path")

    def __init__(self, query: PublicQuery, origin: Origin, fills: Fills, path: str) -> None:
        self.path = path
        self._query = query
        self._origin = origin
        self._fills = fills
        self._flights, self._key = fills.flights, query.key
        self._may_be_kept = isinstance(query, MarketQuery) and fills.may_keep(query)
        self._is_shared = query.endpoint.policy is not CachePolicy.FORWARDED

    def begin(self, client: str, asker: Asker) -> bool:
        """As `DirectGateway.begin`, for this client."""
        query = self._query
        if self._may_be_kept and self._fills.keeps(query):
            return False
        try:
            if self._is_shared:
                return self._begin_shared(client, asker)
            return self._origin.begin(query, client=client, taker=_Alone(query, asker))
        except SendingRefused as refused:
            asker.answer(failed(refused, query.endpoint))
            return True

    def _begin_shared(self, client: str, asker: Asker) -> bool:
        """Equal requests that come meanwhile share the answer."""
        query = self._query
        flights, key = self._flights, self._key
        flight = flights.lead(key)
        if flight is None:
            return False
        is_begun = False
        try:
            is_begun = self._origin.begin(query, client=client, taker=_Leader(query, flights, key, flight, asker))
        finally:
            if not is_begun:
                flights.land(key, flight, None)
        return is_begun


class _Alone(Struct, eq=False):
    """Takes the answer to one request."""

    query: MarketQuery | KeyedRequest | CanonicalQuery
    asker: Asker

    def take(self, answer: Answer) -> None:
        query = self.query
        if isinstance(answer, AcceptedResponse) and not isinstance(query, CanonicalQuery):
            self.asker.answer(forwarded_reply(answer.response, _BYPASS, query=query))
        else:
            self.asker.answer(_reply(query, answer))


class _Leader(Struct, eq=False):
    """Takes the answer to a request that equal ones may have joined meanwhile."""

    query: PublicQuery
    flights: SingleFlight
    key: str
    flight: asyncio.Future[Any]
    asker: Asker

    def take(self, answer: Answer) -> None:
        query = self.query
        if isinstance(answer, AcceptedResponse) and isinstance(query, MarketQuery):
            self.flights.land(self.key, self.flight, answer)
            self.asker.answer(forwarded_reply(answer.response, _BYPASS, query=query))
            return
        if isinstance(query, CanonicalQuery) and isinstance(answer, AcceptedResponse):
            self.flights.land(self.key, self.flight, _for_all(query, answer))
        else:
            self.flights.land(self.key, self.flight, answer)
        self.asker.answer(_reply(query, answer))


class DirectGateway:
    """Answers what it can of the requests that a gateway answers."""

    def __init__(self, origins: Origins, fills: Fills, *, catalogue: Catalogue, tells_time: bool) -> None:
        """`tells_time`: whether the gateway may answer for the time itself."""
        self._origins = origins
        self._fills = fills
        self._catalogue = catalogue
        self._tells_time = tells_time
        self._forwards_keyed = catalogue.forwards_keyed
        self.found: dict[tuple[str, str], Place | None] = {}
        """By method and path."""

    def begin(self, place: Place, request: ClientRequest, asker: Asker) -> bool:
        """Send the request in this turn of the loop; False: nothing was done, and the gateway must handle it.

        `place`: what `find` returned. `asker` gets the reply, at once for a refusal, else in a later turn.
        """
        endpoint, origin = place.endpoint, place.origin
        if endpoint.security is _PUBLIC and not is_keyed(endpoint, request):
            prepared = self.prepare(place, request)
            return prepared is not None and prepared.begin(request.client, asker)
        if not self._forwards_keyed:
            return False
        query = keyed_request(endpoint, request, gzip=accepts_gzip(request.accept_encoding))
        try:
            return origin.begin(query, client=request.client, taker=_Alone(query, asker))
        except SendingRefused as refused:
            asker.answer(failed(refused, endpoint))
            return True

    def prepare(self, place: Place, request: ClientRequest) -> PublicRequest | None:
        """What all requests like this one have in common; None for one that is keyed, or never goes this way."""
        endpoint, origin = place.endpoint, place.origin
        if request.body or is_keyed(endpoint, request):
            return None
        if endpoint.path not in ENDPOINTS:
            query = market_query(endpoint, request, gzip=accepts_gzip(request.accept_encoding))
            return PublicRequest(query, origin, self._fills, request.path)
        canonical = canonicalize(endpoint, request)
        if not isinstance(canonical, CanonicalQuery) or (self._tells_time and endpoint.policy is CachePolicy.FORWARDED):
            return None
        return PublicRequest(canonical, origin, self._fills, request.path)

    def find(self, method: str, path: str) -> Place | None:
        """Where requests with this method and path go; None: not this way."""
        name = method, path
        if name in self.found:
            return self.found[name]
        try:
            endpoint = self._catalogue.find(path, method)
        except SidecarError:
            return None
        if endpoint.name == UNKNOWN or endpoint.path != path or method == "HEAD":
            return None
        origin = None if endpoint.policy is CachePolicy.CACHED else self._origins.direct(endpoint)
        self.found[name] = None if origin is None else Place(endpoint, origin)
        return self.found[name]


class Ways(Struct, frozen=True):
    """The ways of a request."""

    ordinary: Gateway
    direct: DirectGateway


def build_ways(settings: Settings, origins: Origins, fills: Fills, cached: CachedAnswers, clock: OriginClock) -> Ways:
    """Both, for the endpoints and APIs that the settings name."""
    catalogue = Catalogue(settings.forward, apis=settings.apis, unknown_weight=settings.unknown_weight)
    tells_time = settings.time is TimeSource.CLOCK
    gateway = Gateway(
        origins,
        fills,
        cached,
        clock,
        catalogue=catalogue,
        coin_futures_hosts=settings.hosts_of(Api.COIN_FUTURES),
        clock_error=clock.error_seconds if tells_time else None,
    )
    return Ways(gateway, DirectGateway(origins, fills, catalogue=catalogue, tells_time=tells_time))


def _reply(query: MarketQuery | KeyedRequest | CanonicalQuery, answer: Answer) -> Reply | Exception:
    """What is passed on: an answer as it came, that of a general endpoint in part, an error in Binance's format."""
    if not isinstance(answer, AcceptedResponse):
        return failed(answer, query.endpoint) if isinstance(answer, SidecarError) else answer
    if isinstance(query, CanonicalQuery):
        return passed_reply(answer.response, _BYPASS, endpoint=query.endpoint.name, weight=query.weight)
    return forwarded_reply(answer.response, _BYPASS, query=query)


def _for_all(query: CanonicalQuery, answer: AcceptedResponse) -> tuple[Reply, Reply]:
    """What the gateway keeps of a ping: the reply to the client that asked, and to those that joined."""
    return passed(query, answer, Outcome.BYPASS), passed(query, answer, Outcome.COLLAPSED)
