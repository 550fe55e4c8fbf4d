"""How the origin checks the parameters of a request: the same checks in the same order.

Owns: the decoding of a raw query, the refusals that certainly equal the origin's, and the reasons why only the origin
can answer. Must not know: what is cached, whether a symbol exists. Source: Binance's API documents. Where these are
not clear, the request is bypassed with a BypassReason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from proxy.core.endpoints.endpoint import Endpoint

_SYMBOL_RANGE = r"^[\w\-._&&[^a-z]]{1,50}$"
_LIST_RANGE = r'^\[("[\w\-._&&[^a-z]]{1,50}"(,"[\w\-._&&[^a-z]]{1,50}"){0,}){0,1}\]$'
_SYMBOL = re.compile(r"[A-Z0-9_.\-\u0080-\U0010FFFF]{1,50}")
"""The origin's character class, but too wide beyond ASCII, where `_is_uncertain` decides."""
_PERMISSION = re.compile(r"[A-Z][A-Z0-9_]{0,49}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_STATUSES = frozenset({"TRADING", "HALT", "BREAK"})
_UNDOCUMENTED_STATUSES = frozenset({"END_OF_DAY", "CANCEL_ONLY", "PRE_TRADING", "POST_TRADING", "AUCTION_MATCH"})


class BypassReason(Enum):
    """Why only the origin can interpret a request."""

    UNREADABLE = "unreadable"
    """A bad percent escape, bytes that are not UTF-8, or a parameter without a name."""
    EMPTY_VALUE = "empty-value"
    """A parameter other than `symbol` is empty."""
    UNSURE_CHARACTER = "unsure-character"
    """A symbol has a non-ASCII character that may or may not be a word character for the origin."""
    EMPTY_LIST = "empty-list"
    """`symbols=[]`."""
    COMBINATION = "combination"
    """The parameters exclude each other, and the exact text of the origin's refusal is not known."""
    TOO_MANY = "too-many"
    """There are more parameters than the endpoint has, and the origin's refusal is known only for none."""
    PERMISSIONS = "permissions"
    """`permissions` is not one name or a list of different names."""
    SHOW_PERMISSION_SETS = "show-permission-sets"
    """`showPermissionSets` is neither `true` nor `false`."""
    SYMBOL_STATUS = "symbol-status"
    """`symbolStatus` has a value that occurs in answers but is not documented for requests."""
    SBE_HEADER = "sbe-header"
    """The client accepts only SBE, and X-MBX-SBE is missing or malformed: the origin refuses in SBE."""
    SBE_REFUSAL = "sbe-refusal"
    """The origin would refuse the request, in SBE."""


class Refusal(Struct, frozen=True):
    """The origin's code and text. Not an exception, because it is memoized, and raising would change it."""

    code: int
    msg: str


Objection = Refusal | BypassReason | None
Pairs = Sequence[tuple[str, str]]
"""Decoded names and values, in order of appearance."""
Sent = Mapping[str, str]
"""The same, if no name occurs twice."""


def read_pairs(raw_query: str) -> Pairs | None:
    """Split the query and decode it once; None if it cannot be decoded.

    Bytes of the request line that are not UTF-8 are lone surrogates in `raw_query` (PEP 383).
    """
    if _BAD_ESCAPE.search(raw_query):
        return None
    segments = [segment.partition("=") for segment in raw_query.split("&") if segment]
    try:
        pairs = [(_decode(name), _decode(value)) for name, _, value in segments]
    except UnicodeDecodeError:
        return None
    return pairs if all(name for name, _ in pairs) else None


def _decode(text: str) -> str:
    raw = text.replace("+", " ").encode("utf-8", "surrogateescape")
    return unquote_to_bytes(raw).decode("utf-8")


def first_objection(endpoint: Endpoint, pairs: Pairs) -> Objection:
    """The first failed check, in the origin's order; None if all pass."""
    sent = dict(pairs)
    return (
        _duplicates(pairs)
        or _unread(endpoint, sent)
        or _empty(sent)
        or _characters(sent)
        or _combinations(sent)
        or _values(sent)
    )


def _duplicates(pairs: Pairs) -> Objection:
    counts = Counter(name for name, _ in pairs)
    name = next((name for name, count in counts.items() if count > 1), None)
    return None if name is None else Refusal(-1101, f"Duplicate values for parameter '{name}'.")


def _unread(endpoint: Endpoint, sent: Sent) -> Objection:
    if sent and not endpoint.parameters:
        return Refusal(-1101, f"Too many parameters; expected '0' and received '{len(sent)}'.")
    if len(sent) > len(endpoint.parameters):
        return BypassReason.TOO_MANY
    if endpoint.takes_one_parameter and len(sent) > 1:
        return BypassReason.COMBINATION
    read = len(sent.keys() & set(endpoint.parameters))
    if read == len(sent):
        return None
    return Refusal(-1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(sent)}'.")


def _empty(sent: Sent) -> Objection:
    empty = [name for name, value in sent.items() if not value]
    if empty == ["symbol"]:
        return Refusal(-1105, "Parameter 'symbol' was empty.")
    return BypassReason.EMPTY_VALUE if empty else None


def _characters(sent: Sent) -> Objection:
    """If any value is uncertain, bypass: we cannot know which error the origin reports first."""
    checked = [check(sent[name]) for name, check in _CHARACTER_CHECKS.items() if name in sent]
    found = [objection for objection in checked if objection is not None]
    bypasses = (objection for objection in found if isinstance(objection, BypassReason))
    return next(bypasses, found[0] if found else None)


def _check_symbol(text: str) -> Objection:
    return _illegal("symbol", [text], _SYMBOL_RANGE)


def _check_symbols(text: str) -> Objection:
    return _illegal("symbols", read_names(text), _LIST_RANGE)


def _check_permissions(text: str) -> Objection:
    return BypassReason.PERMISSIONS if read_permissions(text) is None else None


def _check_show_permission_sets(text: str) -> Objection:
    return None if text in {"true", "false"} else BypassReason.SHOW_PERMISSION_SETS


_CHARACTER_CHECKS: Mapping[str, Callable[[str], Objection]] = MappingProxyType(
    {
        "symbol": _check_symbol,
        "symbols": _check_symbols,
        "permissions": _check_permissions,
        "showPermissionSets": _check_show_permission_sets,
    }
)


def _illegal(parameter: str, names: Sequence[str] | None, legal_range: str) -> Objection:
    if names is None or not all(map(_SYMBOL.fullmatch, names)):
        msg = f"Illegal characters found in parameter '{parameter}'; legal range is '{legal_range}'."
        return Refusal(-1100, msg)
    return BypassReason.UNSURE_CHARACTER if any(map(_is_uncertain, names)) else None


def _is_uncertain(name: str) -> bool:
    r"""Java's Unicode `\w` matches all letters and decimal digits. For marks, numbers and joiners it is not certain."""
    return not all(char.isascii() or (char <= "\uffff" and (char.isalpha() or char.isdecimal())) for char in name)


def _combinations(sent: Sent) -> Objection:
    named = sent.keys() & {"symbol", "symbols"}
    if named and sent.keys() & {"permissions", "symbolStatus"}:
        return BypassReason.COMBINATION
    if len(named) < 2:
        return None
    names = read_names(sent["symbols"])
    if not names or _repeats(names):
        return BypassReason.COMBINATION
    recommendation = "Recommendation: 'symbol' and 'symbols' cannot both be sent."
    return Refusal(-1128, f"Combination of optional parameters invalid. {recommendation}")


def _values(sent: Sent) -> Objection:
    names = read_names(sent["symbols"]) if "symbols" in sent else None
    if names is not None and not names:
        return BypassReason.EMPTY_LIST
    if names is not None and _repeats(names):
        return Refusal(-1151, "Symbol is present multiple times in the list.")
    status = sent.get("symbolStatus", "TRADING")
    if status in _UNDOCUMENTED_STATUSES:
        return BypassReason.SYMBOL_STATUS
    return None if status in _STATUSES else Refusal(-1122, "Invalid symbolStatus.")


def read_names(text: str) -> list[str] | None:
    """The members of a compact JSON list of strings without escapes; None if the text is not such a list.

    A text such as `["]` gives members that are empty or contain a quote; the check of the names then refuses them.
    """
    if text == "[]":
        return []
    if not text.startswith('["') or not text.endswith('"]'):
        return None
    return text[2:-2].split('","')


def read_permissions(text: str) -> list[str] | None:
    """One name, or a list of different names; None for any other text."""
    names = read_names(text) if text.startswith("[") else [text]
    if not names or _repeats(names) or not all(map(_PERMISSION.fullmatch, names)):
        return None
    return names


def _repeats(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)
