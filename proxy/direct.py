"""Requests that neither the cache nor a refusal answers, without waiting: from the client to the origin and back.

Owns: which requests go this way. Must not know: HTTP servers and clients, how a quota is kept, what an answer means.

It is a short way through the steps of `proxy.gateway`, and does nothing that the gateway would do otherwise. Whatever
has to wait for anything before it is sent, or is no usual request, is left to the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct

from proxy.cache.answers import CachedAnswers
from proxy.cache.fills import Fills
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
Done = Callable[[Reply | Exception], None]
"""Gets the reply, or a bug of ours."""


class Place(Struct, frozen=True, eq=False):
    """Where the requests with one method and path go."""

    endpoint: Endpoint
    origin: Origin


class PublicRequest:
    """A public request that is asked again and again: all that does not depend on who asks, and when."""

    __slots__ = ("_fills", "_flights", "_is_shared", "_key", "_may_be_kept", "_origin", "_query", "_told", "path")

    def __init__(self, query: PublicQuery, origin: Origin, fills: Fills, path: str) -> None:
        self.path = path
        self._query = query
        self._origin = origin
        self._fills = fills
        self._flights, self._key = fills.flights, query.key
        self._may_be_kept = isinstance(query, MarketQuery) and fills.may_keep(query)
        self._is_shared = query.endpoint.policy is not CachePolicy.FORWARDED
        self._told = partial(_forwarded, query) if isinstance(query, MarketQuery) else partial(_passed, query)
        """Makes a reply of an answer."""

    def begin(self, client: str, done: Done) -> bool:
        """As `DirectGateway.begin`, for this client."""
        query = self._query
        if self._may_be_kept and self._fills.keeps(query):
            return False
        try:
            if self._is_shared:
                return self._begin_shared(client, done)
            return self._origin.begin(query, client=client, done=partial(self._told, done))
        except SendingRefused as refused:
            done(failed(refused, query.endpoint))
            return True

    def _begin_shared(self, client: str, done: Done) -> bool:
        """Equal requests that come meanwhile share the answer."""
        query = self._query
        flight = self._flights.lead(self._key)
        if flight is None:
            return False
        is_begun = False
        try:
            is_begun = self._origin.begin(query, client=client, done=partial(self._landed, flight, done))
        finally:
            if not is_begun:
                self._flights.land(self._key, flight, None)
        return is_begun

    def _landed(self, flight: asyncio.Future[Any], done: Done, answer: Answer) -> None:
        query = self._query
        if isinstance(query, CanonicalQuery) and isinstance(answer, AcceptedResponse):
            self._flights.land(self._key, flight, _for_all(query, answer))
        else:
            self._flights.land(self._key, flight, answer)
        told = self._told
        told(done, answer)


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

    def begin(self, place: Place, request: ClientRequest, done: Done) -> bool:
        """Send the request in this turn of the loop; False: nothing was done, and the gateway must handle it.

        `place`: what `find` returned. `done` gets the reply, at once for a refusal, else in a later turn.
        """
        endpoint, origin = place.endpoint, place.origin
        if endpoint.security is _PUBLIC and not is_keyed(endpoint, request):
            prepared = self.prepare(place, request)
            return prepared is not None and prepared.begin(request.client, done)
        if not self._forwards_keyed:
            return False
        query = keyed_request(endpoint, request, gzip=accepts_gzip(request.accept_encoding))
        try:
            return origin.begin(query, client=request.client, done=partial(_forwarded, query, done))
        except SendingRefused as refused:
            done(failed(refused, endpoint))
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


def _forwarded(query: MarketQuery | KeyedRequest, done: Done, answer: Answer) -> None:
    """Pass an answer on as it came."""
    if isinstance(answer, AcceptedResponse):
        done(forwarded_reply(answer.response, _BYPASS, query=query))
    else:
        done(_unanswered(query.endpoint, answer))


def _passed(query: CanonicalQuery, done: Done, answer: Answer) -> None:
    """Pass on an answer of a general endpoint."""
    if isinstance(answer, AcceptedResponse):
        endpoint, weight = query.endpoint.name, query.weight
        done(passed_reply(answer.response, _BYPASS, endpoint=endpoint, weight=weight))
    else:
        done(_unanswered(query.endpoint, answer))


def _unanswered(endpoint: Endpoint, error: Exception) -> Reply | Exception:
    return failed(error, endpoint) if isinstance(error, SidecarError) else error


def _for_all(query: CanonicalQuery, answer: AcceptedResponse) -> tuple[Reply, Reply]:
    """What the gateway keeps of a ping: the reply to the client that asked, and to those that joined."""
    return passed(query, answer, Outcome.BYPASS), passed(query, answer, Outcome.COLLAPSED)
