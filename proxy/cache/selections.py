"""Answers selected from a full document, as entries.

Owns: making one, and making those that were asked last before a new document is used, so that no client waits for
them. Must not know: which document is in use, where selections are kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from proxy.bodies import compress, entity_tag
from proxy.core.document.parsed import server_time_of
from proxy.core.document.snapshot import CannotAnswer, Snapshot
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


def is_small(query: CanonicalQuery) -> bool:
    """Whether its selection takes well under a millisecond to make."""
    return query.symbols is not None and len(query.symbols) <= FEW_SYMBOLS


def size_of(selection: Entry, whole: Entry) -> int:
    """The bytes that a selection adds. One of all symbols is the document itself, whose bytes are counted elsewhere."""
    return _REFERENCE_BYTES if selection is whole else selection.size_bytes


async def select(whole: Entry, snapshot: Snapshot, query: CanonicalQuery) -> Entry | None:
    """The answer as an entry; None if the snapshot cannot answer. Large bodies are compressed in a thread."""
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
        body = snapshot.select(query) if is_small(query) else await asyncio.to_thread(snapshot.select, query)
        if isinstance(body, CannotAnswer) or (len(body) > max_bytes and len(body) != len(whole.body)):
            continue
        entry = await _entry(whole, body)
        size_bytes = size_of(entry, whole)
        if size_bytes <= max_bytes:
            prepared[query.key] = entry
            max_bytes -= size_bytes
        await asyncio.sleep(0)
    return prepared


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
