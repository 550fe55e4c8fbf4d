"""How the origin reads a query of the general endpoints: what it selects, or which of its errors it answers.

Owns the error table and the order of its checks (duplicates, unread keys, empty values, characters,
combinations, a symbol named twice, existence). Must not know HTTP headers, bodies or the limits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias
from urllib.parse import parse_qsl

from tests.simulator.document import Document, Symbol

PING = "/api/v3/ping"
TIME = "/api/v3/time"
INFO = "/api/v3/exchangeInfo"
EXECUTION_RULES = "/api/v3/executionRules"

Pairs: TypeAlias = Sequence[tuple[str, str]]
Values: TypeAlias = Mapping[str, str]

_INFO_KEYS = ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus")
_EXECUTION_KEYS = ("symbol", "symbols", "symbolStatus")
_INFO_EXCLUSIONS = (
    *(("symbol", "symbols"), ("symbol", "permissions"), ("symbols", "permissions")),
    *(("symbol", "symbolStatus"), ("symbols", "symbolStatus")),
)
_EXECUTION_EXCLUSIONS = tuple(combinations(_EXECUTION_KEYS, 2))

_NAME = r"(?:[^\Wa-z]|[\-.]){1,50}"  # word characters but a-z, and the dash and the dot
_LEGAL = {
    "symbol": (re.compile(_NAME), r"^[\w\-._&&[^a-z]]{1,50}$"),
    "symbols": (
        re.compile(rf'\[(?:"{_NAME}"(?:,"{_NAME}")*)?\]'),
        r'^\[("[\w\-._&&[^a-z]]{1,50}"(,"[\w\-._&&[^a-z]]{1,50}"){0,}){0,1}\]$',
    ),
    # The origin's ranges for these two are not known; any client error will do.
    "permissions": (re.compile(r'[A-Z0-9_]+|\["[A-Z0-9_]+"(?:,"[A-Z0-9_]+")*\]'), r"^[A-Z0-9_]{1,50}$"),
    "showPermissionSets": (re.compile(r"true|false"), r"^(true|false)$"),
}
_PERMISSION = re.compile(r"SPOT|MARGIN|LEVERAGED|TRD_GRP_\d{3}|MARGIN_\d{3}")
_STATUSES = ("TRADING", "HALT", "BREAK")


@dataclass(frozen=True, slots=True)
class Refused:
    """The origin's own error, answered with HTTP 400 unless said otherwise."""

    code: int
    text: str
    status: int = 400


@dataclass(frozen=True, slots=True)
class Selection:
    """Which symbols are asked for. `names` goes with neither `permissions` nor `status`."""

    names: frozenset[str] | None = None
    permissions: frozenset[str] | None = None
    status: str | None = None
    with_sets: bool = True


def parse_query(raw: str) -> Pairs:
    """Percent-decode once; `+` is a space; blank values stay; a key without `=` has an empty value."""
    return parse_qsl(raw, keep_blank_values=True, errors="replace")


def read_bare(pairs: Pairs) -> Refused | None:
    """Ping and time take no parameter."""
    repeated = _duplicates(pairs)
    if repeated or not pairs:
        return repeated
    return Refused(-1101, f"Too many parameters; expected '0' and received '{len(pairs)}'.")


def read_info(pairs: Pairs, document: Document) -> Selection | Refused:
    """What an exchangeInfo query selects."""
    return _read(pairs, document, keys=_INFO_KEYS, exclusions=_INFO_EXCLUSIONS)


def read_execution_rules(pairs: Pairs, document: Document) -> Selection | Refused:
    """What an executionRules query selects."""
    return _read(pairs, document, keys=_EXECUTION_KEYS, exclusions=_EXECUTION_EXCLUSIONS)


def select(document: Document, selection: Selection) -> list[Symbol]:
    """The selected symbols in listing order. All `names` must exist."""
    if selection.names is not None:
        return [symbol for symbol in document.symbols.values() if symbol.name in selection.names]
    return [symbol for symbol in document.symbols.values() if _matches(symbol, selection)]


def _matches(symbol: Symbol, selection: Selection) -> bool:
    if selection.status is not None and symbol.status != selection.status:
        return False
    if selection.permissions is None:
        return symbol.is_listed
    return not symbol.permissions.isdisjoint(selection.permissions)


def _read(
    pairs: Pairs, document: Document, *, keys: tuple[str, ...], exclusions: tuple[tuple[str, str], ...]
) -> Selection | Refused:
    values = dict(pairs)
    refused = (
        _duplicates(pairs)
        or _unread(pairs, keys)
        or _empty(values)
        or illegal(values, keys)
        or _unknown_words(values, document)
        or _combined(values, exclusions)
        or _unfit_names(values, document)
    )
    return refused or _selection(values)


