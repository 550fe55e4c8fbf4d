"""The age of each full document that is stored in this process, as `/status` shows it.

Owns: which entries are documents. Must not know: how they are filled or used.
"""

from __future__ import annotations

from typing import Any

from proxy.cache.local import LocalCache
from proxy.core.cache.refusal import is_good
from proxy.core.endpoints.catalogue import TABLES
from proxy.core.endpoints.endpoint import CachePolicy
from proxy.core.messages import Entry
from proxy.core.query.canonical import CanonicalQuery

_NAMES = {
    CanonicalQuery(endpoint=line).key: line.name
    for table in TABLES.values()
    for line in table
    if line.policy is CachePolicy.CACHED
}
"""The key of the query without filters of each endpoint whose answers are kept, in the order of the tables."""


def documents(local: LocalCache, now: float) -> list[dict[str, Any]]:
    """The documents, spot's first. `now`: the origin's clock. Marks none as used."""
    stored = dict(local.memory.items())
    if local.loaded is not None:
        stored[local.document_query.key] = local.loaded.entry
    return [_shown(name, stored[key], now) for key, name in _NAMES.items() if is_good(stored.get(key))]


def _shown(name: str, entry: Entry, now: float) -> dict[str, Any]:
    return {
        "endpoint": name,
        "age_seconds": round(entry.age(now), 3),
        "fresh_seconds": entry.lifetimes.fresh_seconds,
        "bytes": len(entry.body),
    }
