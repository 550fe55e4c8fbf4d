"""The heads of HTTP/1.1 messages: written for a request, read from an answer (RFC 9112).

Owns: the request line and header lines, their validity, the status line, how a body is framed and whether the
connection stays. Must not know: sockets, the body's bytes, what a status means to anybody else.

Heads are read by two regular expressions over the whole block, which run in C: for some ten lines that is as fast as a
parser in C that calls back for each line, it keeps to the grammar strictly, and nothing waits in the parser's state.
httptools cannot be told of an answer to HEAD and never ends a body that the connection's end delimits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from proxy.forward.messages import Headers, RawRequest

MAX_HEAD_BYTES = 1 << 15
"""Of one head, and of all trailers."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = rb"[^\x00-\x08\x0a-\x1f\x7f]*+"
_LINES = re.compile(rb"(?:%b:%b\r\n)*+" % (_TOKEN, _VALUE))
_LINE = re.compile(rb"(%b):(%b)\r\n" % (_TOKEN, _VALUE))
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: %b)?\r\n" % _VALUE)
_NAMES = re.compile(rb"(?:%b)?" % _TOKEN)
_VALUES = re.compile(_VALUE)
_METHOD = re.compile(_TOKEN.decode())
_TARGET = re.compile(rb"[\x21-\x7e\x80-\xff]++")
_WRITTEN_BY_US = re.compile(
    rb"^(?:host|content-length|connection|transfer-encoding|proxy-authorization|upgrade|expect):",
    re.IGNORECASE | re.MULTILINE,
)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_SECONDS = re.compile(rb"timeout\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE)
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests tell their length even if it is 0 (RFC 9110, section 8.6)."""


class InvalidAnswer(Exception):
    """What came is not a valid answer, or passes a bound. The text says why."""


class Framing(Enum):
    """Where a body ends."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a final answer."""

    status: int
    headers: Headers
    framing: Framing
    length: int
    """Of the body in bytes, for Framing.LENGTH; else 0."""
    stays_seconds: float
    """For how long the origin keeps the connection after this answer: infinite if it does not say, 0 if it closes."""


def render(request: RawRequest, *, host: bytes, prefix: bytes = b"", more: bytes = b"") -> bytes:
    """The head of a request. `prefix` goes before the target; `more` are whole lines.

    Raises ValueError for what cannot be written as one valid request, and for headers that are the client's own.
    """
    if not (_METHOD.fullmatch(request.method) and _TARGET.fullmatch(request.target) and _are_lines(request.headers)):
        raise ValueError("this is no valid request")
    lines = b"".join([b"%b: %b\r\n" % line for line in request.headers])
    if _WRITTEN_BY_US.search(lines):
        raise ValueError("the client itself writes this header")
    length = b""
    if request.body or request.method in _WITH_CONTENT:
        length = b"Content-Length: %d\r\n" % len(request.body)
    return b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%b%b%b\r\n" % (
        request.method.encode(),
        prefix,
        request.target,
        host,
        more,
        lines,
        length,
    )


def _are_lines(headers: Headers) -> bool:
    """Whether each is one line: two matches for all of them."""
    names = [name for name, _ in headers]
    values = b"".join([value for _, value in headers])
    return all(names) and bool(_NAMES.fullmatch(b"".join(names)) and _VALUES.fullmatch(values))


def read_head(block: bytes, *, is_head: bool) -> Head | None:
    """The head of an answer, from its first byte to the empty line; None for an interim answer (1xx).

    `is_head`: the answer has no body whatever its headers say. Raises InvalidAnswer.
    """
    first = _STATUS.match(block)
    if first is None:
        raise InvalidAnswer("The origin's answer is not HTTP.")
    headers = read_lines(block[first.end() : -2])
    status = int(first[2])
    if status < 200:
        if status == 101:
            raise InvalidAnswer("The origin changes the protocol, which nobody asked for.")
        return None
    return _with_framing(status, headers, is_head=is_head, is_old=first[1] == b"0")


def read_lines(lines: bytes) -> Headers:
    """Header lines, each with its end. Raises InvalidAnswer."""
    if not _LINES.fullmatch(lines):
        raise InvalidAnswer("The origin's answer has an invalid header.")
    return tuple([(name, value.strip(b" \t")) for name, value in _LINE.findall(lines)])


def _with_framing(status: int, headers: Headers, *, is_head: bool, is_old: bool) -> Head:
    lengths, codings, options, stays = [], [], b"", float("inf")
    for name, value in headers:
        match name.lower():
            case b"content-length":
                lengths.append(value)
            case b"transfer-encoding":
                codings.append(value.lower())
            case b"connection":
                options += b"," + value.lower()
            case b"keep-alive":
                stays = _announced(value)
    framing, length = _framing(lengths, codings, is_old=is_old)
    if is_head or status in (204, 304):
        framing, length = Framing.NONE, 0
    if framing is Framing.CLOSE or not _is_kept(options, is_old=is_old):
        stays = 0.0
    return Head(status, headers, framing, length, stays)


def _framing(lengths: list[bytes], codings: list[bytes], *, is_old: bool) -> tuple[Framing, int]:
    """RFC 9112, section 6.3, and strictly: what two readers could read differently is refused."""
    if codings:
        if lengths or codings != [b"chunked"] or is_old:
            raise InvalidAnswer("The length of the origin's answer is not clear.")
        return Framing.CHUNKED, 0
    if not lengths:
        return Framing.CLOSE, 0
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
