"""Requests that neither the cache nor a refusal answers, without waiting: from the client to the origin and back.

Owns: which requests go this way. Must not know: HTTP servers and clients, how a quota is kept, what an answer means.

It is a short way through the steps of `proxy.gateway`, and does nothing that the gateway would do otherwise. Whatever
has to wait for anything before it is sent, or is no usual request, is left to the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from msgspec import Struct

from proxy.cache.answers import CachedAnswers
from proxy.cache.fills import Fills
from proxy.cache.singleflight import SingleFlight, give
from proxy.core.endpoints.catalogue import UNKNOWN, Catalogue
from proxy.core.endpoints.endpoint import Api, CachePolicy, Endpoint, Security
from proxy.core.messages import ClientRequest
from proxy.core.query.accepted import accepts_gzip
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.query.keyed import KeyedKind, KeyedRequest, is_keyed, keyed_kind, request_of
from proxy.core.query.market import MarketQuery
from proxy.core.query.public import public_query
from proxy.core.reply import Outcome, Reply, forwarded_reply, passed_reply
from proxy.errors import SendingRefused, SidecarError
from proxy.gateway import Gateway, failed
from proxy.origin.guarded import Origin
from proxy.origin.origins import Origins
from proxy.origin.reading import AcceptedResponse
from proxy.ports import Asker
from proxy.quota.clock import OriginClock
from proxy.settings import Settings, TimeSource

_BYPASS = Outcome.BYPASS
PublicQuery = CanonicalQuery | MarketQuery
Query = PublicQuery | KeyedRequest
PassOn = Callable[..., Reply]
"""`passed_reply` or `forwarded_reply`, whichever the kind of a query wants."""


class Place(Struct, frozen=True, eq=False):
    """Where the requests with one method and path go."""

    endpoint: Endpoint
    origin: Origin


class Lone(Struct, frozen=True, eq=False):
    """A request for public data whose answer is for its client alone."""

    query: PublicQuery
    origin: Origin
    pass_on: PassOn
    may_be_repeated: ClassVar[bool] = True

    def begin(self, client: str, asker: Asker) -> bool:
        """Send it for this client in this turn of the loop; False: nothing was done, and the gateway must handle it.

        `asker` gets the reply, at once for a refusal, else in a later turn.
        """
        query = self.query
        try:
            return self.origin.begin(query, client=client, taker=_Alone(query, self.pass_on, asker))
        except SendingRefused as refused:
            asker.answer(failed(refused, query.endpoint))
            return True


class Shared(Struct, frozen=True, eq=False):
    """A request for public data: equal ones that come while it is under way share its answer."""

    query: PublicQuery
    origin: Origin
    pass_on: PassOn
    fills: Fills
    may_be_kept: bool
    """Whether an answer may be stored at some time."""
    may_be_repeated: ClassVar[bool] = True

    def begin(self, client: str, asker: Asker) -> bool:
        """As `Lone.begin`."""
        query, flights = self.query, self.fills.flights
        if self.may_be_kept and self.fills.keeps(query):
            return False
        leader = _Leader(query, self.pass_on, asker, flights)
        if not flights.lead(query.key, leader):
            return False
        try:
            if self.origin.begin(query, client=client, taker=leader):
                return True
        except BaseException as error:
            flights.land(query.key, leader)
            if not isinstance(error, SendingRefused):
                raise
            asker.answer(failed(error, query.endpoint))
            return True
        flights.land(query.key, leader)
        return False


class OfAccounts(Struct, frozen=True, eq=False):
    """What requests of accounts have in common that differ in target, key and body alone."""

    kind: KeyedKind
    origin: Origin

    def prepare(self, target: bytes, api_key: bytes, body: bytes) -> Keyed:
        """One of them, ready to be sent."""
        return Keyed(self.kind.request(target, api_key, body), self.origin)


class Keyed(Struct, eq=False):
    """A request with a key, which is sent once. It takes its own answer."""

    query: KeyedRequest
    origin: Origin
    asker: Asker | None = None
    """Who waits for the answer, once it is sent."""
    may_be_repeated: ClassVar[bool] = False

    def begin(self, client: str, asker: Asker) -> bool:
        """As `Lone.begin`."""
        self.asker = asker
        try:
            return self.origin.begin(self.query, client=client, taker=self)
        except SendingRefused as refused:
            asker.answer(failed(refused, self.query.endpoint))
            return True

    def take(self, answer: AcceptedResponse) -> None:
        """The answer has come."""
        asker = self.asker
        assert asker is not None  # it was sent
        try:
            reply = forwarded_reply(answer.response, _BYPASS, query=self.query, refund=answer.refund)
        except Exception as error:  # as in `_Alone`
            self.fail(error)
            return
        asker.answer(reply)

    def fail(self, error: Exception) -> None:
        """None will come."""
        assert self.asker is not None  # it was sent
        _fail(self.query, error, self.asker)


class _Alone(Struct, eq=False):
    """Takes the answer to one request."""

    query: PublicQuery
    pass_on: PassOn
    asker: Asker

    def take(self, answer: AcceptedResponse) -> None:
        try:
            reply = self.pass_on(answer.response, _BYPASS, query=self.query)
        except Exception as error:  # a bug of ours: the client waits
            self.fail(error)
            return
        self.asker.answer(reply)

    def fail(self, error: Exception) -> None:
        _fail(self.query, error, self.asker)


class _Leader(Struct, eq=False):
    """Takes the answer to a request that equal ones may have joined meanwhile."""

    query: PublicQuery
    pass_on: PassOn
    asker: Asker
    flights: SingleFlight
    joined: asyncio.Future[Any] | None = None

    def take(self, answer: AcceptedResponse) -> None:
        query = self.query
        joined = self.flights.land(query.key, self)
        try:
            if joined is not None:
                give(joined, answer if isinstance(query, MarketQuery) else _for_all(query, answer))
            reply = self.pass_on(answer.response, _BYPASS, query=query)
        except Exception as error:  # as in `_Alone`
            self.fail(error)
            return
        self.asker.answer(reply)

    def fail(self, error: Exception) -> None:
        query = self.query
        joined = self.flights.land(query.key, self)
        if joined is not None:
            give(joined, error)
        _fail(query, error, self.asker)


class DirectGateway:
    """Answers what it can of the requests that a gateway answers."""

    def __init__(self, origins: Origins, fills: Fills, *, catalogue: Catalogue, tells_time: bool) -> None:
        """`tells_time`: whether the gateway may answer for the time itself."""
        self._origins = origins
        self._fills = fills
        self._catalogue = catalogue
        self._tells_time = tells_time
        self._forwards_keyed = catalogue.forwards_keyed
        self._found: dict[tuple[str, str], Place | None] = {}
        """By method and path."""

    def prepare(self, place: Place, request: ClientRequest) -> Lone | Shared | Keyed | None:
        """The request, ready to be sent for any client; None for one that never goes this way."""
        endpoint, origin = place.endpoint, place.origin
        if is_keyed(endpoint, request):
            if not self._forwards_keyed:
                return None
            kind = keyed_kind(endpoint, request, gzip=accepts_gzip(request.accept_encoding))
            return Keyed(request_of(kind, request), origin)
        if request.body:
            return None
        query = public_query(endpoint, request, gzip=accepts_gzip(request.accept_encoding))
        if isinstance(query, MarketQuery):
            return self._public(query, origin, forwarded_reply)
        if not isinstance(query, CanonicalQuery) or (self._tells_time and endpoint.policy is CachePolicy.FORWARDED):
            return None
        return self._public(query, origin, passed_reply)

    def of_accounts(self, place: Place, request: ClientRequest) -> OfAccounts | None:
        """What requests like this one have in common, if all of them are of accounts; None: each is prepared alone."""
        endpoint = place.endpoint
        if endpoint.security is Security.PUBLIC or not self._forwards_keyed:
            return None
        return OfAccounts(keyed_kind(endpoint, request, gzip=accepts_gzip(request.accept_encoding)), place.origin)

    def _public(self, query: PublicQuery, origin: Origin, pass_on: PassOn) -> Lone | Shared:
        if query.endpoint.policy is CachePolicy.FORWARDED:
            return Lone(query, origin, pass_on)
        may_be_kept = isinstance(query, MarketQuery) and self._fills.may_keep(query)
        return Shared(query, origin, pass_on, self._fills, may_be_kept=may_be_kept)

    def find(self, method: str, path: str) -> Place | None:
        """Where requests with this method and path go; None: not this way."""
        name = method, path
        if name in self._found:
            return self._found[name]
        try:
            endpoint = self._catalogue.find(path, method)
        except SidecarError:
            return None
        if endpoint.name == UNKNOWN or endpoint.path != path or method == "HEAD":
            return None
        origin = None if endpoint.policy is CachePolicy.CACHED else self._origins.direct(endpoint)
        self._found[name] = None if origin is None else Place(endpoint, origin)
        return self._found[name]


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


def _fail(query: Query, error: Exception, asker: Asker) -> None:
    """Give an error in Binance's format, or tell of a bug of ours."""
    if isinstance(error, SidecarError):
        asker.answer(failed(error, query.endpoint))
    else:
        asker.fail(error)


def _for_all(query: CanonicalQuery, answer: AcceptedResponse) -> tuple[Reply, Reply]:
    """What the gateway keeps of a ping: the reply to the client that asked, and to those that joined."""
    response = answer.response
    return passed_reply(response, _BYPASS, query=query), passed_reply(response, Outcome.COLLAPSED, query=query)
