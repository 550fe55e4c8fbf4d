"""The least that a symbol of an exchangeInfo must be, before anybody gets it or it replaces what is known.

Owns: that check, one slice at a time. Must not know: where a symbol stands in the body, what is done between two
slices. Source: Binance's API documents.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Annotated

import msgspec

from proxy.errors import BadAnswer

SLICE_BYTES = 256 * 1024
"""How much is processed between two pauses: well under a millisecond of work."""
SLICE_SYMBOLS = 128
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
"""Of a symbol. The longest symbol of any API has less than 40 characters."""


class _Symbol(msgspec.Struct):
    symbol: Name


_decoder = msgspec.json.Decoder(_Symbol)


def check_symbols(symbols: Sequence[msgspec.Raw]) -> Generator[None]:
    """Check that each is an object with a name. Yields after each slice of work. Raises BadAnswer."""
    worked_bytes = 0
    for count, raw in enumerate(symbols, 1):
        symbol = memoryview(raw)
        try:
            _decoder.decode(symbol)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(f"A symbol of the origin's exchangeInfo is not as expected: {error}") from error
        worked_bytes += len(symbol)
        if worked_bytes >= SLICE_BYTES or count % SLICE_SYMBOLS == 0:
            worked_bytes = 0
            yield
