"""Which entry answers a query: the steps from this process to the origin.

Owns: the order of the steps (L1, L2, snapshot, fill), and the choice between a stale entry and an error. Must not know:
HTTP, how an entry is filled, how a reply is made.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.cache.fills import Fills
from proxy.cache.local import LocalCache
from proxy.core.cache.freshness import Freshness, decide
from proxy.core.messages import Entry
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.reply import Outcome
from proxy.errors import SidecarError, TooSlow
from proxy.ports import Clock


class Found(Struct, frozen=True):
    """An entry that may be used, and why."""

    entry: Entry
    outcome: Outcome
    detail: str | None = None
    """The reason of the error for which a stale entry is used."""


class CachedAnswers:
    """Finds entries for clients. Safe to call from many tasks of one event loop."""

    def __init__(self, fills: Fills, local: LocalCache, clock: Clock) -> None:
        self._fills = fills
        self._local = local
        self._clock = clock

    async def find(self, query: UpstreamQuery, client: str) -> Found:
        """The query's own entry, filled for this client if need be. Raises a SidecarError."""
        return await self._find(query, client, self._fills.stale_deadline())

    async def answer(self, query: CanonicalQuery, client: str, *, short_lived: bool) -> Found:
        """From the full document where it proves the answer, else from the query's own entry."""
        give_up_at = self._fills.stale_deadline()
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
