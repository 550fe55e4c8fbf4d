"""The snapshot: one full document, and the filtered exchangeInfo answers that it determines byte for byte.

Owns: which symbols a query selects, how an answer is composed, and which queries cannot be answered. Must not know:
how a document is fetched, compressed or stored, how old it is. Source: Binance's API documents.

What the full document determines:

- It lists every symbol that has SPOT, MARGIN or LEVERAGED. So a filter by these can be answered. Any other permission
  may select symbols that the full document hides, and a symbol that it lacks may exist.
- A filtered answer contains timezone, serverTime, rateLimits and exchangeFilters unchanged. It is not known whether
  the origin filters other members with content (such as `sors`).
- A permission set is a list of alternatives. It is not known how the origin filters symbols with several sets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from msgspec import Struct

from proxy.core.document.floor import SLICE_BYTES
from proxy.core.document.parsed import Document, DocumentTemplate, parse_document, template
from proxy.core.document.symbol_index import SHOWING, Permissions, SymbolIndex, read_symbol_index
from proxy.core.query.canonical import CanonicalQuery

_FILTERED_STATUSES = frozenset({"TRADING", "HALT", "BREAK"})
"""The statuses that Binance documents for the filter."""


class Unanswerable(Enum):
    """Why a snapshot cannot answer a query. The value is the word in logs and metrics."""

    ENDPOINT = "endpoint"
    """The endpoint is not exchangeInfo."""
    SBE = "sbe"
    """The answer is binary (SBE), or only the origin knows its format."""
    BYPASS = "bypass"
    """Only the origin can interpret the query."""
    COMBINATION = "combination"
    """The filters exclude each other or one is empty: the origin answers with an error."""
    UNKNOWN_MEMBER = "unknown-member"
    """The document has a member that the origin may filter too."""
    UNKNOWN_SYMBOL = "unknown-symbol"
    """The document lacks the symbol: it is hidden, new or invalid."""
    REPEATED_SYMBOL = "repeated-symbol"
    """The document has a symbol twice."""
    UNKNOWN_STATUS = "unknown-status"
    """Binance does not document this status for the filter."""
    HIDDEN_PERMISSION = "hidden-permission"
    """The permission may select symbols that the full document hides."""
    SEVERAL_SETS = "several-permission-sets"
    """A symbol has more than one permission set."""
    NO_PERMISSIONS = "no-permissions"
    """A symbol has no permission information."""
    NO_PERMISSION_SETS = "no-permission-sets"
    """A selected symbol has no `permissionSets` that could be emptied."""


class CannotAnswer(Struct, frozen=True):
    """The snapshot cannot answer the query; the origin may."""

    reason: Unanswerable


class Part(Struct, frozen=True):
    """The symbols of an answer, and how they are written."""

    positions: tuple[int, ...] | range
    """Ascending."""
    show_sets: bool = True
    in_microseconds: bool = False


class Snapshot(Struct, frozen=True, kw_only=True, eq=False):
    """A full document's bytes and an index over them. Made by `index`."""

    __repr__ = object.__repr__  # the fields are long

    body: bytes
    version: str
    """Identifies the body."""
    server_time_ms: int
    rate_limits: tuple[Mapping[str, Any], ...]
    template: DocumentTemplate
    symbol_index: SymbolIndex

    @property
    def symbols_count(self) -> int:
        """The number of symbols in the document."""
        return len(self.symbol_index.statuses)

    @property
    def statuses(self) -> Mapping[str, str]:
        """Status by symbol, in the order of the document. Built at each call."""
        symbol_index = self.symbol_index
        return {name: symbol_index.statuses[position] for name, position in symbol_index.positions.items()}

    def select(self, query: CanonicalQuery) -> bytes | CannotAnswer:
        """The origin's answer to a query, from this document. For a query without filters it is `body` itself."""
        part = self.locate(query)
        if isinstance(part, CannotAnswer):
            return part
        return self.body if _is_bare(query) else self.compose(part)

    def locate(self, query: CanonicalQuery) -> Part | CannotAnswer:
        """The part of the document that answers a query."""
        reason = self._unanswerable(query)
        if reason is not None:
            return CannotAnswer(reason)
        positions = self._positions(query)
        if not query.show_permission_sets and not all(self.symbol_index.set_ends[place] for place in positions):
            return CannotAnswer(Unanswerable.NO_PERMISSION_SETS)
        return Part(positions, query.show_permission_sets, query.representation.microseconds)

    def _unanswerable(self, query: CanonicalQuery) -> Unanswerable | None:
        """Why this query cannot be answered; None: it can."""
        if query.endpoint.name != "exchangeInfo":
            return Unanswerable.ENDPOINT
        if query.representation.sbe is not None or query.representation.bad_sbe is not None:
            return Unanswerable.SBE
        if query.bypass_hash is not None:
            return Unanswerable.BYPASS
        if not _is_legal(query):
            return Unanswerable.COMBINATION
        if _narrows(query) and self.template.depends_on_symbols:
            return Unanswerable.UNKNOWN_MEMBER
        return (
            self._unanswerable_symbols(query.symbols or ())
            or self._unanswerable_permissions(query.permissions or ())
            or _unanswerable_status(query.symbol_status)
        )

    def _unanswerable_symbols(self, names: Sequence[str]) -> Unanswerable | None:
        if names and len(self.symbol_index.positions) < self.symbols_count:
            return Unanswerable.REPEATED_SYMBOL
        has_all = all(name in self.symbol_index.positions for name in names)
        return None if has_all else Unanswerable.UNKNOWN_SYMBOL

    def _unanswerable_permissions(self, names: Sequence[str]) -> Unanswerable | None:
        if not names:
            return None
        if any(name not in SHOWING for name in names):
            return Unanswerable.HIDDEN_PERMISSION
        if Permissions.SEVERAL_SETS in self.symbol_index.all_permissions:
            return Unanswerable.SEVERAL_SETS
        return Unanswerable.NO_PERMISSIONS if Permissions.UNKNOWN in self.symbol_index.all_permissions else None

    def _positions(self, query: CanonicalQuery) -> tuple[int, ...] | range:
        """The positions of the selected symbols, ascending."""
        symbol_index = self.symbol_index
        if query.symbols is not None:
            return tuple(sorted({symbol_index.positions[name] for name in query.symbols}))
        positions: tuple[int, ...] | range = range(self.symbols_count)
        if query.permissions is not None:
            wanted = sum(SHOWING[name] for name in set(query.permissions))
            positions = tuple(place for place in positions if symbol_index.permissions[place] & wanted)
        if query.symbol_status is not None:
            positions = tuple(place for place in positions if symbol_index.statuses[place] == query.symbol_status)
        return positions

    def compose(self, part: Part) -> bytes:
        """Put the symbols of a part into the template. Bytes are copied only once, into the answer."""
        template, in_microseconds = self.template, part.in_microseconds
        pieces: list[bytes | memoryview] = [template.microseconds_head if in_microseconds else template.head]
        slices = self._with_sets if part.show_sets else self._without_sets
        for piece in slices(part.positions):
            pieces += (piece, b",")
        if part.positions:
            del pieces[-1]
        pieces.append(template.microseconds_tail if in_microseconds else template.tail)
        return b"".join(pieces)

    def _with_sets(self, positions: Sequence[int]) -> Iterator[bytes | memoryview]:
        view, starts = memoryview(self.body), self.symbol_index.starts
        for place in positions:
            yield view[starts[place] : starts[place + 1] - 1]

    def _without_sets(self, positions: Sequence[int]) -> Iterator[bytes | memoryview]:
        body, symbol_index = self.body, self.symbol_index
        starts, set_starts, set_ends = symbol_index.starts, symbol_index.set_starts, symbol_index.set_ends
        for place in positions:
            before = body[starts[place] : set_starts[place]]
            yield before + b"[]" + body[set_ends[place] : starts[place + 1] - 1]


