"""The steps of a request, from what a client asks to what it gets.

Owns: the order of the steps (canonical query, L1, L2, snapshot, fill, error) and the choice between a stale
answer and an error. Must not know: HTTP servers and clients, Redis, how an entry is filled or a quota is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

import structlog

from proxy.cache.fills import Fills
from proxy.cache.local import LocalCache
from proxy.core.cache.freshness import Freshness, decide
from proxy.core.endpoints.catalogue import ENDPOINTS, Catalogue, find_public
from proxy.core.endpoints.endpoint import CachePolicy, Endpoint
from proxy.core.messages import ClientRequest, Entry
from proxy.core.query.canonical import Bypass, CanonicalQuery, Rejected, canonicalize
from proxy.core.query.market import MarketQuery, is_signed, market_query
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.pools import SPOT
from proxy.core.reply import (
    Outcome,
    Rendition,
    Reply,
    accepts_gzip,
    error_reply,
    market_reply,
    passed_reply,
    reported_pool,
    time_reply,
)
from proxy.errors import SendingRefused, SidecarError, TooSlow, UpstreamFailed
from proxy.origin.guarded import AcceptedResponse
from proxy.origin.origins import Origins
from proxy.ports import Clock

log = structlog.get_logger(__name__)

MAX_ERROR_SECONDS = 0.05
"""The gateway's clock answers for the origin's only if it is not further off."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that may be used, and why."""

    entry: Entry
    outcome: Outcome
    detail: str | None = None
    """The reason of the error for which a stale entry is used."""


