"""The head of a response as bytes: whole, and in pieces that stay the same from one second to the next.

Owns: how a head is written. Must not know: which headers a response has, connections.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

from msgspec import Struct

from proxy.core.reply import Reply


class HeadPieces(Struct, frozen=True):
    """The pieces of a response's head that neither the time nor the used weight change."""

    begin: bytes
    """From the status line on to the headers that change with the time."""
    middle: bytes
    """The reply's other headers. Behind them are those that all responses have."""
    end: bytes
    """Content-Length and the empty line."""

    def head(self, ages: Iterable[tuple[str, str]], beside: bytes) -> bytes:
        """The whole head with the reply's headers that change with the time, and the lines that all responses have."""
        return b"".join((self.begin, lines_of(ages), self.middle, beside, self.end))


def head_pieces(reply: Reply, ages: tuple[tuple[str, str], ...], *, head_only: bool) -> HeadPieces:
    """The pieces of the head of a reply with these `ages`, which follow each other among its headers."""
    place = reply.headers.index(ages[0])
    before, behind = reply.headers[:place], reply.headers[place + len(ages) :]
    begin = f"{status_line(reply.status)}\r\n".encode() + lines_of(before)
    length = _length(reply, head_only=head_only)
    return HeadPieces(begin, lines_of(behind), lines_of(length) + b"\r\n")


def render_head(reply: Reply, headers: list[tuple[str, str]], *, head_only: bool, closes: bool = False) -> bytes:
    """The head of an answer as aiohttp writes it: status line, our headers, Content-Length, Connection."""
    lines = [status_line(reply.status)]
    lines += [f"{name}: {value}" for name, value in (*headers, *_length(reply, head_only=head_only))]
    if closes:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def lines_of(headers: Iterable[tuple[str, str]]) -> bytes:
    """Headers as lines, each with its end."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers]).encode()


def _length(reply: Reply, *, head_only: bool) -> tuple[tuple[str, str], ...]:
    has_length = reply.body or (reply.status not in (204, 304) and not head_only)
    return (("Content-Length", str(len(reply.body))),) if has_length else ()


@lru_cache(maxsize=64)
def status_line(status: int) -> str:
    """A status that has no phrase has an empty one."""
    phrases = {known.value: known.phrase for known in HTTPStatus}
    return f"HTTP/1.1 {status} {phrases.get(status, '')}"
