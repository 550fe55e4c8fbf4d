"""One answer, from the bytes as they come in any pieces.

Owns: the order of heads and body, the bounds on heads. Must not know: sockets, deadlines, what an answer means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from proxy.forward.body import TOO_LARGE, ChunkedBody, PlainBody
from proxy.forward.head import MAX_HEAD_BYTES, Framing, Head, InvalidAnswer, read_head
from proxy.forward.known_heads import KnownHeads
from proxy.forward.messages import Headers

_MOST_INTERIM_ANSWERS = 16
_LENGTH = Framing.LENGTH


class RawResponse(Struct, frozen=True):
    """One complete answer."""

    head: Head
    body: bytes
    """Without the framing of the transfer, and not decompressed."""
    received_at: float
    """When the head had come, by the wall clock: seconds since the epoch."""

    @property
    def status(self) -> int:
        """Of the status line."""
        return self.head.status

    @property
    def headers(self) -> Headers:
        """As received; only the white space around values is gone."""
        return self.head.headers

    @property
    def texts(self) -> Mapping[str, str]:
        """The same with names in lower case; of equal names the last one counts."""
        return self.head.texts


class AnswerReader(Struct, eq=False, kw_only=True):
    """Reads one answer."""

    max_body_bytes: int
    wall: Callable[[], float]
    """Tells when the head has come."""
    has_no_body: bool = False
    """For an answer to HEAD and CONNECT."""
    known: KnownHeads | None = None
    """Heads of the same origin."""
    head: Head | None = None
    received_at: float = 0.0
    whole: bytes | None = None
    """The body of a complete answer that came in one piece; None: it came in several."""
    has_surplus: bool = False
    """Whether more came than the answer: the origin and we do not agree on where it ends."""
    _interim: int = 0
    _pending: bytes = b""
    _body: PlainBody | ChunkedBody | None = None

    def feed(self, data: bytes) -> bool:
        """Take what came; whether the answer is complete. Raises InvalidAnswer."""
        body = self._body
        if body is None:
            head = None if self.known is None or self._pending else self.known.read(data)
            if head is not None:
                wall = self.wall
                self.head, self.received_at = head, wall()
                rest: bytes | None = data[len(head.block) :]
            else:
                rest = self._feed_head(data)
                head = self.head
            if rest is None or head is None:
                return False
            if head.framing is _LENGTH and len(rest) == head.length <= self.max_body_bytes:
                self.whole = rest
                return True
            body, data = self._begin_body(head), rest
        is_complete = body.feed(data)
        self.has_surplus = body.has_surplus
        return is_complete

    def end(self) -> bool:
        """The connection has ended; whether the answer is complete."""
        return self._body is not None and self._body.end()

    def response(self) -> RawResponse:
        """The complete answer."""
        assert self.head is not None
        if self.whole is not None:
            return RawResponse(self.head, self.whole, self.received_at)
        assert self._body is not None
        return RawResponse(self.head, self._body.content(), self.received_at)

    def _feed_head(self, data: bytes) -> bytes | None:
        """Read heads until the final one; what follows it, or None while it is not complete."""
        if self._pending:
            data, self._pending = self._pending + data, b""
        while (end := data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) + 4) > 3:
            head = read_head(data[:end], is_head=self.has_no_body)
            if head is not None:
                if self.known is not None:
                    self.known.learn(head)
                self.head = head
                self.received_at = self.wall()
                return data[end:]
            self._interim += 1
            if self._interim > _MOST_INTERIM_ANSWERS:
                raise InvalidAnswer("The origin sends interim answers without end.")
            data = data[end:]
        if len(data) >= MAX_HEAD_BYTES:
            raise InvalidAnswer("The head of the origin's answer is too large.")
        if not b"HTTP/1.".startswith(data[:7]):
            raise InvalidAnswer("The origin's answer is not HTTP.")
        self._pending = data
        return None

    def _begin_body(self, head: Head) -> PlainBody | ChunkedBody:
        if head.length > self.max_body_bytes:
            raise InvalidAnswer(TOO_LARGE)
        if head.framing is Framing.CHUNKED:
            self._body = ChunkedBody(self.max_body_bytes)
        else:
            length = None if head.framing is Framing.CLOSE else head.length
            self._body = PlainBody(length, self.max_body_bytes)
        return self._body
