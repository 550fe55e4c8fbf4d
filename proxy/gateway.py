"""The way of a request, and nothing else: from what a client asked to what it gets.

Owns: the order of the steps (DESIGN: canonical query, L1, L2, snapshot, fill, error) and the choice between a stale
answer and an error. Must not know: HTTP servers and clients, Redis, how an entry is filled or a quota is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import structlog

from proxy.core.endpoints import CachePolicy, Endpoint, find, weight
from proxy.core.failures import Failure, Failures
from proxy.core.freshness import Decision, decide
from proxy.core.messages import (
    ClientRequest,
    Entry,
    Outcome,
    Reply,
    entry_reply,
    error_reply,
    passed_reply,
)
from proxy.core.negotiation import accepts_gzip
from proxy.core.query import Bypass, CanonicalQuery, Rejected, canonicalize
from proxy.errors import (
    BudgetUsedUp,
    MethodNotAllowed,
    SendingRefused,
    SidecarError,
    TooSlow,
    UnknownPath,
    UpstreamFailed,
)
from proxy.fill import Filler
from proxy.origin import Answer, Origin
from proxy.ports import Clock
from proxy.shelf import Shelf
from proxy.singleflight import SingleFlight

log = structlog.get_logger(__name__)

METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that may be used, and why."""

    entry: Entry
    outcome: Outcome
    detail: str | None = None


