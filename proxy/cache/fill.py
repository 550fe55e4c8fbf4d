"""Fill: get an entry from Redis or from the origin, and store it in this process and in Redis.

Owns: loading, when the fill lock is taken, making entries from the origin's answers. Must not know: clients, replies,
which stale entry may be used meanwhile, how an entry is shared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from msgspec import Struct

from proxy.bodies import compress, entity_tag
from proxy.cache import failure_codec
from proxy.cache.fill_lock import LOCK_SECONDS
from proxy.cache.held_lock import held_lock
from proxy.cache.lifetimes import NOTHING, Policy
from proxy.cache.local import EntrySource, LocalCache
from proxy.cache.packing import Packing
from proxy.cache.sharing import Sharing, held_document
from proxy.core.cache.fill_wait import WaitEnd
from proxy.core.cache.freshness import USABLE, Freshness, decide
from proxy.core.cache.refusal import may_replace, refusal_of
from proxy.core.document.parsed import Document, parse_document, server_time_of
from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.messages import Entry, Lifetimes, arrived_age_seconds, is_from_future, notice
from proxy.core.passing import SBE_DEPRECATED
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.reply import Outcome
from proxy.core.verdict import Good, contracts_rate_limits
from proxy.errors import BadAnswer, OriginRefused, RedisAway, SidecarError, TooSlow
from proxy.event_log import log
from proxy.origin.origins import Origins
from proxy.origin.reading import AcceptedResponse, RateLimits
from proxy.ports import Clock, Observer, Store


class FillRequest(Struct, frozen=True):
    """How to fill."""

    short_lived: bool
    """The entry lives no longer than a negative one."""
    background: bool
    """The budget of background fills applies."""
    client: str | None
    """Who pays for it, if anybody."""


class Filler:
    """Fills entries. The caller ensures that this process fills a key only once at a time."""

    def __init__(  # noqa: PLR0913 - the parts that it joins
        self,
        origin: Origins,
        local: LocalCache,
        store: Store,
        *,
        learn: Callable[[Endpoint, RateLimits], None],
        venue: str,
        policy: Policy,
        clock: Clock,
        observer: Observer,
        wait_seconds: float,
        sharing: Sharing,
    ) -> None:
        self._sharing = sharing
        self._packing = Packing()
        self._origin = origin
        self._local = local
        self._store = store
        self._learn = learn
        self._venue = venue
        self._policy = policy
        self._clock = clock
        self._observer = observer
        self._wait_seconds = wait_seconds

    def may_keep(self, query: UpstreamQuery) -> bool:
        """Whether an answer to this query may be stored at some time."""
        return self._policy.may_keep(query)

    def keeps(self, query: UpstreamQuery) -> bool:
        """Whether an answer to this query may be stored."""
        return self._policy.keeps(query, self._clock.origin())

    async def load(self, query: UpstreamQuery) -> Entry | None:
        """The newest usable entry of this process and Redis, stored in this process; None if there is none.

        Transfers nothing if the entry of this process is as new as that of Redis.
        """
        started = time.monotonic()
        existing = self._local.get(query)
        try:
            known_at = existing.stored_at if existing is not None else float("inf")
            is_known = not is_from_future(known_at, self._clock.origin())
            if is_known and (await self._store.peek(self._key(query)) or 0.0) <= known_at:
                return existing
            entry = await self._store.get(self._key(query))
        except RedisAway:
            return existing
        if entry is None or decide(entry, self._clock.origin()) not in USABLE:
            return None
        if not self._may_replace(existing, entry, query):
            return existing  # another replica without a good entry stored the origin's error
        try:
            document, rate_limits = _parsed(query, entry)
            await self._local.put(query, entry, document=document, source=EntrySource.REDIS, started=started)
        except BadAnswer as error:
            log.warning("entry_unreadable", key=query.key, error=error.msg)
            return None
        if rate_limits:
            self._learn(query.endpoint, rate_limits)
        return self._local.get(query) or entry  # a newer one may have come while this one was read

    async def fill(
        self,
        query: UpstreamQuery,
        *,
        short_lived: bool = False,
        background: bool = False,
        client: str | None = None,
    ) -> tuple[Entry, Outcome]:
        """A fresh entry, and where it came from: found in a store (HIT), another replica (COLLAPSED), origin (MISS).

        The parameters are those of FillRequest. Raises a SidecarError when there is no entry.
        """
        started = time.monotonic()
        result = "cancelled"
        try:
            entry, outcome = await self._fill(query, FillRequest(short_lived, background, client))
            result = _result(entry, outcome, background=background)
            return entry, outcome
        except SidecarError as error:
            result = error.reason
            raise
        except Exception:
            result = SidecarError.reason
            raise
        finally:
            seconds = time.monotonic() - started
            self._observer.filled(query.endpoint.name, result=result, seconds=seconds)

    async def _fill(self, query: UpstreamQuery, request: FillRequest) -> tuple[Entry, Outcome]:
        """Fill under the fill lock; without it while Redis is away."""
        key = self._key(query)
        existing = self._local.get(query)
        newer_than = existing.stored_at if existing is not None else float("-inf")
        try:
            lock = await self._store.acquire(key, ttl_seconds=LOCK_SECONDS)
            while lock is None:
                shared = await self._wait(query, newer_than=newer_than)
                if shared is not None:
                    return shared, Outcome.COLLAPSED
                lock = await self._store.acquire(key, ttl_seconds=LOCK_SECONDS)
        except RedisAway:
            return await self._ask(query, request), Outcome.MISS
        async with held_lock(lock):
            found = await self.load(query)  # another replica may have filled it before we got the lock
            if found is not None and found.stored_at > newer_than and self._is_fresh(found):
                return found, Outcome.HIT
            return await self._ask(query, request), Outcome.MISS

    def _is_fresh(self, entry: Entry) -> bool:
        return decide(entry, self._clock.origin()) is Freshness.FRESH

    async def _wait(self, query: UpstreamQuery, *, newer_than: float) -> Entry | None:
        """Wait for the replica that holds the lock. None: it died or released the lock, so try to acquire it.

        Raises RedisAway when Redis does not answer any more, an UpstreamFailed when the other's fill failed or
        takes too long.
        """
        end = await self._store.wait_for_fill(
            self._key(query), newer_than=newer_than, timeout_seconds=self._wait_seconds
        )
        self._observer.fill_wait(end)
        match end:
            case WaitEnd.FILLED:
                found = await self.load(query)
                if found is None:
                    raise RedisAway("The other replica's entry cannot be read.")
                if found.stored_at <= newer_than:
                    raise OriginRefused("The origin answered another replica with an error.")
                return found
            case WaitEnd.EXPIRED | WaitEnd.RELEASED:
                return None
            case WaitEnd.FAILED:
                raise failure_codec.decode(await self._store.failure(self._key(query)))
            case WaitEnd.DEADLINE:
                raise TooSlow
            case WaitEnd.REDIS_AWAY:
                raise RedisAway("Redis went away while another replica was filling.")
            case never:
                assert_never(never)

    async def _ask(self, query: UpstreamQuery, request: FillRequest) -> Entry:
        """Ask the origin, and store its answer here and in Redis. Raises OriginRefused for an error that is no news."""
        started = time.monotonic()
        accepted = await self._origin.ask(query, background=request.background, client=request.client)
        verdict = accepted.verdict
        is_positive = isinstance(verdict, Good) and not request.short_lived
        stored_at = self._clock.to_origin(accepted.response.received_at)
        lifetimes = self._policy.of(query, accepted.response, is_good=is_positive, now=stored_at)
        if lifetimes is None:
            return await _entry(accepted, NOTHING, stored_at=stored_at)
        entry = await self._packed(query, await _entry(accepted, lifetimes, stored_at=stored_at), request)
        if not self._may_replace(self._local.get(query), entry, query):
            raise refusal_of(entry)
        document = verdict.document if isinstance(verdict, Good) else None
        before = held_document(self._local, query)
        # Here first: it raises for a suspicious document, which must not reach the other replicas.
        await self._local.put(query, entry, document=document, started=started)
        await self._sharing.share(query, self._key(query), entry, before=before, local=self._local)
        return entry

    async def _packed(self, query: UpstreamQuery, entry: Entry, request: FillRequest) -> Entry:
        """The entry with a smaller gzip variant, where that makes no client wait for long."""
        time_at, waits = server_time_of(entry.body), not request.background
        packed = await self._packing.pack(query.key, entry.body, entry.validator, time=time_at, at_once=waits)
        is_smaller = packed is not None and len(packed) < len(entry.gzip or entry.body)
        return replace(entry, gzip=packed) if is_smaller else entry

    def _may_replace(self, held: Entry | None, entry: Entry, query: UpstreamQuery) -> bool:
        return may_replace(held, entry, self._clock.origin(), names_symbols=query.names_symbols)

    def _key(self, query: UpstreamQuery) -> str:
        return f"{self._venue}:{query.key}"


def _parsed(query: UpstreamQuery, entry: Entry) -> tuple[Document | None, RateLimits]:
    """The document in an entry, and the limits that it names. Raises BadAnswer if it cannot be parsed."""
    if entry.status != 200 or not entry.content_type.startswith("application/json"):
        return None, ()
    if query.endpoint.has_document:
        document = parse_document(entry.body)
        return document, document.rate_limits
    return None, contracts_rate_limits(entry.body) if query.endpoint.has_rate_limits else ()


async def _entry(accepted: AcceptedResponse, lifetimes: Lifetimes, *, stored_at: float) -> Entry:
    response = accepted.response
    return Entry(
        status=response.status,
        content_type=response.content_type,
        body=response.body,
        gzip=response.gzip or await compress(response.body),
        etag=await entity_tag(response.body, apart=server_time_of(response.body)),
        stored_at=stored_at,
        lifetimes=lifetimes,
        arrived_age_seconds=arrived_age_seconds(response.headers),
        sbe_deprecated=notice(response.headers.get(SBE_DEPRECATED.lower())),
    )


def _result(entry: Entry, outcome: Outcome, *, background: bool) -> str:
    """The label in metrics. An error answer is a result only for a client that waits for it."""
    if entry.status != 200 and background:
        return OriginRefused.reason
    if outcome is not Outcome.MISS:
        return "shared"
    return "stored" if entry.status == 200 else "negative"
