"""An index of the symbols of a full document: where each one is, and the few fields that filters need.

Owns: the pass over the symbols, one slice at a time. Must not know: what is done between two slices, which query is
answered, what the rest of the document contains. Source: Binance's API documents.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Generator, Mapping, Sequence
from enum import IntFlag

import msgspec
from msgspec import Struct

from proxy.core.document.floor import SLICE_BYTES, SLICE_SYMBOLS, Name
from proxy.errors import BadAnswer

_KEY_OF_SETS = b'"permissionSets":'
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


class _Fields(msgspec.Struct):
    symbol: Name
    status: str
    permissions: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    permissionSets: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 - the origin's name


class _Sets(msgspec.Struct):
    permissionSets: msgspec.Raw  # noqa: N815 - the origin's name


def read_symbol_index(body: bytes, symbols: Sequence[msgspec.Raw]) -> Generator[None, None, SymbolIndex]:
    """Locate and read each symbol. Yields after each slice; returns the index. Raises BadAnswer.

    Nothing but a comma may separate the symbols, as the origin writes them: with other white space we could not know
    how the origin would write a filtered answer.
    """
    reader = _Reader()
    start, worked_bytes = _first(body, symbols), 0
    for count, raw in enumerate(symbols, 1):
        symbol = bytes(raw)
        end = start + len(symbol)
        if body[start : end + 1] != symbol + (b"," if count < len(symbols) else b"]"):
            raise BadAnswer("The origin's exchangeInfo is not compact JSON: its symbols cannot be located.")
        reader.read(symbol, start)
        start, worked_bytes = end + 1, worked_bytes + len(symbol)
        if worked_bytes >= SLICE_BYTES or count % SLICE_SYMBOLS == 0:
            worked_bytes = 0
            yield
    return reader.finish(end=start)


def _first(body: bytes, symbols: Sequence[msgspec.Raw]) -> int:
    """Where the first symbol seems to start. `template` checks this guess."""
    if not symbols:
        raise BadAnswer("The origin's exchangeInfo has no symbols.")
    return body.find(b"[" + bytes(symbols[0])) + 1


class _Reader:
    """The columns while they are built."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._set_starts = array("Q")
        self._set_ends = array("Q")
        self._permissions = bytearray()
        self._names: list[str] = []
        self._statuses: list[str] = []
        # Hundreds of symbols have the same list of permissions, so each list is decoded once.
        self._decoded: dict[bytes, Permissions] = {}

    def read(self, symbol: bytes, start: int) -> None:
        try:
            fields = msgspec.json.decode(symbol, type=_Fields)
        except msgspec.MsgspecError as error:
            raise BadAnswer(f"A symbol of the origin's exchangeInfo is not as expected: {error}") from error
        set_start, set_end = _span_of_sets(symbol, fields)
        self._starts.append(start)
        self._set_starts.append(start + set_start if set_end else 0)
        self._set_ends.append(start + set_end if set_end else 0)
        self._names.append(fields.symbol)
        self._statuses.append(sys.intern(fields.status))
        self._permissions.append(self._permissions_of(fields))

    def _permissions_of(self, fields: _Fields) -> Permissions:
        text = _text_of_sets(fields)
        permissions = self._decoded.get(text)
        if permissions is None:
            permissions = self._decoded[text] = _permissions(text)
        return permissions

    def finish(self, *, end: int) -> SymbolIndex:
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


def _text_of_sets(fields: _Fields) -> bytes:
    """The permission sets as JSON. Before 2024 the only set was in `permissions`."""
    if fields.permissionSets is not msgspec.UNSET:
        return bytes(fields.permissionSets)
    return b"" if fields.permissions is msgspec.UNSET else b"[" + bytes(fields.permissions) + b"]"


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


def _span_of_sets(symbol: bytes, fields: _Fields) -> tuple[int, int]:
    """Where the list in a symbol's `permissionSets` starts and ends; 0 and 0 if no list could be emptied."""
    if fields.permissionSets is msgspec.UNSET:
        return 0, 0
    value = bytes(fields.permissionSets)
    key = symbol.find(_KEY_OF_SETS + value)
    start = key + len(_KEY_OF_SETS)
    end = start + len(value)
    is_list = value.startswith(b"[") and key >= 0
    return (start, end) if is_list and _has_empty_sets(symbol[:start] + b"[]" + symbol[end:]) else (0, 0)


def _has_empty_sets(symbol: bytes) -> bool:
    """Whether `permissionSets` of the symbol is empty, and not that of a member deeper inside."""
    try:
        return bytes(msgspec.json.decode(symbol, type=_Sets).permissionSets) == b"[]"
    except msgspec.MsgspecError:
        return False