class Gateway:
    """Answers client requests. Safe to call from many tasks of one event loop."""

    def __init__(self, origin: Origin, filler: Filler, shelf: Shelf, clock: Clock, *, fill_seconds: float) -> None:
        self._origin = origin
        self._filler = filler
        self._shelf = shelf
        self._clock = clock
        self._fill_seconds = fill_seconds
        self._flights = SingleFlight()
        self._failures = Failures()
        self.asked_at = float("-inf")
        """Wall time at which somebody last wanted the full document or a part of it."""

    async def handle(self, request: ClientRequest) -> Reply:
        """One request, one reply; every SidecarError is rendered, nothing else is caught."""
        endpoint = find(request.path)
        if endpoint is None:
            error = UnknownPath("This gateway serves /api/v3/ping, time, exchangeInfo and executionRules only.")
            return error_reply(error, Outcome.REJECTED)
        try:
            if request.method not in METHODS:
                raise MethodNotAllowed(f"Request method '{request.method[:20]}' is not supported.")
            return await self._answer(endpoint, request)
        except SidecarError as failure:
            return error_reply(failure, _outcome(failure), endpoint=endpoint.name)

    async def drain(self, timeout_seconds: float) -> None:
        """Let fills under way end, for so long."""
        await self._flights.drain(timeout_seconds)

    async def _answer(self, endpoint: Endpoint, request: ClientRequest) -> Reply:
        match canonicalize(endpoint, request):
            case Rejected(error):
                raise error
            case Bypass(_, query):
                return await self._answer_query(query, request, brief=True)
            case CanonicalQuery() as query:
                return await self._answer_query(query, request, brief=False)
            case never:
                assert_never(never)

    async def _answer_query(self, query: CanonicalQuery, request: ClientRequest, *, brief: bool) -> Reply:
        match query.endpoint.policy:
            case CachePolicy.CACHED:
                found = await (self._find(query, brief=True) if brief else self._cached(query))
                return self._render(query, request, found)
            case CachePolicy.COLLAPSED:
                answer, collapsed = await self._flights.do(query.key, lambda: self._origin.ask(query))
                return _passed(query, answer, Outcome.COLLAPSED if collapsed else Outcome.BYPASS)
            case CachePolicy.FORWARDED:
                return _passed(query, await self._origin.ask(query), Outcome.BYPASS)
            case never:
                assert_never(never)

    def _render(self, query: CanonicalQuery, request: ClientRequest, found: Found) -> Reply:
        return entry_reply(
            found.entry,
            found.outcome,
            endpoint=query.endpoint.name,
            weight=weight(query.endpoint, query),
            now=self._clock.wall(),
            gzip=accepts_gzip(request.accept_encoding),
            if_none_match=request.if_none_match,
            detail=found.detail,
        )

    async def _cached(self, query: CanonicalQuery) -> Found:
        """From the full document where it can prove the answer, else from the query's own entry."""
        if not self._shelf.selects(query):
            return await self._find(query)
        self.asked_at = self._clock.wall()
        document = await self._find(self._shelf.document)
        if query == self._shelf.document:
            return document
        selected = await self._shelf.select(query)
        if selected is None:
            return await self._find(query)
        outcome = Outcome.SNAPSHOT if document.outcome is Outcome.HIT else document.outcome
        return Found(selected, outcome, document.detail)

    async def _find(self, query: CanonicalQuery, *, brief: bool = False) -> Found:
        """An entry of this very query that may be used. `brief`: what is filled is kept only briefly."""
        entry = self._shelf.get(query)
        decision = decide(entry, self._clock.wall())
        if decision is Decision.STALE_IF_ERROR and entry is not None and self._failure(query) is not None:
            return await self._stale_if_error(query, entry, brief=brief)
        if decision not in (Decision.FRESH, Decision.STALE_WHILE_REVALIDATE):
            loaded, _ = await self._flights.do(("load", query.key), lambda: self._filler.load(query))
            entry = loaded or entry
            decision = decide(entry, self._clock.wall())
        if entry is None or decision in (Decision.EXPIRED, Decision.ABSENT):
            outcome = Outcome.MISS if entry is None else Outcome.EXPIRED
            return await self._fill(query, outcome, brief=brief)
        if decision is Decision.FRESH:
            return Found(entry, Outcome.HIT)
        if decision is Decision.STALE_WHILE_REVALIDATE:
            self._fill_in_background(query, brief=brief)
            return Found(entry, Outcome.STALE)
        return await self._stale_if_error(query, entry, brief=brief)

    async def _stale_if_error(self, query: CanonicalQuery, entry: Entry, *, brief: bool) -> Found:
        """Fill, else the stale entry. Once a fill has failed nobody waits for the next one."""
        failure = self._failure(query)
        if failure is not None:
            self._fill_in_background(query, brief=brief)
            return Found(entry, Outcome.STALE_IF_ERROR, failure.error.reason)
        try:
            return await self._fill(query, Outcome.EXPIRED, brief=brief)
        except SidecarError as error:
            return Found(entry, Outcome.STALE_IF_ERROR, error.reason)

    async def _fill(self, query: CanonicalQuery, outcome: Outcome, *, brief: bool) -> Found:
        """Fill for a client that waits; it joins a fill that is under way."""
        self._failures.hold_down(query.key, self._clock.wall())
        try:
            (entry, filled), collapsed = await self._join(query, brief=brief)
        except BudgetUsedUp:  # perhaps of a background fill, which has the lower budget: ask under our own
            (entry, filled), collapsed = await self._join(query, brief=brief)
        if collapsed or filled is not Outcome.MISS:
            return Found(entry, Outcome.COLLAPSED if collapsed else filled)
        return Found(entry, Outcome.BYPASS if brief else outcome)

    async def _join(self, query: CanonicalQuery, *, brief: bool) -> tuple[tuple[Entry, Outcome], bool]:
        try:
            return await self._flights.do(
                query.key, lambda: self._run(query, brief=brief), timeout_seconds=self._fill_seconds
            )
        except TimeoutError as error:
            raise TooSlow("Timeout waiting for response from backend server.") from error

    def _fill_in_background(self, query: CanonicalQuery, *, brief: bool) -> None:
        failure = self._failure(query)
        if failure is None or not failure.is_recent(self._clock.wall()):
            self._flights.spawn(query.key, lambda: self._run(query, brief=brief, background=True))

    def document(self) -> Entry | None:
        """The full document as this process holds it, of whatever age."""
        return self._shelf.get(self._shelf.document)

    async def refresh(self) -> None:
        """Replace the full document by a newer one, under the background budget. Raises a SidecarError."""
        document = self._shelf.document
        await self._flights.do(document.key, lambda: self._run(document, brief=False, background=True))

    async def warm(self) -> bool:
        """Take the full document from Redis if it is there, whatever its age. Whether it is fresh."""
        entry = await self._filler.load(self._shelf.document)
        return decide(entry, self._clock.wall()) is Decision.FRESH

    async def _run(self, query: CanonicalQuery, *, brief: bool, background: bool = False) -> tuple[Entry, Outcome]:
        """One fill, whoever waits for it; remembers how it went."""
        try:
            filled = await self._filler.fill(query, keep_briefly=brief, background=background)
        except SidecarError as error:
            tell = log.debug if isinstance(error, SendingRefused) else log.warning
            tell("fill_failed", key=query.key, reason=error.reason, background=background, error=error.msg)
            self._failures.remember(query.key, error, self._clock.wall())
            raise
        self._failures.forget(query.key)
        return filled

    def _failure(self, query: CanonicalQuery) -> Failure | None:
        return self._failures.of(query.key, self._clock.wall())


def _passed(query: CanonicalQuery, answer: Answer, outcome: Outcome) -> Reply:
    return passed_reply(answer.response, outcome, endpoint=query.endpoint.name, weight=weight(query.endpoint, query))


def _outcome(error: SidecarError) -> Outcome:
    if isinstance(error, SendingRefused):
        return Outcome.REFUSED
    return Outcome.FAILED if isinstance(error, UpstreamFailed) else Outcome.REJECTED
