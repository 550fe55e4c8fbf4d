"""The heads of HTTP/1.1 messages: written for a request, read from an answer (RFC 9112).

Owns: the request line and header lines, their validity, the status line, how a body is framed and whether the
connection stays. Must not know: sockets, the body's bytes, what a status means to anybody else.

A head is read once it is whole, by splitting it into lines, and most lines are remembered from the answer before. That
costs about what a parser in C does that calls back for each line, and it keeps to the grammar strictly.
httptools cannot be told of an answer to HEAD and never ends a body that the connection's end delimits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from functools import lru_cache

from msgspec import Struct

from proxy.core.lines import WITHOUT_BODY
from proxy.forward.messages import Headers, RawRequest

MAX_HEAD_BYTES = 1 << 15
"""Of one head, and of all trailers."""

_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VISIBLE = bytes([*range(0x21, 0x7F), *range(0x80, 0x100)])
TEXT = b"\t " + VISIBLE
"""The bytes of a method or name, of a target, of a value."""
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: |$)")
_WRITTEN_BY_US = frozenset(
    {b"host", b"content-length", b"connection", b"transfer-encoding", b"proxy-authorization", b"upgrade", b"expect"}
)
ABOUT_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection", b"keep-alive"})
"""The headers that decide where a body ends and whether the connection stays."""
_LENGTH = re.compile(rb"[0-9]{1,18}")
_SECONDS = re.compile(rb"timeout\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE)
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests tell their length even if it is 0 (RFC 9110, section 8.6)."""
_REMEMBERED_BYTES = 256
"""Longer lines are read anew each time."""
_REMEMBERED_HEAD_BYTES = 2048
"""The lines of a shorter head are all remembered: it has no line that would take much memory."""

Line = tuple[tuple[str, str], bytes | None, bytes]
"""A header's name in lower case and its value, as text; the name as bytes if it is about the body's framing or the
connection, else None; the value as bytes."""


class InvalidAnswer(Exception):
    """What came is not a valid answer, or passes a bound. The text says why."""


class Framing(Enum):
    """Where a body ends."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()


class Head(Struct, frozen=True):
    """The head of a final answer."""

    status: int
    framing: Framing
    stays_seconds: float
    """For how long the origin keeps the connection after this answer: infinite if it does not say, 0 if it closes."""
    size_bytes: int
    """From its first byte to the end of the empty line."""
    texts: Mapping[str, str]
    """The headers, with names in lower case; of equal names the last one counts."""
    length: int
    """Of the body in bytes; -1 if it is told behind the head: Framing.CHUNKED and Framing.CLOSE."""


def render(request: RawRequest, *, host: bytes, prefix: bytes = b"", more: bytes = b"") -> bytes:
    """The head of a request. `prefix` goes before the target; `more` are whole lines.

    Raises ValueError for what cannot be written as one valid request, and for headers that are the client's own.
    """
    method = request.method.encode()
    lines = render_lines(request.headers, host=host, more=more)
    if not (_is_of(_TOKEN, method) and is_target(request.target)):
        raise ValueError("this is no valid request")
    length = length_line(request.method, len(request.body))
    return b"%b %b%b HTTP/1.1\r\n%b%b\r\n" % (method, prefix, request.target, lines, length)


def render_lines(headers: Headers, *, host: bytes, more: bytes) -> bytes:
    """The lines of a request's head but for the first and for its length. Raises ValueError as `render` does."""
    names = [name for name, _ in headers]
    if not _are_lines(names, headers):
        raise ValueError("this is no valid request")
    if not _WRITTEN_BY_US.isdisjoint([name.lower() for name in names]):
        raise ValueError("the client itself writes this header")
    return b"Host: %b\r\n%b%b" % (host, more, b"".join([b"%b: %b\r\n" % line for line in headers]))


def length_line(method: str, body_bytes: int) -> bytes:
    """The line that tells the length of a request's body, where there must be one."""
    return b"Content-Length: %d\r\n" % body_bytes if body_bytes or method in _WITH_CONTENT else b""


def is_target(target: bytes) -> bool:
    """Whether a request line may have this target."""
    return _is_of(VISIBLE, target)


def _is_of(alphabet: bytes, text: bytes) -> bool:
    """Whether `text` has such bytes only, and at least one."""
    return bool(text) and not text.translate(None, alphabet)


