"""An index of the symbols of a full document: where each one is, and the few fields that filters need.

Owns: the pass over the symbols, one slice at a time. Must not know: what is done between two slices, which query is
answered, what the rest of the document contains. Source: Binance's API documents.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Generator, Iterator, Mapping, Sequence
from enum import IntFlag

import msgspec
from msgspec import Struct

from proxy.core.document.floor import SLICE_BYTES, SLICE_SYMBOLS, ListedSymbol
from proxy.errors import BadAnswer

_KEY_OF_SETS = b'"permissionSets":'
_MOST_KEYS = 8
"""How many members with this name, also deeper inside, are tried in one symbol."""
_MAX_SETS_BYTES = 1 << 16
"""Of one symbol's permissions, which have a few thousand bytes. Longer lists are not read."""


class Permissions(IntFlag):
    """A symbol's permissions, as far as filters depend on them."""

    OTHER = 0
    """One set, without any of the three below."""
    SPOT = 1
    MARGIN = 2
    LEVERAGED = 4
    SEVERAL_SETS = 8
    UNKNOWN = 16
    """No permission information, or in an unexpected form."""


SHOWING: Mapping[str, Permissions] = {
    "SPOT": Permissions.SPOT,
    "MARGIN": Permissions.MARGIN,
    "LEVERAGED": Permissions.LEVERAGED,
}
"""The full document lists every symbol that has at least one of these permissions."""


class SymbolIndex(Struct, frozen=True, kw_only=True, eq=False):
    """Columns with one value for each symbol, by position. Offsets are bytes from the start of the body."""

    __repr__ = object.__repr__  # the fields are long

    starts: array[int]
    """Where symbols start, and one more offset. Each ends one byte (comma or bracket) before the next offset."""
    set_starts: array[int]
    """Where the list in `permissionSets` starts; 0 if there is no list that could be emptied."""
    set_ends: array[int]
    """Where it ends; 0 likewise."""
    permissions: bytes
    """The `Permissions` of each symbol, one byte each."""
    all_permissions: Permissions
    """The permissions of all symbols together."""
    statuses: tuple[str, ...]
    positions: Mapping[str, int]
    """Position by name. Has fewer items than there are symbols if a name is repeated."""


class _Sets(msgspec.Struct):
    permissionSets: msgspec.Raw  # noqa: N815 - the origin's name


_SETS = msgspec.json.Decoder(_Sets)
_SEVERAL_SETS = msgspec.json.Decoder(list[_Sets])
_STATUS = msgspec.json.Decoder(str)


def read_symbol_index(
    body: bytes, symbols: Sequence[msgspec.Raw], listed: Sequence[ListedSymbol]
) -> Generator[None, None, SymbolIndex]:
    """Locate and read each symbol. Yields after each slice; returns the index. Raises BadAnswer.

    `symbols` has the text of each, `listed` its members. Nothing but a comma may separate the symbols, as the origin
    writes them: with other white space we could not know how the origin would write a filtered answer.
    """
    reader, start = _Reader(body), _first(body, symbols)
    for first, last in _slices(symbols):
        text = b",".join(symbols[first:last])
        end = start + len(text)
        if not body.startswith(text, start) or body[end : end + 1] != (b"," if last < len(symbols) else b"]"):
            raise BadAnswer("The origin's exchangeInfo is not compact JSON: its symbols cannot be located.")
        reader.read(symbols[first:last], listed[first:last], start)
        start = end + 1
        yield
    return reader.finish(end=start)


def _first(body: bytes, symbols: Sequence[msgspec.Raw]) -> int:
    """Where the first symbol seems to start. `template` checks this guess."""
    if not symbols:
        raise BadAnswer("The origin's exchangeInfo has no symbols.")
    return body.find(b"[" + bytes(symbols[0])) + 1


def _slices(symbols: Sequence[msgspec.Raw]) -> Iterator[tuple[int, int]]:
    """The symbols of each slice of work: from one position to another."""
    first, size_bytes = 0, 0
    for place, raw in enumerate(symbols):
        size_bytes += memoryview(raw).nbytes
        if size_bytes >= SLICE_BYTES or place - first + 1 >= SLICE_SYMBOLS:
            yield first, place + 1
            first, size_bytes = place + 1, 0
    if first < len(symbols):
        yield first, len(symbols)


