"""What is known of each symbol of a full document: where it lies, and the few fields that filters need.

Owns: the pass over the symbols, a slice at a time. Must not know: what is done between two slices, which query is
answered, or what the rest of the document says. Source: Binance's API documents.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag

import msgspec

from proxy.errors import BadAnswer

SLICE_BYTES = 256 * 1024
"""What is worked on at a time: well under a millisecond."""
_SLICE_SYMBOLS = 128
_KEY_OF_SETS = b'"permissionSets":'


class Permissions(IntFlag):
    """What a symbol's permissions say, as far as a provable answer depends on it."""

    OTHER = 0
    """One set, with none of the three."""
    SPOT = 1
    MARGIN = 2
    LEVERAGED = 4
    SEVERAL_SETS = 8
    UNKNOWN = 16
    """No permission information, or in a shape never seen."""


SHOWING: Mapping[str, Permissions] = {
    "SPOT": Permissions.SPOT,
    "MARGIN": Permissions.MARGIN,
    "LEVERAGED": Permissions.LEVERAGED,
}
"""The permissions for any of which the full document shows a symbol."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SymbolIndex:
    """A value a symbol, by its position in listing order. Offsets are bytes from the body's start."""

    starts: array[int]
    """Where each begins, and one offset more: each ends one byte, a comma or the bracket, before the next."""
    set_starts: array[int]
    """Where the list in `permissionSets` begins and ends; both 0 where there is none to leave empty."""
    set_ends: array[int]
    permissions: bytes
    """`Permissions`."""
    all_permissions: Permissions
    """Of all symbols together."""
    statuses: tuple[str, ...]
    positions: Mapping[str, int]
    """Position by name; shorter than the others if a name is repeated."""


class _Fields(msgspec.Struct):
    symbol: str
    status: str
    permissions: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    permissionSets: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 - the origin's name


class _Sets(msgspec.Struct):
    permissionSets: msgspec.Raw  # noqa: N815 - the origin's name


def read_symbol_index(body: bytes, symbols: Sequence[msgspec.Raw]) -> Generator[None, None, SymbolIndex]:
    """Find and read each symbol, pausing after each slice. Raises BadAnswer.

    They must stand in the body one after the other with nothing but a comma between, as the origin writes them:
    how it would space a filtered answer could only be guessed.
    """
    reader = _Reader()
    start, worked_bytes = _first(body, symbols), 0
    for count, raw in enumerate(symbols, 1):
        symbol = bytes(raw)
        end = start + len(symbol)
        if body[start : end + 1] != symbol + (b"," if count < len(symbols) else b"]"):
            raise BadAnswer("The origin's exchangeInfo is not compact JSON: its symbols cannot be cut out.")
        reader.read(symbol, start)
        start, worked_bytes = end + 1, worked_bytes + len(symbol)
        if worked_bytes >= SLICE_BYTES or count % _SLICE_SYMBOLS == 0:
            worked_bytes = 0
            yield
    return reader.columns(end=start)


def _first(body: bytes, symbols: Sequence[msgspec.Raw]) -> int:
    """Where the first symbol seems to begin. That the guess is right shows when the frame is proven."""
    if not symbols:
        raise BadAnswer("The origin's exchangeInfo has no symbols.")
    return body.find(b"[" + bytes(symbols[0])) + 1


class _Reader:
    """The columns as they grow."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._set_starts = array("Q")
        self._set_ends = array("Q")
        self._permissions = bytearray()
        self._names: list[str] = []
        self._statuses: list[str] = []
        # Hundreds of symbols share one list of permissions: each list is decoded once.
        self._known: dict[bytes, Permissions] = {}

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
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = _permissions(text)
        return known

    def columns(self, *, end: int) -> SymbolIndex:
        self._starts.append(end)
        together = Permissions.OTHER
        for known in self._known.values():
            together |= known
        return SymbolIndex(
            starts=self._starts,
            set_starts=self._set_starts,
            set_ends=self._set_ends,
            permissions=bytes(self._permissions),
            all_permissions=together,
            statuses=tuple(self._statuses),
            positions={name: position for position, name in enumerate(self._names)},
        )


def _text_of_sets(fields: _Fields) -> bytes:
    """The permission sets as JSON; before 2024 the one set stood in `permissions`."""
    if fields.permissionSets is not msgspec.UNSET:
        return bytes(fields.permissionSets)
    return b"" if fields.permissions is msgspec.UNSET else b"[" + bytes(fields.permissions) + b"]"


def _permissions(text: bytes) -> Permissions:
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
    """Where the list in `permissionSets` begins and ends in a symbol; 0 and 0 if there is none to leave empty."""
    if fields.permissionSets is msgspec.UNSET:
        return 0, 0
    value = bytes(fields.permissionSets)
    key = symbol.find(_KEY_OF_SETS + value)
    start = key + len(_KEY_OF_SETS)
    end = start + len(value)
    is_list = value.startswith(b"[") and key >= 0
    return (start, end) if is_list and _is_cut(symbol[:start] + b"[]" + symbol[end:]) else (0, 0)


def _is_cut(symbol: bytes) -> bool:
    """Whether this symbol's own sets are empty now, and not those of a namesake further inside."""
    try:
        return bytes(msgspec.json.decode(symbol, type=_Sets).permissionSets) == b"[]"
    except msgspec.MsgspecError:
        return False