def index(
    body: bytes, *, version: str | None = None, document: Document | None = None
) -> Generator[None, None, Snapshot]:
    """Index a full document with serverTime in milliseconds. Yields after each slice of work; returns the snapshot.

    `version` identifies the body; None: a hash of the body. `document` is what `parse_document` returned for this
    body; None: the first slice parses it. Raises BadAnswer if the body is not valid, has no symbols, or its symbols
    cannot be located with certainty.
    """
    if document is None:
        document = parse_document(body)
        yield
    symbols = document.symbols()
    yield
    symbol_index = yield from read_symbol_index(body, symbols, document.listed)
    whole = template(body[: symbol_index.starts[0]], body[symbol_index.starts[-1] - 1 :])
    if version is None:
        version = yield from _hash(body)
    return Snapshot(
        body=body,
        version=version,
        server_time_ms=document.server_time_ms,
        rate_limits=document.rate_limits,
        template=whole,
        symbol_index=symbol_index,
    )


def _hash(body: bytes) -> Generator[None, None, str]:
    digest, view = hashlib.blake2b(digest_size=8), memoryview(body)
    for start in range(0, len(body), SLICE_BYTES):
        digest.update(view[start : start + SLICE_BYTES])
        yield
    return digest.hexdigest()


def _narrows(query: CanonicalQuery) -> bool:
    return not (query.symbols is None and query.permissions is None and query.symbol_status is None)


def _is_bare(query: CanonicalQuery) -> bool:
    return query.show_permission_sets and not query.representation.microseconds and not _narrows(query)


def _is_legal(query: CanonicalQuery) -> bool:
    if query.symbols is None:
        return query.permissions is None or len(query.permissions) > 0
    return len(query.symbols) > 0 and query.permissions is None and query.symbol_status is None


def _unanswerable_status(status: str | None) -> Unanswerable | None:
    return None if status is None or status in _FILTERED_STATUSES else Unanswerable.UNKNOWN_STATUS
