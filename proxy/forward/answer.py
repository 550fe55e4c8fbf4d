"""Answers, one after the other, from the bytes as they come in any pieces.

Owns: the order of heads and body, the bounds on heads. Must not know: sockets, deadlines, what an answer means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from proxy.forward.body import TOO_LARGE, ChunkedBody, PlainBody
from proxy.forward.head import MAX_HEAD_BYTES, Framing, Head, InvalidAnswer, read_head
from proxy.forward.known_heads import KnownHeads

_MOST_INTERIM_ANSWERS = 16


class RawResponse(Struct, frozen=True):
    """One complete answer."""

    head: Head
    body: bytes
    """Without the framing of the transfer, and not decompressed."""
    received_at: float
    """When the head had come, by the wall clock: seconds since the epoch."""
    has_surplus: bool = False
    """Whether more came than the answer: the origin and we do not agree on where it ends."""

    @property
    def status(self) -> int:
        """Of the status line."""
        return self.head.status

    @property
    def texts(self) -> Mapping[str, str]:
        """The headers, with names in lower case; of equal names the last one counts."""
        return self.head.texts


class AnswerReader(Struct, eq=False, kw_only=True):
    """Reads the answers that come on one connection. Each complete one leaves it as it was before."""

    max_body_bytes: int
    wall: Callable[[], float]
    """Tells when a head has come."""
    known: KnownHeads
    """Heads of the same origin."""
    head: Head | None = None
    """Of an answer that is not complete, once it has come."""
    _is_usual: bool = True
    """Whether nothing has come of the answer, and it may have a body."""
    _has_no_body: bool = False
    _received_at: float = 0.0
    _interim: int = 0
    _pending: bytes = b""
    _body: PlainBody | ChunkedBody | None = None

    def expect_no_body(self) -> None:
        """The next answer is one to HEAD or CONNECT."""
        self._is_usual, self._has_no_body = False, True

    def feed(self, data: bytes) -> RawResponse | None:
        """Take what came; the answer, once it is complete. Raises InvalidAnswer."""
        if not self._is_usual:
            return self._feed_part(data)
        head = self.known.read(data)
        if head is None:
            return self._feed_part(data)
        body = data[head.size_bytes :]
        if len(body) == head.length <= self.max_body_bytes:
            wall = self.wall
            return RawResponse(head, body, wall())
        return self._feed_body(self._begin_body(head), body)

    def end(self) -> RawResponse | None:
        """The connection has ended; the answer, if that completes it."""
        body = self._body
        return self._complete(body) if body is not None and body.end() else None

    def _feed_part(self, data: bytes) -> RawResponse | None:
        """Take what may be a part of an answer."""
        self._is_usual = False
        if self._body is not None:
            return self._feed_body(self._body, data)
        if self._pending:
            data, self._pending = self._pending + data, b""
        while (end := data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) + 4) > 3:
            block, data = data[:end], data[end:]
            head = read_head(block, is_head=self._has_no_body)
            if head is not None:
                if not self._has_no_body:
                    self.known.learn(block, head)
                return self._feed_body(self._begin_body(head), data)
            self._interim += 1
            if self._interim > _MOST_INTERIM_ANSWERS:
                raise InvalidAnswer("The origin sends interim answers without end.")
        if len(data) >= MAX_HEAD_BYTES:
            raise InvalidAnswer("The head of the origin's answer is too large.")
        if not b"HTTP/1.".startswith(data[:7]):
            raise InvalidAnswer("The origin's answer is not HTTP.")
        self._pending = data
        return None

    def _begin_body(self, head: Head) -> PlainBody | ChunkedBody:
        self.head, self._received_at, self._is_usual = head, self.wall(), False
        if head.length > self.max_body_bytes:
            raise InvalidAnswer(TOO_LARGE)
        if head.framing is Framing.CHUNKED:
            self._body = ChunkedBody(self.max_body_bytes)
        else:
            self._body = PlainBody(None if head.framing is Framing.CLOSE else head.length, self.max_body_bytes)
        return self._body

    def _feed_body(self, body: PlainBody | ChunkedBody, data: bytes) -> RawResponse | None:
        return self._complete(body) if body.feed(data) else None

    def _complete(self, body: PlainBody | ChunkedBody) -> RawResponse:
        """The answer. What was kept of it is forgotten."""
        head, self.head, self._body = self.head, None, None
        assert head is not None  # the body follows it
        self._interim, self._has_no_body, self._is_usual = 0, False, True
        return RawResponse(head, body.content(), self._received_at, body.has_surplus)
