"""Documents are stored together with their changes, so that the feed tells each change once.

Owns: which documents have changes that are told, the comparison before a document is stored, what is done where
another replica has stored one meanwhile. Must not know: who reads the feed, how streams work.

The changes must begin at the document that is stored. Where that is not the one of this process (another replica, or a
Redis that was away), the stored one is read and compared instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from proxy.background import in_slices
from proxy.core.document.changes import Change
from proxy.core.document.differences import Listing, differences, listing_of, read_listing
from proxy.core.document.snapshot import Snapshot
from proxy.core.endpoints.catalogue import TABLES
from proxy.core.endpoints.endpoint import Api, CachePolicy
from proxy.core.feed.position import FEED_APIS
from proxy.core.feed.record import StoredChange, stored
from proxy.core.messages import Entry
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import BadAnswer, RedisAway
from proxy.event_log import log

_ATTEMPTS = 3
"""Comparisons with documents that other replicas store meanwhile."""
DOCUMENTS: Mapping[Api, CanonicalQuery] = {
    api: CanonicalQuery(
        endpoint=next(line for line in TABLES[api] if line.has_rate_limits and line.policy is CachePolicy.CACHED)
    )
    for api in FEED_APIS
}
"""The query for the document whose changes are told, of each API."""


class FeedObserver(Protocol):
    """Counts changes."""

    def told(self, api: str, kind: str) -> None:
        """This process has written a change to the feed."""


class HeldDocument(Struct, frozen=True):
    """A document of this process."""

    entry: Entry
    snapshot: Snapshot | None = None
    """Its index, if it has one."""


class DocumentToStore(Struct, frozen=True, kw_only=True):
    """A new document, and the changes since another one."""

    api: Api
    entry: Entry
    base: str
    """The version of the other one; empty: there was none."""
    changes: tuple[StoredChange, ...]

    @property
    def now_ms(self) -> int:
        """When the document came, by the origin's clock."""
        return round(self.entry.stored_at * 1000)


class DocumentStore(Protocol):
    """Where documents and their changes are stored."""

    async def put(self, document: DocumentToStore) -> int | None:
        """Store both, or nothing. Returns how many changes are new; None: `base` is not what is stored.

        Raises RedisAway.
        """


class Publisher:
    """Stores documents with their changes."""

    def __init__(self, store: DocumentStore, observer: FeedObserver) -> None:
        self._store = store
        self._observer = observer

    def covers(self, query: UpstreamQuery) -> bool:
        """Whether the changes of the answers to this query are told."""
        document = DOCUMENTS.get(query.endpoint.api)
        return document is not None and document.key == query.key

    async def publish(
        self,
        api: Api,
        new: HeldDocument,
        old: HeldDocument | None,
        *,
        read_stored: Callable[[], Awaitable[Entry | None]],
    ) -> bool:
        """Store a document, and tell what differs from the one before. Raises RedisAway.

        `read_stored` reads the entry that is stored, for the case that another replica has replaced it. Returns
        whether the document is stored; if not, its changes cannot be told.
        """
        for _ in range(_ATTEMPTS):
            try:
                changes = await _changes(old, new)
            except BadAnswer as error:
                log.warning("changes_unknown", error=error.msg)
                return False
            told = stored(changes, api=api, time_ms=round(new.entry.stored_at * 1000))
            base = "" if old is None else old.entry.validator
            written = await self._put(DocumentToStore(api=api, entry=new.entry, base=base, changes=told))
            if written is not None:
                self._count(api, told[:written])
                return True
            found = await read_stored()
            old = None if found is None else HeldDocument(found)
        return False

    async def _put(self, document: DocumentToStore) -> int | None:
        try:
            return await self._store.put(document)
        except RedisAway as error:
            if not error.is_refusal:
                raise
            return None  # a server without streams, or a user without the right

    def _count(self, api: Api, told: Sequence[StoredChange]) -> None:
        for change in told:
            self._observer.told(api.value, change.event)


async def _changes(old: HeldDocument | None, new: HeldDocument) -> tuple[Change, ...]:
    """What differs. Raises BadAnswer if one of them cannot be read."""
    if old is None or old.entry.validator == new.entry.validator:
        return ()
    return await in_slices(differences(await _listing(old), await _listing(new)))


async def _listing(held: HeldDocument) -> Listing:
    return listing_of(held.snapshot) if held.snapshot is not None else await in_slices(read_listing(held.entry.body))
