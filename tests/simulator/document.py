"""The exchangeInfo document: its values, how it is changed, rendered, and loaded from a recorded file.

Owns the bytes of every symbol (encoded once, so that a filtered answer is a join). Must not know queries,
HTTP or the clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import orjson

_STATUS = re.compile(rb'"status"\s*:\s*"[^"]*"')
_PERMISSION_SETS = re.compile(rb'("permissionSets"\s*:\s*)\[(?:\s*\[[^\]]*\]\s*,?)*\s*\]')


@dataclass(frozen=True, slots=True)
class Symbol:
    """One trading pair, encoded with its permission sets (`full`) and with none (`bare`)."""

    name: str
    status: str
    permissions: frozenset[str]
    full: bytes
    bare: bytes

    @property
    def is_listed(self) -> bool:
        """Whether the unfiltered answer shows it (general information, `permissions`)."""
        return not self.permissions.isdisjoint(("SPOT", "MARGIN", "LEVERAGED"))


@dataclass(frozen=True, slots=True)
class Document:
    """The envelope as raw JSON members in wire order, and the symbols in listing order by name.

    The values kept for `serverTime` and `symbols` are placeholders: `render` puts the present ones there.
    """

    envelope: tuple[tuple[str, bytes], ...]
    symbols: Mapping[str, Symbol]

    def with_symbol(self, symbol: Symbol) -> Document:
        """The same document with the symbol added at the end, or replaced where it stands."""
        return replace(self, symbols={**self.symbols, symbol.name: symbol})

    def without_symbol(self, name: str) -> Document:
        """The same document without the symbol. KeyError if there is none."""
        rest = dict(self.symbols)
        del rest[name]
        return replace(self, symbols=rest)

    def with_status(self, name: str, status: str) -> Document:
        """The same document with another status of one symbol. KeyError if there is none."""
        old = self.symbols[name]
        field = b'"status":"%s"' % status.encode()
        full, bare = (_STATUS.sub(field, text, count=1) for text in (old.full, old.bare))
        return self.with_symbol(replace(old, status=status, full=full, bare=bare))

    def with_limits(self, *, weight: int, raw: int) -> Document:
        """The same document with these limits of REQUEST_WEIGHT and RAW_REQUESTS in its `rateLimits`."""
        limits = {"REQUEST_WEIGHT": weight, "RAW_REQUESTS": raw}
        rows = orjson.loads(dict(self.envelope)["rateLimits"])
        for row in rows:
            row["limit"] = limits.get(row["rateLimitType"], row["limit"])
        changed = {**dict(self.envelope), "rateLimits": orjson.dumps(rows)}
        return replace(self, envelope=tuple(changed.items()))


@dataclass(frozen=True, slots=True)
class Rendered:
    """An answer's body but for the digits of `serverTime`, which stand between the two parts."""

    before: bytes
    after: bytes


def render(document: Document, symbols: Iterable[Symbol], *, with_sets: bool) -> Rendered:
    """Join the envelope and these symbols, in the order given."""
    listed = b",".join(symbol.full if with_sets else symbol.bare for symbol in symbols)
    members = []
    for key, raw in document.envelope:
        value = {"symbols": b"[" + listed + b"]", "serverTime": b"\0"}.get(key, raw)
        members.append(b'"%s":%s' % (key.encode(), value))
    before, _, after = (b"{" + b",".join(members) + b"}").partition(b"\0")
    return Rendered(before, after)


class _SymbolFields(msgspec.Struct, rename="camel"):
    symbol: str
    status: str
    permissions: list[str] = []
    permission_sets: list[list[str]] = []


def recorded(path: Path | str) -> Document:
    """Load a recorded exchangeInfo answer; every symbol keeps its recorded bytes.

    Records from before 2024 have `permissions` filled and no `permissionSets`: `permissions` then decides
    what the filters show, and there are no sets to leave out.
    """
    members = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, msgspec.Raw])
    symbols = [_sliced(bytes(raw)) for raw in msgspec.json.decode(members["symbols"], type=list[msgspec.Raw])]
    placeholders = {"symbols": b"[]", "serverTime": b"0"}
    envelope = tuple((key, placeholders.get(key, bytes(raw))) for key, raw in members.items())
    return Document(envelope, {symbol.name: symbol for symbol in symbols})


def _sliced(raw: bytes) -> Symbol:
    fields = msgspec.json.decode(raw, type=_SymbolFields)
    permissions = frozenset(fields.permissions).union(*fields.permission_sets)
    return Symbol(fields.symbol, fields.status, permissions, full=raw, bare=without_permission_sets(raw))


def without_permission_sets(raw: bytes) -> bytes:
    """The same symbol's JSON with `permissionSets` present and empty."""
    return _PERMISSION_SETS.sub(rb"\1[]", raw, count=1)
