"""The snapshot: every filtered exchangeInfo answer that one full document proves, byte for byte.

Owns: the choice of symbols for a query, the composition of an answer, what cannot be proven and why, and the
comparison of two snapshots. Must not know: how a document is fetched, compressed or kept, or how old it is.
Source: Binance's API documents.

What the full document proves, and what it does not:

- It shows every symbol that has SPOT, MARGIN or LEVERAGED. So a filter by these is provable; any other
  permission may bring up symbols that the full document hides, and a symbol it lacks may exist all the same.
- A filtered answer carries timezone, serverTime, rateLimits and exchangeFilters as they are. Whether another
  member with content (`sors`) is filtered with the symbols is not known.
- One permission set is a list of alternatives. How a filter reads several sets together was never seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from proxy.core.document.parsed import Document, DocumentTemplate, parse_document, template
from proxy.core.document.symbol_index import SHOWING, SLICE_BYTES, Permissions, SymbolIndex, read_symbol_index
from proxy.core.query.canonical import CanonicalQuery

_FILTERED_STATUSES = frozenset({"TRADING", "HALT", "BREAK"})
"""The statuses that the filter is documented for."""


class Unanswerable(Enum):
    """Why a snapshot cannot prove an answer. The value is the word in logs and metrics."""

    ENDPOINT = "endpoint"
    """Another endpoint than exchangeInfo."""
    SBE = "sbe"
    """A binary answer, or one that the origin alone can tell the form of."""
    BYPASS = "bypass"
    """A query that only the origin can read."""
    COMBINATION = "combination"
    """Filters that do not go together, or an empty one: the origin's answer is an error."""
    UNKNOWN_MEMBER = "unknown-member"
    """The document has a member whose content may be filtered too."""
    UNKNOWN_SYMBOL = "unknown-symbol"
    """A symbol that the document lacks: hidden, new or invalid."""
    REPEATED_SYMBOL = "repeated-symbol"
    """The document has a symbol's name twice."""
    UNKNOWN_STATUS = "unknown-status"
    """A status that the filter is not documented for."""
    HIDDEN_PERMISSION = "hidden-permission"
    """A permission that may bring up symbols hidden from the full document."""
    SEVERAL_SETS = "several-permission-sets"
    """Some symbol has more than one permission set."""
    NO_PERMISSIONS = "no-permissions"
    """Some symbol has no permission information."""
    NO_PERMISSION_SETS = "no-permission-sets"
    """A selected symbol has no `permissionSets` to leave empty."""


@dataclass(frozen=True, slots=True)
class CannotAnswer:
    """The snapshot does not prove this answer; the origin may well give one."""

    reason: Unanswerable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Snapshot:
    """An index over one copy of a full document's bytes; made by `index`."""

    body: bytes
    version: str
    """Names the body."""
    server_time_ms: int
    rate_limits: tuple[Mapping[str, Any], ...]
    template: DocumentTemplate
    symbol_index: SymbolIndex

    @property
    def symbols_count(self) -> int:
        """How many symbols the document has."""
        return len(self.symbol_index.statuses)

    @property
    def statuses(self) -> Mapping[str, str]:
        """Status by symbol, in listing order; made anew at each call."""
        symbol_index = self.symbol_index
        return {name: symbol_index.statuses[position] for name, position in symbol_index.positions.items()}

    def select(self, query: CanonicalQuery) -> bytes | CannotAnswer:
        """The origin's answer to a query, from this document; the bare one is `body` itself."""
        reason = self._obstacle(query)
        if reason is not None:
            return CannotAnswer(reason)
        if _is_bare(query):
            return self.body
        positions = self._positions(query)
        if not query.show_permission_sets and not all(self.symbol_index.set_ends[place] for place in positions):
            return CannotAnswer(Unanswerable.NO_PERMISSION_SETS)
        return self._compose(positions, query)

    def _obstacle(self, query: CanonicalQuery) -> Unanswerable | None:
        """What stands in the way of this query, or None."""
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
            self._symbols_obstacle(query.symbols or ())
            or self._permissions_obstacle(query.permissions or ())
            or _unanswerable_status(query.symbol_status)
        )

    def _symbols_obstacle(self, names: Sequence[str]) -> Unanswerable | None:
        if names and len(self.symbol_index.positions) < self.symbols_count:
            return Unanswerable.REPEATED_SYMBOL
        is_known = all(name in self.symbol_index.positions for name in names)
        return None if is_known else Unanswerable.UNKNOWN_SYMBOL

    def _permissions_obstacle(self, names: Sequence[str]) -> Unanswerable | None:
        if not names:
            return None
        if any(name not in SHOWING for name in names):
            return Unanswerable.HIDDEN_PERMISSION
        if Permissions.SEVERAL_SETS in self.symbol_index.all_permissions:
            return Unanswerable.SEVERAL_SETS
        return Unanswerable.NO_PERMISSIONS if Permissions.UNKNOWN in self.symbol_index.all_permissions else None

    def _positions(self, query: CanonicalQuery) -> Sequence[int]:
        """Where the selected symbols stand, in listing order."""
        symbol_index = self.symbol_index
        if query.symbols is not None:
            return sorted({symbol_index.positions[name] for name in query.symbols})
        positions: Sequence[int] = range(self.symbols_count)
        if query.permissions is not None:
            wanted = sum(SHOWING[name] for name in set(query.permissions))
            positions = [place for place in positions if symbol_index.permissions[place] & wanted]
        if query.symbol_status is not None:
            positions = [place for place in positions if symbol_index.statuses[place] == query.symbol_status]
        return positions

    def _compose(self, positions: Sequence[int], query: CanonicalQuery) -> bytes:
        """Put the selected symbols into the frame; nothing is copied but into the answer."""
        template, in_microseconds = self.template, query.representation.microseconds
        pieces: list[bytes | memoryview] = [template.microseconds_head if in_microseconds else template.head]
        slices = self._with_sets if query.show_permission_sets else self._without_sets
        for piece in slices(positions):
            pieces += (piece, b",")
        if positions:
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
    """Index a full document in milliseconds, pausing after each slice of work; the snapshot is the return value.

    `version` names the body; None: a hash of it, computed on the way. `document` is what `prove` gave for this
    very body; None: the first slice proves it anew. Raises BadAnswer if the body is no good exchangeInfo, has no
    symbols, or cannot be cut with certainty.
    """
    if document is None:
        document = parse_document(body)
        yield
    symbol_index = yield from read_symbol_index(body, document.symbols)
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
