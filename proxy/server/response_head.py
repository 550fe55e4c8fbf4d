"""The head of a response as bytes: whole, and in pieces that stay the same from one second to the next.

Owns: how a head is written. Must not know: which headers a response has, connections.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from proxy.core.lines import WITHOUT_BODY, begin_of, lines_of
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
    length = _length(reply, head_only=head_only)
    return HeadPieces(begin_of(reply.status, before), lines_of(behind), lines_of(length) + b"\r\n")


def render_head(reply: Reply, headers: list[tuple[str, str]], *, head_only: bool, closes: bool = False) -> bytes:
    """The head of an answer as aiohttp writes it: status line, our headers, Content-Length, Connection."""
    last = (("Connection", "close"),) if closes else ()
    return begin_of(reply.status, (*headers, *_length(reply, head_only=head_only), *last)) + b"\r\n"


def _length(reply: Reply, *, head_only: bool) -> tuple[tuple[str, str], ...]:
    has_length = reply.body or (reply.status not in WITHOUT_BODY and not head_only)
    return (("Content-Length", str(len(reply.body))),) if has_length else ()