def _are_lines(names: list[bytes], headers: Headers) -> bool:
    """Whether each header is one line."""
    values = b"".join([value for _, value in headers])
    return all(names) and not b"".join(names).translate(None, _TOKEN) and not values.translate(None, TEXT)


def read_head(block: bytes, *, is_head: bool) -> Head | None:
    """The head of an answer, from its first byte to the empty line; None for an interim answer (1xx).

    `is_head`: the answer has no body whatever its headers say. Raises InvalidAnswer.
    """
    status_line, *lines = block[:-4].split(b"\r\n")
    is_short = len(block) <= _REMEMBERED_HEAD_BYTES
    status, is_old = (_remembered_status if is_short else _read_status)(status_line)
    read = list(map(_remembered, lines)) if is_short else read_lines(lines)
    if status < 200:
        if status == 101:
            raise InvalidAnswer("The origin changes the protocol, which nobody asked for.")
        return None
    return _with_framing(len(block), status, read, is_head=is_head, is_old=is_old)


def _read_status(line: bytes) -> tuple[int, bool]:
    """The status, and whether the answer is one of HTTP/1.0."""
    first = _STATUS.match(line)
    if first is None or line.translate(None, TEXT):
        raise InvalidAnswer("The origin's answer is not HTTP.")
    return int(first[2]), first[1] == b"0"


_remembered_status = lru_cache(maxsize=64)(_read_status)


def read_lines(lines: list[bytes]) -> list[Line]:
    """Header lines without their ends. Raises InvalidAnswer."""
    return [_remembered(line) if len(line) <= _REMEMBERED_BYTES else _read_line(line) for line in lines]


def _read_line(line: bytes) -> Line:
    name, colon, value = line.partition(b":")
    # Without the bytes that a value may have nothing may be left, a lone CR or LF neither.
    if not colon or not _is_of(_TOKEN, name) or value.translate(None, TEXT):
        raise InvalidAnswer("The origin's answer has an invalid header.")
    lower, value = name.lower(), value.strip(b" \t")
    # A byte is a character, as nobody says which coding a value has (RFC 9110, section 5.5).
    text = lower.decode("ascii"), value.decode("latin-1")
    return text, lower if lower in ABOUT_FRAMING else None, value


_remembered = lru_cache(maxsize=512)(_read_line)
"""Of the lines of an answer most are those of the answer before."""


def _with_framing(size_bytes: int, status: int, lines: list[Line], *, is_head: bool, is_old: bool) -> Head:
    lengths, codings, options, stays = [], [], b"", float("inf")
    for _, about, value in [line for line in lines if line[1] is not None]:
        match about:
            case b"content-length":
                lengths.append(value)
            case b"transfer-encoding":
                codings.append(value.lower())
            case b"connection":
                options += b"," + value.lower()
            case _:
                stays = _announced(value)
    framing, length = _framing(lengths, codings, is_old=is_old)
    if is_head or status in WITHOUT_BODY:
        framing, length = Framing.NONE, 0
    if framing is Framing.CLOSE or not _is_kept(options, is_old=is_old):
        stays = 0.0
    texts = dict([text for text, _, _ in lines])
    return Head(status, framing, stays, size_bytes, texts, length)


def _framing(lengths: list[bytes], codings: list[bytes], *, is_old: bool) -> tuple[Framing, int]:
    """RFC 9112, section 6.3, and strictly: what two readers could read differently is refused."""
    if codings:
        if lengths or codings != [b"chunked"] or is_old:
            raise InvalidAnswer("The length of the origin's answer is not clear.")
        return Framing.CHUNKED, -1
    if not lengths:
        return Framing.CLOSE, -1
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise InvalidAnswer("The length of the origin's answer is not clear.")
    return Framing.LENGTH, int(lengths[0])


def _is_kept(options: bytes, *, is_old: bool) -> bool:
    if not options:
        return not is_old
    named = {option.strip(b" \t") for option in options.split(b",")}
    return b"close" not in named and (not is_old or b"keep-alive" in named)


def _announced(value: bytes) -> float:
    """What Keep-Alive announces, less the second that the answer may have been on its way."""
    seconds = _SECONDS.search(value)
    return max(0.0, int(seconds[1]) - 1.0) if seconds else float("inf")
