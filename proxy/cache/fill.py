"""Fill: get an entry from Redis or from the origin, and keep it in both stores.

Owns: loading, the fill lock and its renewal, the making of entries. Must not know: clients, replies, which stale
entry may be used meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import assert_never

import structlog

from proxy.bodies import compress, entity_tag
from proxy.cache.local import EntrySource, LocalCache
from proxy.core.cache.fill_wait import WaitEnd
from proxy.core.cache.freshness import USABLE, Freshness, decide
from proxy.core.document.parsed import Document, parse_document
from proxy.core.messages import Entry, Lifetimes
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.reply import Outcome
from proxy.core.verdict import Good
from proxy.errors import JSON_CONTENT_TYPE, BadAnswer, RedisAway, SidecarError, TooSlow, UpstreamFailed
from proxy.origin.guarded import AcceptedResponse, Origin
from proxy.ports import Clock, FillLock, Observer, Store

log = structlog.get_logger(__name__)

LOCK_SECONDS = 5.0
"""How long a fill lock outlives its holder; it is renewed three times in that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long answers are kept, by what they are."""

    positive: Lifetimes
    negative: Lifetimes
    """The origin's 400s, and any answer to a query of which we do not know what it means."""


@dataclass(frozen=True, slots=True)
class FillRequest:
    """What a fill is to be, and for whom."""

    short_lived: bool
    background: bool
    client: str | None


