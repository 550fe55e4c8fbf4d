"""L1: the entries in this process, the full document with its index, and the answers selected from it.

Owns: the entry that answers a query, and the adoption of a new full document. Before the new document replaces the
old one it is indexed, and the selections that were asked last are made from it. So no hit waits, and no answer mixes
two documents. Must not know: Redis, the origin, clients.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Protocol

from msgspec import Struct

from proxy.background import in_slices
from proxy.cache.lru import MemoryStore
from proxy.cache.selections import RecentSelections, is_small, prepare, select, size_of
from proxy.cache.singleflight import SingleFlight
from proxy.core.cache.freshness import Freshness, decide
from proxy.core.cache.refusal import is_good
from proxy.core.document.changes import ChangedSymbols, changed_symbols, suspicion_of
from proxy.core.document.parsed import Document, parse_document
from proxy.core.document.snapshot import Snapshot, index
from proxy.core.messages import Entry
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import BadAnswer
from proxy.event_log import log

SELECTION = "selection:"
"""The prefix of the keys of selections in memory. No endpoint's name begins with it."""
NOT_INDEXED = "not-indexed"
"""Why a document was quarantined: it cannot be indexed, though the document before could."""


class EntrySource(Enum):
    """Where an entry came from. The value is the word in logs."""

    ORIGIN = "origin"
    """This process asked the origin: a document that lost many symbols is suspicious."""
    REDIS = "redis"
    """Another process has examined it: only accepted documents are stored in Redis."""


class LocalCacheObserver(Protocol):
    """Counts documents."""

    def adopted(self, changes: ChangedSymbols | None) -> None:
        """A new full document is in use. None: there was no document before it."""

    def quarantined(self, reason: str) -> None:
        """A full document is suspicious."""


class LoadedDocument(Struct, frozen=True):
    """The full document and its index, both from the same answer of the origin."""

    entry: Entry
    snapshot: Snapshot | None
    """None for a document that cannot be indexed: it answers only the query without parameters."""
    changes: ChangedSymbols | None = None
    """Since the document before. None: there was no index to compare with."""


