"""Fills for requests: one at a time for each key, with a memory of recent failures.

Owns: single flight in this process, background fills, the refresh of the full document, the hold-down after failures.
Must not know: how one fill works (`proxy.cache.fill`), replies, which stale entry may be used meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct

from proxy.cache.fill import Filler
from proxy.cache.local import LocalCache
from proxy.cache.singleflight import SingleFlight
from proxy.core.cache.freshness import Freshness, decide
from proxy.core.cache.recent_failures import Failure, RecentFailures
from proxy.core.cache.refusal import is_good, refusal_of
from proxy.core.messages import Entry
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.reply import Outcome
from proxy.errors import INTERNAL_ERROR, BudgetUsedUp, ClientShareUsedUp, SendingRefused, SidecarError, TooSlow
from proxy.event_log import log
from proxy.ports import Clock

T = TypeVar("T")

STALE_AFTER_SECONDS = 0.8
"""How long a client waits for a fill before it gets a stale entry. Binance's own libraries give up after 1 s."""


class Filled(Struct, frozen=True):
    """The result of a fill for one client."""

    entry: Entry
    outcome: Outcome
    """MISS: this fill asked the origin. HIT: the entry was in Redis. COLLAPSED: another fill brought it."""


class Fills:
    """Fills entries for clients and in the background. Safe to call from many tasks of one event loop."""

    def __init__(
        self,
        filler: Filler,
        local: LocalCache,
        clock: Clock,
        *,
        timeout_seconds: float,
        stale_after_seconds: float = STALE_AFTER_SECONDS,
    ) -> None:
        self._filler = filler
        self._local = local
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._stale_after_seconds = stale_after_seconds
        self.flights = SingleFlight()
        """The work under way, by the keys of queries."""
        self._failures = RecentFailures()
        self._overdue: set[str] = set()
        """The keys of the fills under way that took longer than a client with a stale entry waits."""

    def may_keep(self, query: UpstreamQuery) -> bool:
        """Whether an answer to this query may be stored at some time."""
        return self._filler.may_keep(query)

    def keeps(self, query: UpstreamQuery) -> bool:
        """Whether an answer to this query may be stored."""
        return self._filler.keeps(query)

    async def load(self, query: UpstreamQuery) -> Entry | None:
        """The query's newest entry, of this process or of Redis."""
        loaded, _ = await self.flights.do(("load", query.key), lambda: self._load(query))
        return self._local.get(query) or loaded

    async def fill(
        self, query: UpstreamQuery, client: str, *, short_lived: bool, give_up_at: float | None = None
    ) -> Filled:
        """Fill for a client that waits. It joins a fill under way, for which the client that started it pays.

        `short_lived`: the entry lives no longer than a negative one. `give_up_at`: what `stale_deadline` returned.
        Raises a SidecarError when there is no entry: TooSlow at that time, while the fill goes on.
        """

        async def work() -> tuple[Entry, Outcome]:
            return await self._run(query, short_lived=short_lived, client=client)

        self._failures.raise_if_held_down(query.key, self._clock.wall())
        ends = time.monotonic() + self._timeout_seconds if give_up_at is None else give_up_at
        try:
            try:
                (entry, outcome), collapsed = await self.join(query, work, client=client, ends=ends)
            except BudgetUsedUp:  # it may be that of a background fill, whose budget is lower: try with the client's
                (entry, outcome), collapsed = await self.join(query, work, client=client, ends=ends)
        except TooSlow:
            if give_up_at is not None and self.flights.is_under_way(query.key):
                self._overdue.add(query.key)
            raise
        return Filled(entry, Outcome.COLLAPSED if collapsed else outcome)

    def stale_deadline(self) -> float:
        """Until when a client that could get a stale entry waits for a fill, by the monotonic clock."""
        return time.monotonic() + self._stale_after_seconds

    def is_overdue(self, query: UpstreamQuery) -> bool:
        """Whether a client has already waited in vain for the fill of this query that is under way."""
        return query.key in self._overdue

    async def join(
        self,
        query: UpstreamQuery,
        work: Callable[[], Awaitable[T]],
        *,
        client: str,
        ends: float | None = None,
    ) -> tuple[T, bool]:
        """The result of the work, and whether this call joined the same work of another client.

        Raises TooSlow at the monotonic time `ends`; the work goes on. If the joined work failed because the other
        client's share is used up, this call does the work itself.
        """
        while True:
            timeout_seconds = None if ends is None else max(0.0, ends - time.monotonic())
            try:
                return await self.flights.do(query.key, work, timeout_seconds=timeout_seconds)
            except TimeoutError as error:
                raise TooSlow from error
            except ClientShareUsedUp as refused:
                if refused.client == client:
                    raise

    def fill_in_background(self, query: UpstreamQuery, *, short_lived: bool) -> None:
        """Fill without a waiting client, unless fills of this query have failed lately."""
        failure = self.failure(query)
        if failure is None or not failure.backs_off(self._clock.wall()):
            self.flights.spawn(query.key, lambda: self._run(query, short_lived=short_lived, background=True))

    def failure(self, query: UpstreamQuery) -> Failure | None:
        """How the last fill of this query failed; None if it succeeded, or failed long ago."""
        return self._failures.of(query.key, self._clock.wall())

    async def warm(self) -> bool:
        """Load the full document from Redis, if it is there, whatever its age. Returns whether it is fresh.

        Clients that ask meanwhile wait for this load. The origin's error answer to the query for the document is not a
        document.
        """
        entry = await self.load(self._local.document_query)
        return is_good(entry) and decide(entry, self._clock.origin()) is Freshness.FRESH

    async def refresh(self) -> None:
        """Replace the full document by a newer one, under the background budget. Raises a SidecarError.

        An error answer of the origin is a failure, also where it is stored because there is no document to keep.
        """
        document = self._local.document_query
        (entry, _), _ = await self.flights.do(
            document.key, lambda: self._run(document, short_lived=False, background=True)
        )
        if not is_good(entry):
            raise refusal_of(entry)

    def failures(self) -> tuple[int, float]:
        """How often the full document could not be filled in a row, and when last, by the origin's clock."""
        failure = self._failures.of(self._local.document_query.key, self._clock.wall())
        if failure is None:
            return 0, float("-inf")
        return failure.in_a_row, self._clock.to_origin(failure.at)

    async def drain(self, timeout_seconds: float) -> None:
        """Wait this long for fills under way, then cancel them."""
        await self.flights.drain(timeout_seconds)

    async def _load(self, query: UpstreamQuery) -> Entry | None:
        """As if Redis had nothing if this fails by a bug of ours, which is logged once for all that wait."""
        try:
            return await self._filler.load(query)
        except SidecarError:
            raise
        except Exception:
            log.exception("load_failed", key=query.key)
            return self._local.get(query)

    async def _run(
        self, query: UpstreamQuery, *, short_lived: bool, background: bool = False, client: str | None = None
    ) -> tuple[Entry, Outcome]:
        """One fill. Remembers whether it failed, unless it failed for one client alone.

        A bug of ours is logged here, once for all that wait, and is a SidecarError for them: they get what is stored.
        """
        try:
            filled = await self._filler.fill(query, short_lived=short_lived, background=background, client=client)
        except ClientShareUsedUp:
            raise
        except SidecarError as error:
            # Of market data each request may be another one, and no log has a line a request.
            is_usual = isinstance(error, SendingRefused) or query.passes_as_it_came
            write = log.debug if is_usual else log.warning
            write("fill_failed", key=query.key, reason=error.reason, background=background, error=error.msg)
            self._failures.remember(query.key, error, self._clock.wall())
            raise
        except Exception as error:
            log.exception("fill_failed", key=query.key, reason=SidecarError.reason, background=background)
            failure = SidecarError(INTERNAL_ERROR)
            self._failures.remember(query.key, failure, self._clock.wall())
            raise failure from error
        finally:
            self._overdue.discard(query.key)
        self._failures.forget(query.key)
        return filled
