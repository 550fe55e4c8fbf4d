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
from proxy.core.endpoints.endpoint import Api, CachePolicy, Endpoint
from proxy.core.messages import ClientRequest
from proxy.core.query.canonical import CanonicalQuery, canonicalize
from proxy.core.query.keyed import KeyedRequest, is_keyed, keyed_request
from proxy.core.query.market import MarketQuery, market_query
from proxy.core.reply import Outcome, Reply, accepts_gzip, forwarded_reply
from proxy.errors import SendingRefused, SidecarError
from proxy.gateway import Gateway, failed, passed
from proxy.origin.origins import Origins
from proxy.origin.reading import AcceptedResponse
from proxy.quota.clock import OriginClock
from proxy.settings import Settings, TimeSource

Answer = AcceptedResponse | Exception
Done = Callable[[Reply | Exception], None]
"""Gets the reply, or a bug of ours."""


class DirectGateway:
    """Answers what it can of the requests that a gateway answers."""

    def __init__(self, origins: Origins, fills: Fills, *, catalogue: Catalogue, tells_time: bool) -> None:
        """`tells_time`: whether the gateway may answer for the time itself."""
        self._origins = origins
        self._fills = fills
        self._catalogue = catalogue
        self._tells_time = tells_time
        self._found: dict[tuple[str, str], Endpoint | None] = {}

    def knows(self, method: str, path: str) -> bool:
        """Whether requests with this method and path may go this way at all."""
        return self._endpoint(method, path) is not None

    def begin(self, request: ClientRequest, done: Done) -> bool:
        """Send the request in this turn of the loop; False: nothing was done, and the gateway must handle it.

        `done` gets the reply, at once for a refusal, else in a later turn.
        """
        endpoint = self._endpoint(request.method, request.path)
        if endpoint is None:
            return False
        try:
            if is_keyed(endpoint, request):
                return self._begin_keyed(endpoint, request, done)
            return not request.body and self._begin_public(endpoint, request, done)
        except SendingRefused as refused:
            done(failed(refused, endpoint))
            return True

    def _endpoint(self, method: str, path: str) -> Endpoint | None:
        """The line of a table, if this way is for it."""
        place = method, path
        if place in self._found:
            return self._found[place]
        try:
            endpoint = self._catalogue.find(path, method)
        except SidecarError:
            return None
        if endpoint.name == UNKNOWN or endpoint.path != path or endpoint.pool is not None or method == "HEAD":
            return None
        is_stored = endpoint.policy is CachePolicy.CACHED
        self._found[place] = None if is_stored else endpoint
        return self._found[place]

    def _begin_keyed(self, endpoint: Endpoint, request: ClientRequest, done: Done) -> bool:
        if not self._catalogue.forwards_keyed:
            return False
        query = keyed_request(endpoint, request, gzip=accepts_gzip(request.accept_encoding))
        return self._origins.begin(query, client=request.client, done=partial(_forwarded, query, done))

    def _begin_public(self, endpoint: Endpoint, request: ClientRequest, done: Done) -> bool:
        if endpoint.path in ENDPOINTS:
            return self._begin_general(endpoint, request, done)
        query = market_query(endpoint, request, gzip=accepts_gzip(request.accept_encoding))
        if self._fills.keeps(query):
            return False
        if endpoint.policy is CachePolicy.FORWARDED:
            return self._origins.begin(query, client=request.client, done=partial(_forwarded, query, done))
        return self._begin_shared(query, request, partial(_forwarded, query, done), _same)

    def _begin_general(self, endpoint: Endpoint, request: ClientRequest, done: Done) -> bool:
        query = canonicalize(endpoint, request)
        if not isinstance(query, CanonicalQuery):
            return False
        if endpoint.policy is CachePolicy.COLLAPSED:
            return self._begin_shared(query, request, partial(_passed, query, done), partial(_for_all, query))
        if self._tells_time:
            return False
        return self._origins.begin(query, client=request.client, done=partial(_passed, query, done))

    def _begin_shared(
        self,
        query: CanonicalQuery | MarketQuery,
        request: ClientRequest,
        done: Callable[[Answer], None],
        shared: Callable[[AcceptedResponse], object],
    ) -> bool:
        """Equal requests that come meanwhile share the answer, as what `shared` makes of it."""
        flight = self._fills.lead(query)
        if flight is None:
            return False
        is_begun = False
        try:
            is_begun = self._origins.begin(
                query, client=request.client, done=partial(self._landed, query, flight, done, shared)
            )
        finally:
            if not is_begun:
                self._fills.land(query, flight, None)
        return is_begun

    def _landed(
        self,
        query: CanonicalQuery | MarketQuery,
        flight: asyncio.Future[Any],
        done: Callable[[Answer], None],
        shared: Callable[[AcceptedResponse], object],
        answer: Answer,
    ) -> None:
        self._fills.land(query, flight, answer if isinstance(answer, Exception) else shared(answer))
        done(answer)


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
        done(forwarded_reply(answer.response, Outcome.BYPASS, query=query))
    else:
        done(_unanswered(query.endpoint, answer))


def _passed(query: CanonicalQuery, done: Done, answer: Answer) -> None:
    """Pass on an answer of a general endpoint."""
    if isinstance(answer, AcceptedResponse):
        done(passed(query, answer, Outcome.BYPASS))
    else:
        done(_unanswered(query.endpoint, answer))


def _unanswered(endpoint: Endpoint, error: Exception) -> Reply | Exception:
    return failed(error, endpoint) if isinstance(error, SidecarError) else error


def _same(answer: AcceptedResponse) -> AcceptedResponse:
    return answer


def _for_all(query: CanonicalQuery, answer: AcceptedResponse) -> tuple[Reply, Reply]:
    """What the gateway keeps of a ping: the reply to the client that asked, and to those that joined."""
    return passed(query, answer, Outcome.BYPASS), passed(query, answer, Outcome.COLLAPSED)
