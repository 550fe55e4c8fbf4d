"""What this process holds: entries by query, the full document with its snapshot, and what was selected from it.

Owns: L1 as the way of a request sees it, and the adoption of a new full document: index first, swap then, so that
no hit waits and no two answers mix two documents. Must not know: Redis, the origin, clients.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

import structlog

from proxy.coding import compress, entity_tag
from proxy.core.messages import Entry
from proxy.core.query import CanonicalQuery
from proxy.core.snapshot import CannotAnswer, Changes, Snapshot, adoptable, diff, index
from proxy.errors import BadAnswer
from proxy.stores.memory import MemoryStore

log = structlog.get_logger(__name__)


class ShelfObserver(Protocol):
    """Who counts documents."""

    def adopted(self, changes: Changes | None) -> None:
        """A new full document is in use; None: nothing to compare it with."""

    def kept_aside(self, reason: str) -> None:
        """A full document was suspicious."""


@dataclass(frozen=True, slots=True)
class Held:
    """The full document and its index: always of one and the same answer of the origin."""

    entry: Entry
    snapshot: Snapshot | None
    """None for a document that cannot be cut into symbols: then it answers only the bare query."""


class Shelf:
    """L1. The full document is held apart from the other entries, which never evict it."""

    def __init__(
        self, memory: MemoryStore, *, document: CanonicalQuery, use_snapshot: bool, observer: ShelfObserver
    ) -> None:
        self.memory = memory
        self.selections = MemoryStore(memory.max_bytes)
        """Answers selected from the document that is held now; emptied with it."""
        self.document = document
        """The query for the full document."""
        self.held: Held | None = None
        self.version = 0
        """Counts up whenever an entry is replaced: who remembers answers by other means must look again."""
        self._use_snapshot = use_snapshot
        self._observer = observer
        self._aside: Snapshot | None = None
        self._adopting = asyncio.Lock()

    def selects(self, query: CanonicalQuery) -> bool:
        """Whether the full document could answer this query."""
        return self._use_snapshot and query.endpoint == self.document.endpoint and query.representation.sbe is None

    def get(self, query: CanonicalQuery) -> Entry | None:
        """The origin's own answer to this very query."""
        if self._use_snapshot and query == self.document:
            return self.held.entry if self.held is not None else None
        return self.memory.get(query.key)

    async def put(self, query: CanonicalQuery, entry: Entry) -> None:
        """Keep an answer. Raises BadAnswer for a full document that is kept aside as suspicious."""
        if self._use_snapshot and query == self.document and entry.status == 200:
            async with self._adopting:
                await self._adopt(entry)
        else:
            self.memory.put(query.key, entry)
        self.version += 1

    async def select(self, query: CanonicalQuery) -> Entry | None:
        """Select the answer from the document that is held now; made once for each document, and as old as it.

        None: the document does not prove the answer.
        """
        known = self.selections.get(query.key)
        if known is not None:
            return known
        held = self.held
        if held is None or held.snapshot is None:
            return None
        body = held.snapshot.select(query)
        if isinstance(body, CannotAnswer):
            return None
        entry = Entry(
            status=held.entry.status,
            content_type=held.entry.content_type,
            body=body,
            gzip=await compress(body),
            etag=await entity_tag(body),
            stored_at=held.entry.stored_at,
            lifetimes=held.entry.lifetimes,
        )
        if self.held is held:
            self.selections.put(query.key, entry)
        return entry

    async def _adopt(self, entry: Entry) -> None:
        if self.held is not None and self.held.entry.etag == entry.etag:
            self.held = Held(entry, self.held.snapshot)
            self.selections.clear()
            return
        snapshot = await _indexed(entry)
        changes = None
        if self.held is not None and self.held.snapshot is not None and snapshot is not None:
            self._examine(self.held.snapshot, snapshot)
            changes = diff(self.held.snapshot, snapshot)
        self._aside = None
        self.held = Held(entry, snapshot)
        self.selections.clear()
        symbols = snapshot.symbols_count if snapshot is not None else 0
        self._observer.adopted(changes)
        log.info(
            "document_adopted",
            bytes=len(entry.body),
            symbols=symbols,
            added=len(changes.added) if changes else None,
            removed=len(changes.removed) if changes else None,
            changed_status=len(changes.changed_status) if changes else None,
        )

    def _examine(self, old: Snapshot, new: Snapshot) -> None:
        """A document that lost much is believed when a second one agrees with it."""
        suspicion = adoptable(old, new)
        if suspicion is None:
            return
        if self._aside is not None and adoptable(self._aside, new) is None:
            log.warning("document_confirmed", reason=suspicion.value, symbols=new.symbols_count)
            return
        self._aside = new
        self._observer.kept_aside(suspicion.value)
        log.warning("document_kept_aside", reason=suspicion.value, symbols=new.symbols_count)
        raise BadAnswer("The origin's document lost too many symbols at once; waiting for a second one.")


async def _indexed(entry: Entry) -> Snapshot | None:
    """Index a document a slice at a time, letting other work run in between. None: it can only be served whole."""
    indexing = index(entry.body, version=entry.etag)
    while True:
        try:
            next(indexing)
        except StopIteration as end:
            snapshot: Snapshot = end.value
            return snapshot
        except BadAnswer as error:
            log.warning("document_not_indexed", error=error.msg)
            return None
        await asyncio.sleep(0)
