"""The changes between two exchangeInfo documents of one API, spot or futures.

Owns: which members of a symbol are compared, how changes are grouped. Must not know: where the documents come from,
who is told. Source: Binance's API documents.

The symbols are compared as bytes first: only those that differ are decoded. Members that no kind of change is about
are ignored, and so is a member in a form that Binance does not document.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from proxy.core.document.changes import Change, ChangeKind
from proxy.core.document.snapshot import Snapshot
from proxy.errors import BadAnswer

_SLICE_SYMBOLS = 64
"""How many symbols are compared between two pauses: about a millisecond where all of them differ."""


class Listing(Struct, frozen=True, eq=False):
    """The symbols and limits of a document."""

    __repr__ = object.__repr__  # the fields are long

    positions: Mapping[str, int]
    """Position by name, in the order of the document."""
    raw: Callable[[int], bytes]
    """The JSON of the symbol at a position."""
    rate_limits: Sequence[Mapping[str, Any]]


class _Document(msgspec.Struct):
    symbols: list[msgspec.Raw] = []
    rateLimits: list[dict[str, Any]] = []  # noqa: N815 - the origin's name


class _Named(msgspec.Struct):
    symbol: str


class _Fields(msgspec.Struct):
    """The members that are compared. COIN-M names its status otherwise."""

    status: Any = None
    contractStatus: Any = None  # noqa: N815 - the origin's name
    filters: Any = None
    permissions: Any = None
    permissionSets: Any = None  # noqa: N815 - the origin's name


def listing_of(snapshot: Snapshot) -> Listing:
    """The listing of a document that is indexed already."""
    starts, body = snapshot.symbol_index.starts, snapshot.body
    return Listing(
        snapshot.symbol_index.positions,
        lambda place: body[starts[place] : starts[place + 1] - 1],
        snapshot.rate_limits,
    )


def read_listing(body: bytes) -> Generator[None, None, Listing]:
    """Read a document. Yields after each slice of work; returns the listing. Raises BadAnswer."""
    try:
        document = msgspec.json.decode(body, type=_Document)
        positions: dict[str, int] = {}
        for place, raw in enumerate(document.symbols):
            positions[msgspec.json.decode(raw, type=_Named).symbol] = place
            if place % _SLICE_SYMBOLS == 0:
                yield
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"The origin's answer is not a valid exchangeInfo: {error}") from error
    return Listing(positions, lambda place: bytes(document.symbols[place]), document.rateLimits)


def differences(old: Listing, new: Listing) -> Generator[None, None, tuple[Change, ...]]:
    """Compare two documents. Yields after each slice of work; returns the changes.

    First the limits, then what was delisted, then the rest in the order of the newer document; the changes of
    permissions come last, one for all symbols with the same difference.
    """
    changes: list[Change] = []
    regrouped: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    if list(old.rate_limits) != list(new.rate_limits):
        changes.append(Change(ChangeKind.LIMITS, (), list(old.rate_limits), list(new.rate_limits)))
    for name, place in old.positions.items():
        if name not in new.positions:
            changes.append(Change(ChangeKind.DELISTED, (name,), _status(_fields(old.raw(place))), None))
    for count, (name, place) in enumerate(new.positions.items()):
        if count % _SLICE_SYMBOLS == 0:
            yield
        raw = new.raw(place)
        if name not in old.positions:
            changes.append(Change(ChangeKind.LISTED, (name,), None, _status(_fields(raw))))
        elif (before := old.raw(old.positions[name])) != raw:
            was, now = _fields(before), _fields(raw)
            changes += _of_symbol(name, was, now)
            regroup = _regrouped(was, now)
            if regroup is not None:
                regrouped.setdefault(regroup, []).append(name)
    changes += (
        Change(ChangeKind.PERMISSIONS, tuple(names), list(removed), list(added))
        for (removed, added), names in regrouped.items()
    )
    return tuple(changes)


def _fields(raw: bytes) -> _Fields:
    try:
        return msgspec.json.decode(raw, type=_Fields)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Fields()


def _status(fields: _Fields) -> str | None:
    status = fields.contractStatus if fields.status is None else fields.status
    return status if isinstance(status, str) else None


def _of_symbol(name: str, was: _Fields, now: _Fields) -> list[Change]:
    """The changes of one symbol, without those of its permissions."""
    changes = []
    if _status(was) != _status(now):
        changes.append(Change(ChangeKind.STATUS, (name,), _status(was), _status(now)))
    if was.filters != now.filters:
        before, after = _by_type(was.filters), _by_type(now.filters)
        old = {kind: before[kind] for kind in before if before[kind] != after.get(kind)}
        new = {kind: after[kind] for kind in after if after[kind] != before.get(kind)}
        if old or new:  # else they have only changed places
            changes.append(Change(ChangeKind.FILTERS, (name,), old, new))
    return changes


def _by_type(filters: Any) -> dict[str, Any]:
    """The filters by their type; a type that stands twice has a number."""
    found: dict[str, Any] = {}
    for each in filters if isinstance(filters, list) else ():
        kind = str(each.get("filterType", "")) if isinstance(each, dict) else ""
        count = sum(name.partition("#")[0] == kind for name in found)
        found[f"{kind}#{count + 1}" if count else kind] = each
    return found


def _regrouped(was: _Fields, now: _Fields) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The names that were removed from the permissions of a symbol, and those added; None: there are none."""
    if (was.permissionSets, was.permissions) == (now.permissionSets, now.permissions):
        return None
    before, after = _permissions(was), _permissions(now)
    removed = tuple(name for name in before if name not in after)
    added = tuple(name for name in after if name not in before)
    return (removed, added) if removed or added else None


def _permissions(fields: _Fields) -> dict[str, None]:
    """The names in all permission sets, in their order. Before 2024 the only set was in `permissions`."""
    sets = fields.permissionSets or fields.permissions
    names: dict[str, None] = {}
    for each in sets if isinstance(sets, list) else ():
        names |= dict.fromkeys(name for name in (each if isinstance(each, list) else [each]) if isinstance(name, str))
    return names
