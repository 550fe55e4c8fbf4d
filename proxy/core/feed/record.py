"""One change as readers of the feed get it.

Owns: the JSON of a change, and the bytes of an event (HTML standard, section 9.2). Must not know: who reads it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson
from msgspec import Struct

from proxy.core.document.changes import Change, ChangeKind
from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.position import FEED_APIS, Mark, Position, encode

RESET = "reset"
"""The event that stands for changes which cannot be told: the reader must load the documents anew."""
KINDS = frozenset(kind.value for kind in ChangeKind)


class StoredChange(Struct, frozen=True):
    """A change as it is stored."""

    event: str
    """The value of a ChangeKind."""
    data: bytes
    """JSON."""


class Record(Struct, frozen=True, eq=False):
    """A change, or a reset, in the log of one process."""

    __repr__ = object.__repr__  # the fields are long

    event: str
    apis: tuple[Api, ...]
    """One; a reset may be about several."""
    symbols: tuple[str, ...]
    time_ms: int
    data: bytes
    marks: tuple[Mark, ...]
    """Where a reader is in each of `apis` that has this record."""

    @property
    def is_reset(self) -> bool:
        """Whether it stands for changes that cannot be told."""
        return self.event == RESET

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return len(self.data) + 8 * len(self.symbols) + 256


def stored(changes: Iterable[Change], *, api: Api, time_ms: int) -> tuple[StoredChange, ...]:
    """The changes of a new document, which was stored at this time by the origin's clock."""
    # orjson writes no integer beyond 64 bits, and the origin may name one.
    return tuple(
        StoredChange(change.kind.value, msgspec.json.encode(_data(change, api, time_ms))) for change in changes
    )


def _data(change: Change, api: Api, time_ms: int) -> dict[str, Any]:
    symbol = change.symbols[0] if len(change.symbols) == 1 else None
    several = {"symbols": change.symbols} if change.kind is ChangeKind.PERMISSIONS else {}
    return {"symbol": symbol, **several, "old": change.old, "new": change.new, "api": api.value, "time": time_ms}


def record_of(change: StoredChange, mark: Mark) -> Record:
    """Read a stored change. Raises ValueError if it is none of ours."""
    data = orjson.loads(change.data)
    if change.event not in KINDS or not isinstance(data, dict):
        raise ValueError("not a change")
    api = next((api for api in FEED_APIS if api.value == data.get("api")), None)
    time_ms, names = data.get("time"), _names(data)
    if api is None or not isinstance(time_ms, int):
        raise ValueError("not a change")
    return Record(change.event, (api,), names, time_ms, change.data, (mark,))


def _names(data: Mapping[str, Any]) -> tuple[str, ...]:
    names = data.get("symbols") or [data.get("symbol")]
    return tuple(sys.intern(name) for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def reset(lost: Mapping[Api, Mark], *, time_ms: int) -> Record:
    """The record that stands for lost changes of these APIs, and where a reader is in each of them then."""
    data = orjson.dumps({"apis": [api.value for api in lost], "time": time_ms})
    return Record(RESET, tuple(lost), (), time_ms, data, tuple(lost.values()))


def event_bytes(event: str, data: bytes, position: Position) -> bytes:
    """An event on the wire."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (encode(position).encode(), event.encode(), data)


def id_bytes(position: Position) -> bytes:
    """An id without an event: the client remembers it and tells nobody."""
    return b"id: %s\n\n" % encode(position).encode()
