"""What a fill that brought an error answer means for the entry that is held.

Owns: when an error answer may replace a good entry, and the sentence about an error answer. Must not know: where
entries are stored, who fills. Source: Binance's API documents.

A 4xx to a query that was answered before is a failure of the fill, not news about the query. There is one exception:
`-1121 Invalid symbol.` to a query that names symbols says that one of them is gone.
"""

from __future__ import annotations

import msgspec

from proxy.core.cache.freshness import USABLE, decide
from proxy.core.messages import Entry
from proxy.errors import OriginRefused

_INVALID_SYMBOL = -1121
_MAX_WORDS = 200
"""Characters of the origin's text that a sentence quotes."""


class _ErrorBody(msgspec.Struct):
    code: int
    msg: str


def is_good(entry: Entry | None) -> bool:
    """Whether there is an entry, and it is not an error answer."""
    return entry is not None and entry.status == 200


def may_replace(held: Entry | None, entry: Entry, now: float, *, names_symbols: bool) -> bool:
    """Whether a newer answer may replace the entry that is held. `now`: seconds since the epoch.

    `names_symbols`: whether the query does.
    """
    if is_good(entry) or not is_good(held) or decide(held, now) not in USABLE:
        return True
    error = _error_of(entry)
    return names_symbols and error is not None and error.code == _INVALID_SYMBOL


def refusal_of(entry: Entry) -> OriginRefused:
    """The error for an error answer that is no result of a fill: it tells the origin's status, code and words."""
    error = _error_of(entry)
    if error is None:
        return OriginRefused(f"The origin answered {entry.status}.")
    words = "".join(char if char.isprintable() else "?" for char in error.msg[:_MAX_WORDS])
    return OriginRefused(f"The origin answered {entry.status} with code {error.code}: {words}")


def _error_of(entry: Entry) -> _ErrorBody | None:
    try:
        return msgspec.json.decode(entry.body, type=_ErrorBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
