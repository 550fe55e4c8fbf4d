"""Stores an entry for the other replicas: a document with its changes, anything else alone.

Owns: which of the two, and the room for history. Must not know: how a fill works, how changes are found.
"""

from __future__ import annotations

from proxy.cache.documents import HeldDocument, Publisher
from proxy.cache.lifetimes import Room
from proxy.cache.local import LocalCache
from proxy.core.cache.refusal import is_good
from proxy.core.document.snapshot import Snapshot
from proxy.core.messages import Entry, Lifetimes
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import RedisAway
from proxy.event_log import log
from proxy.ports import Store


class Sharing:
    """What becomes of an entry once this process holds it."""

    def __init__(self, store: Store, publisher: Publisher, *, history: Lifetimes, history_bytes: int = 0) -> None:
        """`history`: the lifetimes of history. `history_bytes`: how much of it this process may hold in Redis."""
        self._store = store
        self._publisher = publisher
        self._history = history
        self._room = Room(history_bytes, history.fresh_seconds)

    async def share(
        self, query: UpstreamQuery, key: str, entry: Entry, *, before: HeldDocument | None, local: LocalCache
    ) -> None:
        """Store an entry under this key. `before`: what `held_document` returned until then."""
        if entry.lifetimes is self._history and not self._room.take(entry.size_bytes, entry.stored_at):
            return
        try:
            if not await self._is_published(query, key, entry, before, local):
                await self._store.put(key, entry)
        except RedisAway:
            log.debug("entry_not_shared", key=query.key)

    async def _is_published(
        self, query: UpstreamQuery, key: str, entry: Entry, before: HeldDocument | None, local: LocalCache
    ) -> bool:
        """Whether the entry is a document that is stored with its changes now."""
        if not is_good(entry) or not self._publisher.covers(query):
            return False
        new = HeldDocument(entry, _snapshot_of(entry, local))
        return await self._publisher.publish(query.endpoint.api, new, before, read_stored=lambda: self._store.get(key))


def held_document(local: LocalCache, query: UpstreamQuery) -> HeldDocument | None:
    """The good answer to this query that is held now, with its index if it has one."""
    entry = local.get(query)
    return HeldDocument(entry, _snapshot_of(entry, local)) if entry is not None and is_good(entry) else None


def _snapshot_of(entry: Entry, local: LocalCache) -> Snapshot | None:
    return local.loaded.snapshot if local.loaded is not None and local.loaded.entry is entry else None