class Gateway:
    """Answers client requests. Safe to call from many tasks of one event loop."""

    def __init__(  # noqa: PLR0913 - the parts that it joins, and what it may do
        self,
        origins: Origins,
        fills: Fills,
        local: LocalCache,
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
        self._local = local
        self._clock = clock
        self._catalogue = catalogue
        self._coin_futures_hosts = frozenset(coin_futures_hosts)
        self._clock_error = clock_error

    async def handle(self, request: ClientRequest) -> Reply:
        """One request, one reply. Renders every SidecarError; catches no other error."""
        endpoint = find_public(request.path)
        try:
            endpoint = self._endpoint(request)
            return await self._answer(endpoint, request)
        except SidecarError as failure:
            name, pool = ("other", SPOT) if endpoint is None else (endpoint.name, reported_pool(endpoint))
            return error_reply(failure, _outcome(failure), endpoint=name, pool=pool)

    def _endpoint(self, request: ClientRequest) -> Endpoint:
        to_coin_futures = request.host in self._coin_futures_hosts
        endpoint = self._catalogue.find(request.path, request.method, to_coin_futures=to_coin_futures)
        if is_signed(request.raw_query):
            raise self._catalogue.not_forwarded()
        return endpoint

    async def _answer(self, endpoint: Endpoint, request: ClientRequest) -> Reply:
        if endpoint.path not in ENDPOINTS:
            if endpoint.policy is CachePolicy.CACHED:  # the origin ignores parameters there: all queries are one
                return await self._answer_query(CanonicalQuery(endpoint=endpoint), request, short_lived=False)
            return await self._market(endpoint, request)
        match canonicalize(endpoint, request):
            case Rejected(error):
                raise error
            case Bypass(_, query):
                return await self._answer_query(query, request, short_lived=True)
            case CanonicalQuery() as query:
                return await self._answer_query(query, request, short_lived=False)
            case never:
                assert_never(never)

    async def _market(self, endpoint: Endpoint, request: ClientRequest) -> Reply:
        """Market data: stored for as long as the operator allows; else equal requests in flight are one."""
        query = market_query(endpoint, request, gzip=accepts_gzip(request.accept_encoding))
        if self._fills.keeps(query):
            found = await self._find(query, request.client, self._fills.stale_deadline())
            if found.entry.lifetimes.horizon_seconds == 0:
                found = replace(found, outcome=Outcome.BYPASS)
            return self._render(query, request, found)
        if endpoint.policy is CachePolicy.FORWARDED:
            answer = await self._origins.ask(query, client=request.client)
            return market_reply(answer.response, Outcome.BYPASS, query=query)
        answer, collapsed = await self._fills.join(
            query, lambda: self._origins.ask(query, client=request.client), client=request.client
        )
        return market_reply(answer.response, Outcome.COLLAPSED if collapsed else Outcome.BYPASS, query=query)

    async def _answer_query(self, query: CanonicalQuery, request: ClientRequest, *, short_lived: bool) -> Reply:
        match query.endpoint.policy:
            case CachePolicy.CACHED:
                return self._render(query, request, await self._cached(query, request, short_lived=short_lived))
            case CachePolicy.COLLAPSED:
                work = partial(self._ask_for_all, query, request.client)
                (own, shared), collapsed = await self._fills.join(query, work, client=request.client)
                return shared if collapsed else own
            case CachePolicy.FORWARDED | CachePolicy.SHARED:
                told = None if short_lived else self._told(query)
                return told or _passed(query, await self._origins.ask(query, client=request.client), Outcome.BYPASS)
            case never:
                assert_never(never)

    async def _ask_for_all(self, query: CanonicalQuery, client: str) -> tuple[Reply, Reply]:
        """Ask the origin once. Returns the reply to this client, and the one to all clients that join it."""
        answer = await self._origins.ask(query, client=client)
        return _passed(query, answer, Outcome.BYPASS), _passed(query, answer, Outcome.COLLAPSED)

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

    async def _cached(self, query: CanonicalQuery, request: ClientRequest, *, short_lived: bool) -> Found:
        """From the full document where it proves the answer, else from the query's own entry."""
        client, give_up_at = request.client, self._fills.stale_deadline()
        if short_lived or not self._local.selects(query):
            return await self._find(query, client, give_up_at, short_lived=short_lived)
        self._local.asked_at = self._clock.origin()
        if query == self._local.document_query:
            return await self._find(query, client, give_up_at)
        try:
            document = await self._find(self._local.document_query, client, give_up_at)
        except SidecarError as error:
            return await self._find_without_document(query, error)
        if document.entry.status != 200:  # the origin's error is about the query without parameters only
            return await self._find(query, client, give_up_at)
        selected = await self._local.select(query)
        if selected is None:
            return await self._find(query, client, give_up_at)
        if document.outcome is Outcome.HIT or self._is_newer(selected, document):
            return Found(selected, Outcome.SNAPSHOT)
        return Found(selected, document.outcome, document.detail)

    def _is_newer(self, selected: Entry, document: Found) -> bool:
        """Whether a fresh document replaced the stale one while the answer was selected."""
        is_replaced = selected.stored_at > document.entry.stored_at
        return is_replaced and decide(selected, self._clock.origin()) is Freshness.FRESH

    async def _find_without_document(self, query: CanonicalQuery, error: SidecarError) -> Found:
        """There is no full document and it cannot be filled: the query's own entry, else the error.

        This does not ask the origin: the request for the document has just failed, and this one weighs as much.
        """
        entry = await self._fills.load(query)
        match decide(entry, self._clock.origin()):
            case Freshness.FRESH if entry is not None:
                return Found(entry, Outcome.HIT)
            case Freshness.STALE_WHILE_REVALIDATE | Freshness.STALE_IF_ERROR if entry is not None:
                return Found(entry, Outcome.STALE_IF_ERROR, error.reason)
            case _:
                raise error

    async def _find(self, query: UpstreamQuery, client: str, give_up_at: float, *, short_lived: bool = False) -> Found:
        """The query's own entry, filled if need be. `short_lived`: it then lives no longer than a negative one.

        `give_up_at`: when a client that could get a stale entry waits no longer, by the monotonic clock.
        """
        entry = self._local.get(query)
        freshness = decide(entry, self._clock.origin())
        if freshness is Freshness.STALE_IF_ERROR and entry is not None:
            found = self._stale_at_once(query, entry, short_lived=short_lived)
            if found is not None:
                return found
        if freshness not in (Freshness.FRESH, Freshness.STALE_WHILE_REVALIDATE):
            entry = await self._fills.load(query)
            freshness = decide(entry, self._clock.origin())
        if entry is None or freshness in (Freshness.EXPIRED, Freshness.ABSENT):
            outcome = Outcome.MISS if entry is None else Outcome.EXPIRED
            return await self._fill(query, client, outcome, short_lived=short_lived)
        if freshness is Freshness.FRESH:
            return Found(entry, Outcome.HIT)
        if freshness is Freshness.STALE_WHILE_REVALIDATE:
            failure = self._fills.failure(query)
            self._fills.fill_in_background(query, short_lived=short_lived)
            return Found(entry, Outcome.STALE, failure.error.reason if failure is not None else None)
        return await self._stale_if_error(query, client, entry, short_lived=short_lived, give_up_at=give_up_at)

    async def _stale_if_error(
        self, query: UpstreamQuery, client: str, entry: Entry, *, short_lived: bool, give_up_at: float
    ) -> Found:
        """Fill until `give_up_at`, else use the stale entry while the fill goes on."""
        found = self._stale_at_once(query, entry, short_lived=short_lived)
        if found is not None:
            return found
        try:
            return await self._fill(query, client, Outcome.EXPIRED, short_lived=short_lived, give_up_at=give_up_at)
        except SidecarError as error:
            outcome = Outcome.STALE if self._fills.is_overdue(query) else Outcome.STALE_IF_ERROR
            return Found(entry, outcome, error.reason)

    def _stale_at_once(self, query: UpstreamQuery, entry: Entry, *, short_lived: bool) -> Found | None:
        """The stale entry if waiting for a fill is no use: the last one failed, or this one takes long. Else None."""
        if self._fills.is_overdue(query):
            return Found(entry, Outcome.STALE, TooSlow.reason)
        failure = self._fills.failure(query)
        if failure is None:
            return None
        self._fills.fill_in_background(query, short_lived=short_lived)
        return Found(entry, Outcome.STALE_IF_ERROR, failure.error.reason)

    async def _fill(
        self,
        query: UpstreamQuery,
        client: str,
        outcome: Outcome,
        *,
        short_lived: bool,
        give_up_at: float | None = None,
    ) -> Found:
        """Fill for this client. `outcome` is the outcome if that takes a request to the origin."""
        filled = await self._fills.fill(query, client, short_lived=short_lived, give_up_at=give_up_at)
        if filled.outcome is not Outcome.MISS:
            return Found(filled.entry, filled.outcome)
        return Found(filled.entry, Outcome.BYPASS if short_lived else outcome)


def _passed(query: CanonicalQuery, answer: AcceptedResponse, outcome: Outcome) -> Reply:
    return passed_reply(answer.response, outcome, endpoint=query.endpoint.name, weight=query.weight)


def _outcome(error: SidecarError) -> Outcome:
    if isinstance(error, SendingRefused):
        return Outcome.REFUSED
    is_bug = type(error) is SidecarError
    return Outcome.FAILED if is_bug or isinstance(error, UpstreamFailed) else Outcome.REJECTED
