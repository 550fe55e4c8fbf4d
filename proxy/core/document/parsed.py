"""An exchangeInfo document as bytes: its validation, and the template around its symbols.

Owns: what a valid exchangeInfo body is, and everything in it before and after the elements of `symbols`. Must not
know: what is inside a symbol, which query is answered, where a body came from. Source: Binance's API documents.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from proxy.core.document.floor import ListedSymbol, decode_bounded, decode_limits
from proxy.errors import BadAnswer

_KNOWN_MEMBERS = frozenset({"timezone", "serverTime", "rateLimits", "exchangeFilters", "symbols"})
"""The members that a filtered answer contains unchanged, besides `symbols`."""
_SERVER_TIME = re.compile(rb'"serverTime"\s*:\s*[0-9]+')
_MICROSECONDS_FROM = 10**15
"""serverTime has 13 digits in milliseconds and 16 in microseconds."""
_UTF8_SLICE_BYTES = 1 << 16
_TIME_WITHIN_BYTES = 256
MAX_ENVELOPE_BYTES = 1 << 18
"""Of a document without its symbols, which has a few thousand bytes."""
_MOST_TIMES = 16
"""How many members named serverTime are tried."""
ERROR_IN_200 = "The origin answered 200 with an error."


class Document(Struct, frozen=True, eq=False):
    """A valid exchangeInfo body, parsed as far as needed."""

    rate_limits: tuple[Mapping[str, Any], ...]
    server_time_ms: int
    """Epoch milliseconds, also if the body has microseconds."""
    listed: Sequence[ListedSymbol]
    """The symbols in the order of the body."""
    body: bytes

    @property
    def symbols_count(self) -> int:
        """How many there are."""
        return len(self.listed)

    def symbols(self) -> Sequence[msgspec.Raw]:
        """The text of each symbol: views into the body. Decoded at each call: 6 to 11 ms for 17.6 MB."""
        elements: Sequence[msgspec.Raw] = msgspec.json.decode(self.body, type=_Elements).symbols
        return elements


class DocumentTemplate(Struct, frozen=True):
    """The body without the elements of `symbols`. An answer is `head`, symbols joined by commas, `tail`."""

    head: bytes
    tail: bytes
    microseconds_head: bytes
    """The same with serverTime in microseconds, which is the milliseconds and three zeros."""
    microseconds_tail: bytes
    depends_on_symbols: bool
    """Whether it has another member with content (such as `sors`), which the origin may filter too."""


class _Members(msgspec.Struct):
    symbols: list[ListedSymbol]
    rateLimits: msgspec.Raw  # noqa: N815 - the origin's name
    serverTime: Annotated[int, msgspec.Meta(gt=0)]  # noqa: N815 - the origin's name
    code: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Elements(msgspec.Struct):
    symbols: list[msgspec.Raw]


def parse_document(body: bytes) -> Document:
    """Parse an exchangeInfo answer, filtered or not. Raises BadAnswer if it is not valid.

    Valid means: complete JSON in UTF-8, an object with `symbols`, `rateLimits` and `serverTime`, and without `code`;
    each symbol is an object with a name. Takes 6 to 11 ms for 17.6 MB.
    """
    members, limits = _decode(body)
    if not _is_utf8(body):
        raise BadAnswer("The origin's exchangeInfo is not UTF-8.")
    return Document(tuple(limits), _milliseconds(members.serverTime), members.symbols, body)


def server_time_of(body: bytes) -> slice | None:
    """Where the digits of the body's own serverTime are. None: there is none among the first members of an object.

    Looks only before the first nested value, so that it cannot find a member deeper inside.
    """
    found = _SERVER_TIME.search(body, 0, _TIME_WITHIN_BYTES)
    if found is None or found.end() == _TIME_WITHIN_BYTES:
        return None
    before = body[: found.start()]
    if not before.startswith(b"{") or b"{" in before[1:] or b"[" in before:
        return None
    start = found.end() - len(found[0].rpartition(b":")[2].strip())
    return slice(start, found.end())


def template(head: bytes, tail: bytes) -> DocumentTemplate:
    """Make the template, and check that `head` ends and `tail` starts at the elements of `symbols`.

    `head + tail` must be a valid document with an empty `symbols`. Raises BadAnswer.
    """
    if len(head) + len(tail) > MAX_ENVELOPE_BYTES:
        raise BadAnswer("There is too much around the symbols of the origin's exchangeInfo.")
    members, _ = _decode(head + tail)
    if members.symbols:
        raise BadAnswer("The symbols of the origin's exchangeInfo cannot be located.")
    if members.serverTime >= _MICROSECONDS_FROM:
        raise BadAnswer("The serverTime of the origin's exchangeInfo is not in milliseconds.")
    microseconds_head, microseconds_tail = _in_microseconds(head, tail, members.serverTime)
    return DocumentTemplate(head, tail, microseconds_head, microseconds_tail, _has_unknown_content(head + tail))


def _decode(body: bytes) -> tuple[_Members, list[dict[str, Any]]]:
    try:
        members = decode_bounded(body, _Members)
        limits = decode_limits(members.rateLimits)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"The origin's answer is not a valid exchangeInfo: {error}") from error
    if members.code is not msgspec.UNSET:
        raise BadAnswer(ERROR_IN_200)
    return members, limits


def _milliseconds(server_time: int) -> int:
    return server_time // 1000 if server_time >= _MICROSECONDS_FROM else server_time


def _is_utf8(body: bytes) -> bool:
    """Needed because the JSON decoder checks only strings that it returns. Works in slices to save memory.

    A valid body ends with a brace or white space, so no character is cut at the end.
    """
    if body.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(body)
    try:
        for start in range(0, len(body), _UTF8_SLICE_BYTES):
            decoder.decode(view[start : start + _UTF8_SLICE_BYTES])
    except UnicodeDecodeError:
        return False
    return True


def _in_microseconds(head: bytes, tail: bytes, server_time_ms: int) -> tuple[bytes, bytes]:
    """Append zeros to the document's serverTime, not to a member of the same name deeper inside."""
    before = ((_with_zeros_at(head, found.end()), tail) for found in _SERVER_TIME.finditer(head))
    behind = ((head, _with_zeros_at(tail, found.end())) for found in _SERVER_TIME.finditer(tail))
    for changed in islice(chain(before, behind), _MOST_TIMES):
        if _decode(b"".join(changed))[0].serverTime == server_time_ms * 1000:
            return changed
    raise BadAnswer("The serverTime of the origin's exchangeInfo cannot be found.")


def _with_zeros_at(text: bytes, end: int) -> bytes:
    return text[:end] + b"000" + text[end:]


def _has_unknown_content(envelope: bytes) -> bool:
    members = msgspec.json.decode(envelope, type=dict[str, msgspec.Raw])
    unknown = (bytes(raw) for name, raw in members.items() if name not in _KNOWN_MEMBERS)
    return any(raw[0] in b"[{" and raw not in (b"[]", b"{}") for raw in unknown)
