"""The steps of a request, from what a client asks to what it gets.

Owns: which way a request takes (stored, shared in flight, forwarded as it came, told by the clock), and the reply to
every error. Must not know: HTTP servers and clients, Redis, how an entry is found or filled, how a quota is kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import assert_never

from msgspec.structs import replace

from proxy.cache.answers import CachedAnswers, Found
from proxy.cache.fills import Fills
from proxy.core.endpoints.catalogue import UNKNOWN, Catalogue, find_public
from proxy.core.endpoints.endpoint import CachePolicy, Endpoint
from proxy.core.messages import ClientRequest
from proxy.core.query.accepted import accepts_gzip
from proxy.core.query.canonical import Bypass, CanonicalQuery, Rejected
from proxy.core.query.keyed import is_keyed, keyed_request
from proxy.core.query.market import MarketQuery
from proxy.core.query.public import public_query
from proxy.core.quota.pools import SPOT
from proxy.core.reply import (
    Outcome,
    Rendition,
    Reply,
    error_reply,
    forwarded_reply,
    passed_reply,
    reported_pool,
    time_reply,
)
from proxy.errors import SendingRefused, SidecarError, UpstreamFailed
from proxy.event_log import log, shown_path
from proxy.origin.origins import Origins
from proxy.origin.reading import AcceptedResponse
from proxy.ports import Clock

PublicQuery = CanonicalQuery | MarketQuery
PassOn = Callable[..., Reply]
"""`passed_reply` or `forwarded_reply`, whichever the kind of a query wants."""
MAX_UNKNOWN = 100
"""How many endpoints that no table has are logged."""
MAX_ERROR_SECONDS = 0.05
"""The gateway's clock answers for the origin's only if it is not further off."""


class Gateway:
    """Answers client requests. Safe to call from many tasks of one event loop."""

    def __init__(  # noqa: PLR0913 - the parts that it joins, and what it may do
        self,
        origins: Origins,
        fills: Fills,
        cached: CachedAnswers,
        clock: Clock,
        *,
        catalogue: Catalogue,
        coin_futures_hosts: Collection[str] = (),
        clock_error: Callable[[], float | None] | None = None,
    ) -> None:
        """`coin_futures_hosts`: requests for these hosts mean COIN-M where a path does not tell.

        `clock_error`: the largest error of the clock in seconds, None while it is unknown. With it the clock answers
        for the origin while it is known well enough.
        """
        self._origins = origins
        self._fills = fills
        self._cached = cached
        self._clock = clock
        self._catalogue = catalogue
        self._coin_futures_hosts = frozenset(coin_futures_hosts)
        self._clock_error = clock_error
        self._unknown = UnknownEndpoints()

    async def handle(self, request: ClientRequest) -> Reply:
        """One request, one reply. Renders every SidecarError; catches no other error."""
        endpoint = find_public(request.path)
        try:
            endpoint = self._endpoint(request)
            return await self._answer(endpoint, request)
        except SidecarError as failure:
            return failed(failure, endpoint)

    def _endpoint(self, request: ClientRequest) -> Endpoint:
        to_coin_futures = request.host in self._coin_futures_hosts
        endpoint = self._catalogue.find(request.path, request.method, to_coin_futures=to_coin_futures)
        if endpoint.name == UNKNOWN:
            self._unknown.note(request.method, request.path)
        return endpoint

    async def _answer(self, endpoint: Endpoint, request: ClientRequest) -> Reply:
        if is_keyed(endpoint, request):
            return await self._keyed(endpoint, request)
        match public_query(endpoint, request, gzip=accepts_gzip(request.accept_encoding)):
            case MarketQuery() as query:
                return await self._market(query, request)
            case Rejected(error):
                raise error
            case Bypass(_, query):
                return await self._answer_query(query, request, short_lived=True)
            case CanonicalQuery() as query:
                return await self._answer_query(query, request, short_lived=False)
            case never:
                assert_never(never)

    async def _keyed(self, endpoint: Endpoint, request: ClientRequest) -> Reply:
        """A request of one account: sent once, as it came; its answer passes to nobody else."""
        if not self._catalogue.forwards_keyed:
            raise self._catalogue.not_forwarded()
        query = keyed_request(endpoint, request, gzip=accepts_gzip(request.accept_encoding))
        answer = await self._origins.ask(query, client=request.client)
        return forwarded_reply(answer.response, Outcome.BYPASS, query=query)

    async def _market(self, query: MarketQuery, request: ClientRequest) -> Reply:
        """Market data: stored for as long as the operator allows; else equal requests in flight are one."""
        if self._fills.keeps(query):
            found = await self._cached.find(query, request.client)
            if found.entry.lifetimes.horizon_seconds == 0:
                found = replace(found, outcome=Outcome.BYPASS)
            return self._render(query, request, found)
        if query.endpoint.policy is CachePolicy.FORWARDED:
            answer = await self._origins.ask(query, client=request.client)
            return forwarded_reply(answer.response, Outcome.BYPASS, query=query)
        return await ask_together(query, request.client, self._origins.ask, self._fills, forwarded_reply)

    async def _answer_query(self, query: CanonicalQuery, request: ClientRequest, *, short_lived: bool) -> Reply:
        match query.endpoint.policy:
            case CachePolicy.CACHED:
                return self._render(
                    query, request, await self._cached.answer(query, request.client, short_lived=short_lived)
                )
            case CachePolicy.COLLAPSED:
                return await ask_together(query, request.client, self._origins.ask, self._fills, passed_reply)
            case CachePolicy.FORWARDED | CachePolicy.SHARED:
                told = None if short_lived else self._told(query)
                if told is not None:
                    return told
                answer = await self._origins.ask(query, client=request.client)
                return passed_reply(answer.response, Outcome.BYPASS, query=query)
            case never:
                assert_never(never)

    def _told(self, query: CanonicalQuery) -> Reply | None:
        """The time by the gateway's own clock, if it may tell it and knows it well enough."""
        error_seconds = None if self._clock_error is None else self._clock_error()
        if error_seconds is None or error_seconds > MAX_ERROR_SECONDS or query.sbe is not None:
            return None
        return time_reply(self._clock.origin(), error_seconds, microseconds=query.representation.microseconds)

    def _render(self, query: CanonicalQuery | MarketQuery, request: ClientRequest, found: Found) -> Reply:
        rendition = Rendition(
            entry=found.entry,
            key=query.key,
            outcome=found.outcome,
            endpoint=query.endpoint.name,
            weight=query.weight,
            gzip=accepts_gzip(request.accept_encoding),
            if_none_match=request.if_none_match,
            detail=found.detail,
            pool=reported_pool(query.endpoint),
        )
        return rendition.reply(self._clock.origin())


