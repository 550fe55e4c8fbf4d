"""Fills for requests: one at a time for each key, with a memory of recent failures.

Owns: single flight in this process, background fills, the refresh of the full document, the hold-down after failures.
Must not know: how one fill works (`proxy.cache.fill`), replies, which stale entry may be used meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from proxy.cache.fill import Filler
from proxy.cache.local import LocalCache
from proxy.cache.singleflight import SingleFlight
from proxy.core.cache.freshness import Freshness, decide
from proxy.core.cache.recent_failures import Failure, RecentFailures
from proxy.core.messages import Entry
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.reply import Outcome
from proxy.errors import BudgetUsedUp, ClientShareUsedUp, SendingRefused, SidecarError, TooSlow
from proxy.ports import Clock

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Filled:
    """The result of a fill for one client."""

    entry: Entry
    outcome: Outcome
    """MISS: this fill asked the origin. HIT: the entry was in Redis. COLLAPSED: another fill brought it."""


class Fills:
    """Fills entries for clients and in the background. Safe to call from many tasks of one event loop."""

    def __init__(self, filler: Filler, local: LocalCache, clock: Clock, *, timeout_seconds: float) -> None:
        self._filler = filler
        self._local = local
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._flights = SingleFlight()
        self._failures = RecentFailures()

    async def load(self, query: CanonicalQuery) -> Entry | None:
        """The query's newest entry, of this process or of Redis."""
        loaded, _ = await self._flights.do(("load", query.key), lambda: self._filler.load(query))
        return self._local.get(query) or loaded

    async def fill(self, query: CanonicalQuery, client: str, *, short_lived: bool) -> Filled:
        """Fill for a client that waits. It joins a fill under way, for which the client that started it pays.

        `short_lived`: the entry lives no longer than a negative one. Raises a SidecarError when there is no entry.
        """

        async def work() -> tuple[Entry, Outcome]:
            return await self._run(query, short_lived=short_lived, client=client)

        self._failures.raise_if_held_down(query.key, self._clock.wall())
        timeout_seconds = self._timeout_seconds
        try:
            (entry, outcome), collapsed = await self.join(query, work, client=client, timeout_seconds=timeout_seconds)
        except BudgetUsedUp:  # it may be that of a background fill, whose budget is lower: try with the client's
            (entry, outcome), collapsed = await self.join(query, work, client=client, timeout_seconds=timeout_seconds)
        return Filled(entry, Outcome.COLLAPSED if collapsed else outcome)

    async def join(
        self,
        query: CanonicalQuery,
        work: Callable[[], Awaitable[T]],
        *,
        client: str,
        timeout_seconds: float | None = None,
    ) -> tuple[T, bool]:
        """The result of the work, and whether this call joined the same work of another client.

        If the joined work failed because the other client's share is used up, this call does the work itself.
        """
        while True:
            try:
                return await self._flights.do(query.key, work, timeout_seconds=timeout_seconds)
            except TimeoutError as error:
                raise TooSlow from error
            except ClientShareUsedUp as refused:
                if refused.client == client:
                    raise

    def fill_in_background(self, query: CanonicalQuery, *, short_lived: bool) -> None:
        """Fill without a waiting client, unless a fill failed a moment ago."""
        failure = self.failure(query)
        if failure is None or not failure.is_recent(self._clock.wall()):
            self._flights.spawn(query.key, lambda: self._run(query, short_lived=short_lived, background=True))

    def failure(self, query: CanonicalQuery) -> Failure | None:
        """How the last fill of this query failed; None if it succeeded, or failed long ago."""
        return self._failures.of(query.key, self._clock.wall())

    async def warm(self) -> bool:
        """Load the full document from Redis, if it is there, whatever its age. Returns whether it is fresh."""
        entry = await self._filler.load(self._local.document_query)
        return decide(entry, self._clock.origin()) is Freshness.FRESH

    async def refresh(self) -> None:
        """Replace the full document by a newer one, under the background budget. Raises a SidecarError."""
        document = self._local.document_query
        await self._flights.do(document.key, lambda: self._run(document, short_lived=False, background=True))

    async def drain(self, timeout_seconds: float) -> None:
        """Wait this long for fills under way, then cancel them."""
        await self._flights.drain(timeout_seconds)

    async def _run(
        self, query: CanonicalQuery, *, short_lived: bool, background: bool = False, client: str | None = None
    ) -> tuple[Entry, Outcome]:
        """One fill. Remembers whether it failed, unless it failed for one client alone."""
        try:
            filled = await self._filler.fill(query, short_lived=short_lived, background=background, client=client)
        except ClientShareUsedUp:
            raise
        except SidecarError as error:
            write = log.debug if isinstance(error, SendingRefused) else log.warning
            write("fill_failed", key=query.key, reason=error.reason, background=background, error=error.msg)
            self._failures.remember(query.key, error, self._clock.wall())
            raise
        self._failures.forget(query.key)
        return filled