def _selection(values: Values) -> Selection:
    asked = [values["symbol"]] if "symbol" in values else _names(values.get("symbols", ""))
    return Selection(
        names=frozenset(asked) or None,
        permissions=frozenset(_permissions(values)) or None,
        status=values.get("symbolStatus"),
        with_sets=values.get("showPermissionSets") != "false",
    )


def _names(text: str) -> list[str]:
    return re.findall(r'"([^"]*)"', text)


def _permissions(values: Values) -> list[str]:
    text = values.get("permissions", "")
    return _names(text) if text.startswith("[") else [text] if text else []


def _duplicates(pairs: Pairs) -> Refused | None:
    keys = [key for key, _ in pairs]
    twice = next((key for place, key in enumerate(keys) if key in keys[:place]), None)
    return None if twice is None else Refused(-1101, f"Duplicate values for parameter '{twice}'.")


def _unread(pairs: Pairs, keys: tuple[str, ...]) -> Refused | None:
    read = sum(key in keys for key, _ in pairs)
    text = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(pairs)}'."
    return None if read == len(pairs) else Refused(-1104, text)


def _empty(values: Values) -> Refused | None:
    empty = next((key for key in _INFO_KEYS if values.get(key) == ""), None)
    return None if empty is None else Refused(-1105, f"Parameter '{empty}' was empty.")


def illegal(values: Values, keys: tuple[str, ...]) -> Refused | None:
    """The refusal for the first of these parameters that has an illegal character."""
    """The first of these parameters whose characters are not legal."""
    for key in keys:
        if key in values and key in _LEGAL and not _LEGAL[key][0].fullmatch(values[key]):
            return _outside(key)
    return None


def _outside(key: str) -> Refused:
    legal = _LEGAL[key][1]
    return Refused(-1100, f"Illegal characters found in parameter '{key}'; legal range is '{legal}'.")


def _unknown_words(values: Values, document: Document) -> Refused | None:
    """Permissions and statuses are words of the origin's own; those that some symbol has are known too."""
    unknown = [name for name in _permissions(values) if not _PERMISSION.fullmatch(name)]
    if unknown:
        known = frozenset[str]().union(*(symbol.permissions for symbol in document.symbols.values()))
        if not known.issuperset(unknown):
            return Refused(-1122, "Invalid permissions.")
    status = values.get("symbolStatus", "TRADING")
    if status in _STATUSES or any(symbol.status == status for symbol in document.symbols.values()):
        return None
    return Refused(-1122, "Invalid symbolStatus.")


def _combined(values: Values, exclusions: tuple[tuple[str, str], ...]) -> Refused | None:
    clash = next((pair for pair in exclusions if pair[0] in values and pair[1] in values), None)
    if clash is None:
        return None
    text = f"Combination of optional parameters invalid. Recommendation: '{clash[0]}' and '{clash[1]}'"
    return Refused(-1128, f"{text} cannot both be sent.")


def _unfit_names(values: Values, document: Document) -> Refused | None:
    if "symbol" not in values and "symbols" not in values:
        return None
    names = [values["symbol"]] if "symbol" in values else _names(values["symbols"])
    if not names:
        return _outside("symbols")  # the answer to `[]` is not known
    if len(set(names)) != len(names):
        return Refused(-1151, "Symbol is present multiple times in the list.")
    return None if all(name in document.symbols for name in names) else Refused(-1121, "Invalid symbol.")


def read_time_unit(value: str | None) -> int | Refused:
    """Units of `serverTime` in a second. The header X-MBX-TIME-UNIT takes four spellings."""
    match value:
        case None | "MILLISECOND" | "millisecond":
            return 1000
        case "MICROSECOND" | "microsecond":
            return 1_000_000
        case _:
            return Refused(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")


def execution_rules_body(symbols: Sequence[Symbol]) -> bytes:
    """An invented set of rules for each symbol, compact, in listing order."""
    bid, ask = ({f"{side}LimitMultUp": "1.2", f"{side}LimitMultDown": "0.8"} for side in ("bid", "ask"))
    rules = [{"ruleType": "PRICE_RANGE", **bid, **ask}]
    rows = [{"symbol": symbol.name, "rules": rules} for symbol in symbols]
    return json.dumps({"symbolRules": rows}, separators=(",", ":"), ensure_ascii=False).encode()