async def ask_together(
    query: PublicQuery, client: str, ask: Callable[..., Awaitable[AcceptedResponse]], fills: Fills, pass_on: PassOn
) -> Reply:
    """The reply to one of the clients that ask the same at once: one request of them is sent.

    `ask`: sends it, for the client that it is called with. Raises a SidecarError.
    """
    answer, is_joined = await fills.join(query, partial(ask, query, client=client), client=client)
    return pass_on(answer.response, Outcome.COLLAPSED if is_joined else Outcome.BYPASS, query=query)


class UnknownEndpoints:
    """The endpoints that no table has. Each is logged once."""

    def __init__(self) -> None:
        self._noted: set[tuple[str, str]] = set()

    def note(self, method: str, path: str) -> None:
        """A client asked for this one."""
        asked = method, shown_path(path)
        if asked in self._noted or len(self._noted) >= MAX_UNKNOWN:
            return
        self._noted.add(asked)
        log.warning("unknown_endpoint", method=method[:20], path=asked[1])


def failed(error: SidecarError, endpoint: Endpoint | None) -> Reply:
    """The reply to a request that has no answer."""
    name, pool = ("other", SPOT) if endpoint is None else (endpoint.name, reported_pool(endpoint))
    return error_reply(error, _outcome(error), endpoint=name, pool=pool)


def _outcome(error: SidecarError) -> Outcome:
    if isinstance(error, SendingRefused):
        return Outcome.REFUSED
    is_bug = type(error) is SidecarError
    return Outcome.FAILED if is_bug or isinstance(error, UpstreamFailed) else Outcome.REJECTED
