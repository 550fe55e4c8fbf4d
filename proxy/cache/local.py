"""What this process holds: entries by query, the full document with its snapshot, and what was selected from it.

Owns: L1 as the way of a request sees it, and the adoption of a new full document: index first, swap then, so that
no hit waits and no two answers mix two documents. Must not know: Redis, the origin, clients.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import structlog

from proxy.bodies import compress, entity_tag
from proxy.cache.lru import MemoryStore
from proxy.cache.singleflight import SingleFlight
from proxy.core.cache.freshness import Freshness, decide
from proxy.core.document.changes import Changes, diff, suspicion_of
from proxy.core.document.parsed import Document
from proxy.core.document.snapshot import CannotAnswer, Snapshot, index
from proxy.core.messages import Entry
from proxy.core.query.canonical import CanonicalQuery
from proxy.errors import BadAnswer

log = structlog.get_logger(__name__)

FEW_SYMBOLS = 8
"""An answer with no more symbols is made at once: it is too small to be worth a task and a thread."""
SELECTION = "selection:"
"""How the keys of selections begin in memory; no endpoint's name does."""
_PLACE_BYTES = 1024
"""What an entry takes that is held elsewhere."""
NOT_INDEXED = "not-indexed"
"""Why a document was quarantined: it cannot be cut into symbols, where the one before could."""


class EntrySource(Enum):
    """Who vouches for an entry. The value is the word in logs."""

    ORIGIN = "origin"
    """It was just asked for: a document that lost much is suspicious."""
    REDIS = "redis"
    """Another process asked for it and believed it, for nothing else is stored: it is believed here too."""


class LocalCacheObserver(Protocol):
    """Who counts documents."""

    def adopted(self, changes: Changes | None) -> None:
        """A new full document is in use; None: nothing to compare it with."""

    def quarantined(self, reason: str) -> None:
        """A full document was suspicious."""


@dataclass(frozen=True, slots=True)
class LoadedDocument:
    """The full document and its index: always of one and the same answer of the origin."""

    entry: Entry
    snapshot: Snapshot | None
    """None for a document that cannot be cut into symbols: then it answers only the bare query."""
    changes: Changes | None = None
    """Against the document before; None: there was nothing to compare it with."""