class _Reader:
    """The columns while they are built."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._starts = array("Q")
        self._set_starts = array("Q")
        self._set_ends = array("Q")
        self._permissions = bytearray()
        self._names: list[str] = []
        self._statuses: list[str] = []
        # Thousands of symbols have one of a few statuses, and hundreds the same list of permissions: each is decoded
        # once. Neighbours often have the same list, and comparing is cheaper than looking one up.
        self._known_statuses: dict[bytes, str] = {}
        self._decoded: dict[bytes, Permissions] = {}
        self._last: tuple[bytes | None, Permissions] = None, Permissions.OTHER

    def read(self, symbols: Sequence[msgspec.Raw], listed: Sequence[ListedSymbol], start: int) -> None:
        """One slice, which starts there."""
        spans, emptied = [], []
        for raw, symbol in zip(symbols, listed, strict=True):
            end = start + memoryview(raw).nbytes
            span = _span_of_sets(self._body, start, end, symbol)
            if span is not None:
                emptied.append(self._body[start : span[0]] + b"[]" + self._body[span[1] : end])
            spans.append(span)
            self._starts.append(start)
            self._names.append(symbol.symbol)
            self._statuses.append(self._status_of(symbol))
            self._permissions.append(self._permissions_of(symbol))
            start = end + 1
        are_empty = iter(_are_empty(emptied))
        for span in spans:
            set_start, set_end = span if span is not None and next(are_empty) else (0, 0)
            self._set_starts.append(set_start)
            self._set_ends.append(set_end)

    def _status_of(self, symbol: ListedSymbol) -> str:
        text = b"" if symbol.status is msgspec.UNSET else bytes(symbol.status)
        status = self._known_statuses.get(text)
        if status is None:
            try:
                status = self._known_statuses[text] = sys.intern(_STATUS.decode(text))
            except msgspec.MsgspecError as error:
                raise BadAnswer(f"A symbol of the origin's exchangeInfo is not as expected: {error}") from error
        return status

    def _permissions_of(self, symbol: ListedSymbol) -> Permissions:
        text = _text_of_sets(symbol)
        if text != self._last[0]:
            permissions = self._decoded.get(text)
            if permissions is None:
                permissions = self._decoded[text] = _permissions(text)
            self._last = text, permissions
        return self._last[1]

    def finish(self, *, end: int) -> SymbolIndex:
        """The index, once all is read. `end`: one byte behind the last symbol and its bracket."""
        self._starts.append(end)
        all_permissions = Permissions.OTHER
        for permissions in self._decoded.values():
            all_permissions |= permissions
        return SymbolIndex(
            starts=self._starts,
            set_starts=self._set_starts,
            set_ends=self._set_ends,
            permissions=bytes(self._permissions),
            all_permissions=all_permissions,
            statuses=tuple(self._statuses),
            positions={name: position for position, name in enumerate(self._names)},
        )


def _text_of_sets(symbol: ListedSymbol) -> bytes:
    """The permission sets as JSON. Before 2024 the only set was in `permissions`."""
    if symbol.permissionSets is not msgspec.UNSET:
        return bytes(symbol.permissionSets)
    return b"" if symbol.permissions is msgspec.UNSET else b"[" + bytes(symbol.permissions) + b"]"


def _permissions(text: bytes) -> Permissions:
    if len(text) > _MAX_SETS_BYTES:
        return Permissions.UNKNOWN
    try:
        sets = msgspec.json.decode(text, type=list[list[str]])
    except msgspec.MsgspecError:
        return Permissions.UNKNOWN
    if len(sets) > 1:
        return Permissions.SEVERAL_SETS
    if not sets or not sets[0]:
        return Permissions.UNKNOWN
    found = Permissions.OTHER
    for name, permission in SHOWING.items():
        found |= permission if name in sets[0] else Permissions.OTHER
    return found


def _span_of_sets(body: bytes, start: int, end: int, symbol: ListedSymbol) -> tuple[int, int] | None:
    """Where the list in the symbol's `permissionSets` seems to start and end. None: it has no list."""
    if symbol.permissionSets is msgspec.UNSET:
        return None
    value = bytes(symbol.permissionSets)
    if not value.startswith(b"["):
        return None
    first = start
    for _ in range(_MOST_KEYS):  # to search for key and value together would take several times longer
        first = body.find(_KEY_OF_SETS, first, end) + len(_KEY_OF_SETS)
        if first < len(_KEY_OF_SETS):
            return None
        if body.startswith(value, first, end):
            return first, first + len(value)
    return None


def _are_empty(symbols: Sequence[bytes]) -> Sequence[bool]:
    """Of each symbol, whether its own `permissionSets` is empty, and not that of a member deeper inside."""
    try:
        together = _SEVERAL_SETS.decode(b"[" + b",".join(symbols) + b"]")
    except msgspec.MsgspecError:
        return [_is_empty(symbol) for symbol in symbols]
    return [bytes(each.permissionSets) == b"[]" for each in together]


def _is_empty(symbol: bytes) -> bool:
    try:
        return bytes(_SETS.decode(symbol).permissionSets) == b"[]"
    except msgspec.MsgspecError:
        return False
