"""The least that a symbol of an exchangeInfo must be, before anybody gets it or it replaces what is known.

Owns: that check, how many symbols and limits are read, how long one slice of work is. Must not know: where a symbol
stands in the body, what is done between two slices. Source: Binance's API documents.

A decoder makes an object for each element before a length can be looked at. So a decoded element counts itself, and
the first one that is no object, or too much, ends the decoding.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from proxy.errors import BadAnswer

T = TypeVar("T")

SLICE_BYTES = 256 * 1024
"""How much is processed between two pauses: well under a millisecond of work."""
SLICE_SYMBOLS = 128
MAX_SYMBOLS = 50_000
"""Of one document. The largest has less than 4,000."""
MAX_LIMITS_BYTES = 1 << 16
"""Of `rateLimits`, which have less than a thousand bytes."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
"""Of a symbol. The longest symbol of any API has less than 40 characters."""


class _Count:
    """The symbols of the decoding under way: nothing else runs before it has ended."""

    left = 0


class Symbol(msgspec.Struct, gc=False):
    """An object with a name. Decoded by `decode_bounded` only."""

    symbol: Name

    def __post_init__(self) -> None:
        _Count.left -= 1
        if _Count.left < 0:
            raise ValueError("too many symbols")


class ListedSymbol(Symbol, gc=False):
    """A symbol with the members that filters need, unread: views into the body. Decoded by `decode_bounded` only."""

    status: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    permissions: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    permissionSets: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 - the origin's name


def decode_bounded(text: bytes | str, kind: type[T]) -> T:
    """Decode JSON that has `Symbol` in it, up to the first element that may not be. Raises what msgspec raises."""
    _Count.left = MAX_SYMBOLS
    decoded: T = msgspec.json.decode(text, type=kind)
    return decoded


def decode_limits(raw: msgspec.Raw) -> list[dict[str, Any]]:
    """The elements of `rateLimits`. Raises BadAnswer for too many bytes, else what msgspec raises."""
    if len(memoryview(raw)) > MAX_LIMITS_BYTES:
        raise BadAnswer("The rateLimits of the origin's exchangeInfo are too large.")
    limits: list[dict[str, Any]] = msgspec.json.decode(raw, type=list[dict[str, Any]])
    return limits