class LocalCache:
    """L1. The full document is outside of the bounded memory, so other entries never evict it."""

    def __init__(
        self, memory: MemoryStore, *, document: CanonicalQuery, use_snapshot: bool, observer: LocalCacheObserver
    ) -> None:
        self.memory = memory
        """The origin's own answers, and the answers selected from the present document."""
        self.document_query = document
        """The query for the full document."""
        self.asked_at = float("-inf")
        """When a client last wanted the full document or a part of it, by the origin's clock."""
        self.loaded: LoadedDocument | None = None
        self.version = 0
        """Grows with every new entry. Whoever remembers an answer must then ask `holds` again."""
        self.documents = 0
        """Grows with every full document. Answers made from the document before are then outdated."""
        self._use_snapshot = use_snapshot
        self._observer = observer
        self._quarantined: LoadedDocument | None = None
        self._refusal: Entry | None = None
        """The origin's error answer to the query for the full document, until the next document."""
        self._recent = RecentSelections()
        self._adopting = asyncio.Lock()
        self._making = SingleFlight()

    def holds(self, key: str, entry: Entry) -> bool:
        """Whether a query with this key is answered from this entry now. Marks the entry as recently used."""
        if self.loaded is not None and self.loaded.entry is entry:
            return True
        return self.memory.get(SELECTION + key) is entry or self.memory.get(key) is entry

    def selects(self, query: CanonicalQuery) -> bool:
        """Whether the full document could answer this query."""
        return (
            self._use_snapshot and query.endpoint == self.document_query.endpoint and query.representation.sbe is None
        )

    def document(self) -> Entry | None:
        """The full document, of whatever age. Never an error answer."""
        if self._use_snapshot:
            return self.loaded.entry if self.loaded is not None else None
        entry = self.memory.get(self.document_query.key)
        return entry if is_good(entry) else None

    def get(self, query: UpstreamQuery) -> Entry | None:
        """The origin's own answer to this query."""
        if self._use_snapshot and query == self.document_query:
            return self._refusal or self.document()
        return self.memory.get(query.key)

    async def put(
        self,
        query: UpstreamQuery,
        entry: Entry,
        *,
        document: Document | None = None,
        source: EntrySource = EntrySource.ORIGIN,
        started: float | None = None,
    ) -> None:
        """Store an answer; the caller knows that it may replace the one that is held.

        Raises BadAnswer for a document with an invalid symbol, and for a suspicious full document, which goes into
        quarantine.

        `document` is its parsed body, if the caller has it. `started`, from `time.monotonic`, is when the work for
        it began; the log shows how long that took.
        """
        is_document = self._use_snapshot and query == self.document_query
        if is_document and is_good(entry):
            async with self._adopting:
                is_new = await self._adopt(entry, document, source)
            if is_new and self.loaded is not None:
                _log_adopted(self.loaded, source, started)
        elif is_document:
            self._refusal = entry
        else:
            self.memory.put(query.key, entry)
        self.version += 1

    async def select(self, query: CanonicalQuery) -> Entry | None:
        """The answer selected from the present document, with the document's age. Made once for each document.

        None: the document does not prove the answer.
        """
        while True:
            existing = self.memory.get(SELECTION + query.key)
            if existing is not None:
                self._recent.note(query)
                return existing
            loaded = self.loaded
            if loaded is None or loaded.snapshot is None:
                return None
            entry = await self._make(loaded, loaded.snapshot, query)
            if self.loaded is loaded:
                if entry is not None:
                    self._recent.note(query)
                    self._keep_selection(query.key, entry, loaded)
                return entry
            # A newer document arrived meanwhile; select again from it.

    async def _make(self, loaded: LoadedDocument, snapshot: Snapshot, query: CanonicalQuery) -> Entry | None:
        if is_small(query):
            return await select(loaded.entry, snapshot, query)
        flight = (id(loaded), query.key)
        entry, _ = await self._making.do(flight, lambda: select(loaded.entry, snapshot, query))
        return entry

    def _keep_selection(self, key: str, selection: Entry, loaded: LoadedDocument) -> None:
        self.memory.put(SELECTION + key, selection, size_bytes=size_of(selection, loaded.entry))

    async def _adopt(self, entry: Entry, document: Document | None, source: EntrySource) -> bool:
        """Take a document into use. Returns whether it differs from the one before."""
        old = self.loaded
        if old is not None and source is EntrySource.REDIS and old.entry.stored_at >= entry.stored_at:
            return False  # a newer document arrived while this one was read
        if old is not None and old.entry.etag == entry.etag:
            # One copy of the bytes: the index belongs to those of the old one.
            same = replace(entry, body=old.entry.body, gzip=old.entry.gzip)
            await self._use(LoadedDocument(same, old.snapshot, ChangedSymbols((), (), ())))
            return False
        new = LoadedDocument(entry, await _indexed(entry, document))
        if old is not None and old.snapshot is not None:
            if source is EntrySource.ORIGIN and decide(old.entry, entry.stored_at) is not Freshness.EXPIRED:
                self._examine(old, new)
            if new.snapshot is not None:
                new = LoadedDocument(entry, new.snapshot, changed_symbols(old.snapshot, new.snapshot))
        await self._use(new)
        self._observer.adopted(new.changes)
        return True

    async def _use(self, loaded: LoadedDocument) -> None:
        """Make the selections that were asked last, then replace the document and all selections at once."""
        prepared: Mapping[str, Entry] = {}
        if loaded.snapshot is not None:
            room_bytes = self.memory.max_bytes - self.memory.bytes
            prepared = await prepare(self._recent.queries(), loaded.entry, loaded.snapshot, max_bytes=room_bytes)
        self._quarantined = self._refusal = None
        self.loaded = loaded
        self.documents += 1
        self.memory.drop(SELECTION)
        for key, selection in reversed(list(prepared.items())):  # so that the one asked last is evicted last
            self._keep_selection(key, selection, loaded)

    def _examine(self, old: LoadedDocument, new: LoadedDocument) -> None:
        """Raise BadAnswer for a suspicious document, unless it confirms the one in quarantine."""
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
    """Why a newer document is suspicious; None if it is not, or if the older one has no index to compare with."""
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
    """Log the one line about each new document."""
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


async def _indexed(entry: Entry, document: Document | None) -> Snapshot | None:
    """Index a document in slices. None: it can only be served whole. Raises BadAnswer if it is not valid."""
    if document is None:
        document = parse_document(entry.body)
        await asyncio.sleep(0)
    try:
        return await in_slices(index(entry.body, version=entry.etag, document=document))
    except BadAnswer as error:
        log.warning("document_not_indexed", error=error.msg)
        return None
