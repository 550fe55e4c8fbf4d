"""Answers selected from a full document, as entries.

Owns: making one, and making those that were asked last before a new document is used, so that no client waits for
them. Must not know: which document is in use, where selections are kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from proxy.bodies import compress, entity_tag, pack
from proxy.core.document.parsed import server_time_of
from proxy.core.document.snapshot import CannotAnswer, Part, Snapshot
from proxy.core.messages import Entry
from proxy.core.query.canonical import CanonicalQuery

FEW_SYMBOLS = 8
"""A selection of at most this many symbols is made at once: it is too small for a task and a thread."""
MAX_RECENT = 100
"""How many selections are made before a new document is used."""
PREPARE_SECONDS = 2.0
"""How long a new document may wait for its selections. The clients that ask for the others wait themselves."""
_REFERENCE_BYTES = 1024
"""The size of an entry whose bytes are counted elsewhere."""


class RecentSelections:
    """The queries whose selections were asked last."""

    def __init__(self, max_queries: int = MAX_RECENT) -> None:
        self._max_queries = max_queries
        self._queries: OrderedDict[str, CanonicalQuery] = OrderedDict()

    def note(self, query: CanonicalQuery) -> None:
        """A client asked for this selection."""
        self._queries[query.key] = query
        self._queries.move_to_end(query.key)
        if len(self._queries) > self._max_queries:
            self._queries.popitem(last=False)

    def queries(self) -> tuple[CanonicalQuery, ...]:
        """The queries, the one asked last first."""
        return tuple(reversed(self._queries.values()))


class SmallSelection(Entry):
    """An answer of few symbols, which are in the document already: its bytes are made when they are asked for.

    Only its gzip variant is kept, from the first time on that a client asks for it: that takes longer to make.
    """

    __slots__ = ("_body_bytes", "_packed", "_part", "_snapshot")
    _body_bytes: int
    _packed: bytes | None
    """None until it is made; empty where compression saves nothing."""
    _part: Part
    _snapshot: Snapshot

    def __init__(self, whole: Entry, snapshot: Snapshot, part: Part, body: bytes, etag: str) -> None:
        for name in ("status", "content_type", "stored_at", "lifetimes", "arrived_age_seconds", "sbe_deprecated"):
            object.__setattr__(self, name, getattr(whole, name))
        for name, value in (("etag", etag), ("_snapshot", snapshot), ("_part", part), ("_packed", None)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_body_bytes", len(body))

    @property
    def body(self) -> bytes:
        """Identity coding."""
        return self._snapshot.compose(self._part)

    @property
    def gzip(self) -> bytes | None:
        """The compressed variant."""
        if self._packed is None:
            object.__setattr__(self, "_packed", pack(self.body) or b"")
        return self._packed or None

    @property
    def size_bytes(self) -> int:
        """The most memory that it will take, in bytes: the gzip variant is smaller than the body."""
        return self._body_bytes + _REFERENCE_BYTES


def is_small(query: CanonicalQuery) -> bool:
    """Whether its selection takes well under a millisecond to make."""
    return query.symbols is not None and len(query.symbols) <= FEW_SYMBOLS


def size_of(selection: Entry, whole: Entry) -> int:
    """The bytes that a selection adds. One of all symbols is the document itself, whose bytes are counted elsewhere."""
    return _REFERENCE_BYTES if selection is whole else selection.size_bytes


async def select(whole: Entry, snapshot: Snapshot, query: CanonicalQuery) -> Entry | None:
    """The answer as an entry; None if the snapshot cannot answer. Large bodies are compressed in a thread."""
    if is_small(query):
        return await _small(whole, snapshot, query)
    body = snapshot.select(query)
    return None if isinstance(body, CannotAnswer) else await _entry(whole, body)


async def prepare(
    queries: Iterable[CanonicalQuery], whole: Entry, snapshot: Snapshot, *, max_bytes: int
) -> Mapping[str, Entry]:
    """The selections for these queries by cache key. Leaves out what does not fit into `max_bytes` or into the time."""
    prepared: dict[str, Entry] = {}
    ends = time.monotonic() + PREPARE_SECONDS
    for query in queries:
        if time.monotonic() >= ends:
            break
        entry = await _prepared(query, whole, snapshot, max_bytes)
        size_bytes = size_of(entry, whole) if entry is not None else 0
        if entry is not None and size_bytes <= max_bytes:
            prepared[query.key] = entry
            max_bytes -= size_bytes
        await asyncio.sleep(0)
    return prepared


async def _prepared(query: CanonicalQuery, whole: Entry, snapshot: Snapshot, max_bytes: int) -> Entry | None:
    if is_small(query):
        return await _small(whole, snapshot, query)
    body = await asyncio.to_thread(snapshot.select, query)
    if isinstance(body, CannotAnswer) or (len(body) > max_bytes and len(body) != len(whole.body)):
        return None
    return await _entry(whole, body)


async def _small(whole: Entry, snapshot: Snapshot, query: CanonicalQuery) -> Entry | None:
    part = snapshot.locate(query)
    if isinstance(part, CannotAnswer):
        return None
    body = snapshot.compose(part)
    if len(body) == len(whole.body) and body == whole.body:
        return whole
    etag = await entity_tag(body, apart=server_time_of(body))
    return SmallSelection(whole, snapshot, part, body, etag)


async def _entry(whole: Entry, body: bytes) -> Entry:
    if len(body) == len(whole.body) and body == whole.body:
        return whole  # usually `permissions=SPOT`: needs no second copy and no compression
    return Entry(
        status=whole.status,
        content_type=whole.content_type,
        body=body,
        gzip=await compress(body),
        etag=await entity_tag(body, apart=server_time_of(body)),
        stored_at=whole.stored_at,
        lifetimes=whole.lifetimes,
        arrived_age_seconds=whole.arrived_age_seconds,
    )