class Filler:
    """Fills one entry at a time; the caller sees to it that one key is filled once at a time in this process."""

    def __init__(  # noqa: PLR0913 - the parts that it joins
        self,
        origin: Origin,
        local: LocalCache,
        store: Store,
        *,
        venue: str,
        policy: Policy,
        clock: Clock,
        observer: Observer,
        wait_seconds: float,
    ) -> None:
        self._origin = origin
        self._local = local
        self._store = store
        self._venue = venue
        self._policy = policy
        self._clock = clock
        self._observer = observer
        self._wait_seconds = wait_seconds

    async def load(self, query: CanonicalQuery) -> Entry | None:
        """The newest entry of this process and Redis, which is then in this process. None: nothing usable.

        What this process holds already is not transferred again.
        """
        started = time.monotonic()
        known = self._local.get(query)
        try:
            if known is not None and (await self._store.peek(self._key(query)) or 0.0) <= known.stored_at:
                return known
            entry = await self._store.get(self._key(query))
        except RedisAway:
            return known
        if entry is None or decide(entry, self._clock.origin()) not in USABLE:
            return None
        try:
            document = self._learn(query, entry)
        except BadAnswer as error:
            log.warning("entry_unreadable", key=query.key, error=error.msg)
            return None
        await self._local.put(query, entry, document=document, source=EntrySource.REDIS, started=started)
        return self._local.get(query) or entry  # perhaps a newer one came while this one was read

    def _learn(self, query: CanonicalQuery, entry: Entry) -> Document | None:
        """Learn the limits that a document from Redis tells. Raises BadAnswer where it should be one, and is none."""
        is_json = entry.content_type.startswith("application/json")
        if not (query.endpoint.has_document and is_json and entry.status == 200):
            return None
        document = parse_document(entry.body)
        self._origin.learn_limits(document.rate_limits)
        return document

    async def fill(
        self,
        query: CanonicalQuery,
        *,
        short_lived: bool = False,
        background: bool = False,
        client: str | None = None,
    ) -> tuple[Entry, Outcome]:
        """A fresh entry, and whether it was found (HIT), shared by another replica (COLLAPSED) or asked for (MISS).

        `keep_briefly`: its answer is kept no longer than a negative one; `client` pays for it, if anybody. Raises a
        SidecarError when there is none.
        """
        started = time.monotonic()
        result = "cancelled"
        try:
            entry, outcome = await self._fill(query, FillRequest(short_lived, background, client))
            result = _result(entry, outcome)
            return entry, outcome
        except SidecarError as error:
            result = error.reason
            raise
        finally:
            seconds = time.monotonic() - started
            self._observer.filled(query.endpoint.name, result=result, seconds=seconds)

    async def _fill(self, query: CanonicalQuery, asked: FillRequest) -> tuple[Entry, Outcome]:
        """Under the fill lock; without it where Redis cannot tell who fills."""
        key = self._key(query)
        known = self._local.get(query)
        newer_than = known.stored_at if known is not None else float("-inf")
        try:
            lock = await self._store.acquire(key, ttl_seconds=LOCK_SECONDS)
            while lock is None:
                shared = await self._wait(query, newer_than=newer_than)
                if shared is not None:
                    return shared, Outcome.COLLAPSED
                lock = await self._store.acquire(key, ttl_seconds=LOCK_SECONDS)
        except RedisAway:
            return await self._ask(query, asked), Outcome.MISS
        async with _held(lock):
            found = await self.load(query)
            if found is not None and found.stored_at > newer_than and self._is_fresh(found):
                return found, Outcome.HIT
            return await self._ask(query, asked), Outcome.MISS

    def _is_fresh(self, entry: Entry) -> bool:
        return decide(entry, self._clock.origin()) is Freshness.FRESH

    async def _wait(self, query: CanonicalQuery, *, newer_than: float) -> Entry | None:
        """Wait for the replica that holds the lock. None: it died or let go, and the lock is to be had.

        Raises RedisAway when Redis cannot be asked any more, an UpstreamFailed when the other's fill failed or
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
                return found
            case WaitEnd.EXPIRED | WaitEnd.RELEASED:
                return None
            case WaitEnd.FAILED:
                raise BadAnswer("The origin could not answer another replica a moment ago.")
            case WaitEnd.DEADLINE:
                raise TooSlow
            case WaitEnd.REDIS_AWAY:
                raise RedisAway("Redis went away while another replica was filling.")
            case never:
                assert_never(never)

    async def _ask(self, query: CanonicalQuery, asked: FillRequest) -> Entry:
        """Ask the origin, and keep its answer here and in Redis: but there only what was believed here."""
        started = time.monotonic()
        answer = await self._origin.ask(query, background=asked.background, client=asked.client)
        verdict = answer.verdict
        kept_long = isinstance(verdict, Good) and not asked.short_lived
        lifetimes = self._policy.positive if kept_long else self._policy.negative
        entry = await _entry(answer, lifetimes, stored_at=self._clock.to_origin(answer.response.received_at))
        document = verdict.document if isinstance(verdict, Good) else None
        await self._local.put(query, entry, document=document, started=started)
        try:
            await self._store.put(self._key(query), entry)
        except RedisAway:
            log.debug("entry_not_shared", key=query.key)
        return entry

    def _key(self, query: CanonicalQuery) -> str:
        return f"{self._venue}:{query.key}"


async def _entry(answer: AcceptedResponse, lifetimes: Lifetimes, *, stored_at: float) -> Entry:
    response = answer.response
    return Entry(
        status=response.status,
        content_type=response.headers.get("content-type", JSON_CONTENT_TYPE),
        body=response.body,
        gzip=response.gzip or await compress(response.body),
        etag=await entity_tag(response.body),
        stored_at=stored_at,
        lifetimes=lifetimes,
    )


def _result(entry: Entry, outcome: Outcome) -> str:
    if outcome is not Outcome.MISS:
        return "shared"
    return "stored" if entry.status == 200 else "negative"


@asynccontextmanager
async def _held(lock: FillLock) -> AsyncIterator[None]:
    """Keep the fill lock alive for as long as the block runs, then let go of it.

    Only a failure of the origin is told to the other replicas: after anything else one of them may try.
    """
    renewal = asyncio.create_task(_renew(lock))
    filled = True
    try:
        yield
    except UpstreamFailed:
        filled = False
        raise
    finally:
        renewal.cancel()
        try:
            with suppress(RedisAway):
                await lock.release(filled=filled)
        finally:
            await asyncio.wait([renewal])


async def _renew(lock: FillLock) -> None:
    is_held = True
    while is_held:
        await asyncio.sleep(LOCK_SECONDS / 3)
        with suppress(RedisAway):
            is_held = await lock.renew()