class LocalCache:
    """L1. The full document is held apart from the other entries, which never evict it."""

    def __init__(
        self, memory: MemoryStore, *, document: CanonicalQuery, use_snapshot: bool, observer: LocalCacheObserver
    ) -> None:
        self.memory = memory
        """Entries of the origin's own answers, and what was selected from the document that is held now."""
        self.document_query = document
        """The query for the full document."""
        self.asked_at = float("-inf")
        """When a client last wanted the full document or a part of it, by the origin's clock."""
        self.loaded: LoadedDocument | None = None
        self.version = 0
        """Counts up with every entry: who remembers answers by other means must look again whether it `holds` them."""
        self.documents = 0
        """Counts up with every full document: then whatever was made from the one before is over."""
        self._use_snapshot = use_snapshot
        self._observer = observer
        self._quarantined: LoadedDocument | None = None
        self._adopting = asyncio.Lock()
        self._making = SingleFlight()

    def holds(self, key: str, entry: Entry) -> bool:
        """Whether this entry is what a query of this key is answered from now; it is then used, and kept longer."""
        if self.loaded is not None and self.loaded.entry is entry:
            return True
        return self.memory.get(SELECTION + key) is entry or self.memory.get(key) is entry

    def selects(self, query: CanonicalQuery) -> bool:
        """Whether the full document could answer this query."""
        return (
            self._use_snapshot and query.endpoint == self.document_query.endpoint and query.representation.sbe is None
        )

    def document(self) -> Entry | None:
        """The full document, of whatever age."""
        return self.get(self.document_query)

    def get(self, query: CanonicalQuery) -> Entry | None:
        """The origin's own answer to this very query."""
        if self._use_snapshot and query == self.document_query:
            return self.loaded.entry if self.loaded is not None else None
        return self.memory.get(query.key)

    async def put(
        self,
        query: CanonicalQuery,
        entry: Entry,
        *,
        document: Document | None = None,
        source: EntrySource = EntrySource.ORIGIN,
        started: float | None = None,
    ) -> None:
        """Keep an answer. Raises BadAnswer for a full document that is quarantined as suspicious.

        `document` is what `prove` gave for its body, where that was asked already. `started` is when the work
        for it began, by `time.monotonic`, for the log.
        """
        if self._use_snapshot and query == self.document_query and entry.status == 200:
            async with self._adopting:
                is_new = await self._adopt(entry, document, source)
            if is_new and self.loaded is not None:
                _log_adopted(self.loaded, source, started)
        else:
            self.memory.put(query.key, entry)
        self.version += 1

    async def select(self, query: CanonicalQuery) -> Entry | None:
        """Select the answer from the document that is held now; made once for each document, and as old as it.

        None: the document does not prove the answer.
        """
        while True:
            known = self.memory.get(SELECTION + query.key)
            if known is not None:
                return known
            loaded = self.loaded
            if loaded is None or loaded.snapshot is None:
                return None
            entry = await self._make(loaded, loaded.snapshot, query)
            if self.loaded is loaded:
                if entry is not None:
                    # A selection of everything is the document itself, which is held anyway.
                    size_bytes = _PLACE_BYTES if entry is loaded.entry else None
                    self.memory.put(SELECTION + query.key, entry, size_bytes=size_bytes)
                return entry
            # A new document came while this answer was compressed. Others see it already: so shall this one.

    async def _make(self, loaded: LoadedDocument, snapshot: Snapshot, query: CanonicalQuery) -> Entry | None:
        if query.symbols is not None and len(query.symbols) <= FEW_SYMBOLS:
            return await _selected(loaded.entry, snapshot, query)
        flight = (id(loaded), query.key)
        entry, _ = await self._making.do(flight, lambda: _selected(loaded.entry, snapshot, query))
        return entry

    async def _adopt(self, entry: Entry, document: Document | None, source: EntrySource) -> bool:
        """Take a document into use; whether it differs from the one before."""
        old = self.loaded
        if old is not None and source is EntrySource.REDIS and old.entry.stored_at >= entry.stored_at:
            return False  # ours was replaced while this one was on its way
        if old is not None and old.entry.etag == entry.etag:
            self._load(LoadedDocument(entry, old.snapshot, Changes((), (), ())))
            return False
        new = LoadedDocument(entry, await _indexed(entry, document))
        if old is not None and old.snapshot is not None:
            if source is EntrySource.ORIGIN and decide(old.entry, entry.stored_at) is not Freshness.EXPIRED:
                self._examine(old, new)
            if new.snapshot is not None:
                new = LoadedDocument(entry, new.snapshot, diff(old.snapshot, new.snapshot))
        self._load(new)
        self._observer.adopted(new.changes)
        return True

    def _load(self, loaded: LoadedDocument) -> None:
        self._quarantined = None
        self.loaded = loaded
        self.documents += 1
        self.memory.drop(SELECTION)

    def _examine(self, old: LoadedDocument, new: LoadedDocument) -> None:
        """A document that lost much is believed when a second one agrees with it."""
        reason = _suspicion(old, new)
        if reason is None:
            return
        symbols = new.snapshot.symbols_count if new.snapshot is not None else None
        if self._quarantined is not None and _agree(self._quarantined, new):
            log.warning("document_confirmed", reason=reason, symbols=symbols)
            return
        self._quarantined = new
        self._observer.quarantined(reason)
        log.warning("document_quarantined", reason=reason, symbols=symbols, bytes=len(new.entry.body))
        raise BadAnswer("The origin's document lost too many symbols at once; waiting for a second one.")


def _suspicion(old: LoadedDocument, new: LoadedDocument) -> str | None:
    """What is suspicious about a newer document; nothing where there is no older index to compare it with."""
    if old.snapshot is None:
        return None
    if new.snapshot is None:
        return NOT_INDEXED
    suspicion = suspicion_of(old.snapshot, new.snapshot)
    return suspicion.value if suspicion is not None else None


def _agree(quarantined: LoadedDocument, new: LoadedDocument) -> bool:
    """Whether a second document confirms the one that was quarantined."""
    return (quarantined.snapshot is None) is (new.snapshot is None) and _suspicion(quarantined, new) is None


def _log_adopted(loaded: LoadedDocument, source: EntrySource, started: float | None) -> None:
    """The one line about each new document."""
    changes = loaded.changes
    log.info(
        "document_adopted",
        source=source.value,
        seconds=round(time.monotonic() - started, 3) if started is not None else None,
        bytes=len(loaded.entry.body),
        symbols=loaded.snapshot.symbols_count if loaded.snapshot is not None else None,
        added=len(changes.added) if changes is not None else None,
        removed=len(changes.removed) if changes is not None else None,
        changed_status=len(changes.changed_status) if changes is not None else None,
    )


async def _selected(whole: Entry, snapshot: Snapshot, query: CanonicalQuery) -> Entry | None:
    """The answer as an entry. Bodies too large for the event loop are compressed and named in a thread."""
    body = snapshot.select(query)
    if isinstance(body, CannotAnswer):
        return None
    if len(body) == len(whole.body) and body == whole.body:
        return whole  # `permissions=SPOT`, as a rule: no second copy, nothing to compress
    return Entry(
        status=whole.status,
        content_type=whole.content_type,
        body=body,
        gzip=await compress(body),
        etag=await entity_tag(body),
        stored_at=whole.stored_at,
        lifetimes=whole.lifetimes,
    )


async def _indexed(entry: Entry, document: Document | None) -> Snapshot | None:
    """Index a document a slice at a time, letting other work run in between. None: it can only be served whole."""
    indexing = index(entry.body, version=entry.etag, document=document)
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
