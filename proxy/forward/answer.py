"""One answer, from the bytes as they come in any pieces.

Owns: the order of heads and body, the decoding of the transfer's framing, every bound on what is kept. Must not know:
sockets, deadlines, what an answer means.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.forward.head import MAX_HEAD_BYTES, Framing, Head, InvalidAnswer, read_head, read_lines
from proxy.forward.messages import RawResponse

_MOST_INTERIM_ANSWERS = 16
_MAX_CHUNK_LINE_BYTES = 1 << 10
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
_TOO_LARGE = "The origin's answer is too large."


class AnswerReader:
    """Reads one answer.

    `has_no_body`: for HEAD and CONNECT. `wall` tells when the head has come.
    """

    __slots__ = ("_body", "_has_no_body", "_interim", "_max_body_bytes", "_pending", "_wall", "head", "received_at")

    def __init__(self, *, has_no_body: bool, max_body_bytes: int, wall: Callable[[], float]) -> None:
        self._has_no_body = has_no_body
        self._max_body_bytes = max_body_bytes
        self._wall = wall
        self._interim = 0
        self._pending = bytearray()
        self._body: _Plain | _Chunked | None = None
        self.head: Head | None = None
        self.received_at = 0.0

    def feed(self, data: bytes) -> bool:
        """Take what came; whether the answer is complete. Raises InvalidAnswer."""
        body = self._body
        if body is None:
            rest = self._feed_head(data)
            if rest is None:
                return False
            body, data = self._begin_body(), rest
        return body.feed(data)

    def end(self) -> bool:
        """The connection has ended; whether the answer is complete."""
        return self._body is not None and self._body.end()

    @property
    def has_surplus(self) -> bool:
        """Whether more came than the answer: the origin and we do not agree on where it ends."""
        return self._body is not None and self._body.has_surplus

    def response(self) -> RawResponse:
        """The complete answer."""
        assert self.head is not None
        assert self._body is not None
        return RawResponse(self.head.status, self.head.headers, self._body.content(), self.received_at)

    def _feed_head(self, data: bytes) -> bytes | None:
        """Read heads until the final one; what follows it, or None while it is not complete."""
        if self._pending:
            self._pending += data
            data = bytes(self._pending)
            self._pending.clear()
        while (end := data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) + 4) > 3:
            head = read_head(data[:end], is_head=self._has_no_body)
            if head is not None:
                self.head = head
                self.received_at = self._wall()
                return data[end:]
            self._interim += 1
            if self._interim > _MOST_INTERIM_ANSWERS:
                raise InvalidAnswer("The origin sends interim answers without end.")
            data = data[end:]
        if len(data) >= MAX_HEAD_BYTES:
            raise InvalidAnswer("The head of the origin's answer is too large.")
        if not b"HTTP/1.".startswith(data[:7]):
            raise InvalidAnswer("The origin's answer is not HTTP.")
        self._pending += data
        return None

    def _begin_body(self) -> _Plain | _Chunked:
        head = self.head
        assert head is not None
        if head.length > self._max_body_bytes:
            raise InvalidAnswer(_TOO_LARGE)
        if head.framing is Framing.CHUNKED:
            self._body = _Chunked(self._max_body_bytes)
        else:
            length = None if head.framing is Framing.CLOSE else head.length
            self._body = _Plain(length, self._max_body_bytes)
        return self._body


class _Plain:
    """A body of a length that is known, or (None) one that the connection's end delimits."""

    __slots__ = ("_length", "_max_bytes", "_parts", "_whole", "has_surplus")

    def __init__(self, length: int | None, max_bytes: int) -> None:
        self._length = length
        self._max_bytes = max_bytes
        self._whole = b""
        self._parts: bytearray | None = None
        self.has_surplus = False

    def feed(self, data: bytes) -> bool:
        """Take a piece; whether the body is complete."""
        length = self._length
        if self._parts is None and length is not None and len(data) >= length:
            self.has_surplus = len(data) > length
            self._whole = data[:length]
            return True
        if self._parts is None:
            self._parts = bytearray()
        self._parts += data
        if length is None:
            if len(self._parts) > self._max_bytes:
                raise InvalidAnswer(_TOO_LARGE)
            return False
        if len(self._parts) > length:
            self.has_surplus = True
            del self._parts[length:]
        return len(self._parts) == length

    def end(self) -> bool:
        """Whether the end of the connection completes the body."""
        return self._length is None

    def content(self) -> bytes:
        """The body."""
        return self._whole if self._parts is None else bytes(self._parts)


class _Chunked:
    """A body in chunks (RFC 9112, section 7.1). Extensions and trailers are read and dropped."""

    __slots__ = ("_content", "_left", "_max_bytes", "_pending", "_step", "_trailer_bytes", "has_surplus")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pending = bytearray()
        self._content = bytearray()
        self._left = 0
        self._trailer_bytes = 0
        self._step: Callable[[], bool] | None = self._size
        self.has_surplus = False

    def feed(self, data: bytes) -> bool:
        """Take a piece; whether the body is complete."""
        self._pending += data
        while self._step is not None and self._step():
            pass
        self.has_surplus = self._step is None and bool(self._pending)
        return self._step is None

    def end(self) -> bool:
        """The end of the connection never completes it."""
        return False

    def content(self) -> bytes:
        """The body."""
        return bytes(self._content)

    def _line(self, max_bytes: int) -> bytes | None:
        """Take the next line, with its end; None while it is not complete."""
        end = self._pending.find(b"\r\n", 0, max_bytes) + 2
        if end < 2:
            if len(self._pending) >= max_bytes:
                raise InvalidAnswer("A line in the origin's answer is too long.")
            return None
        line = bytes(self._pending[:end])
        del self._pending[:end]
        return line

    def _size(self) -> bool:
        line = self._line(_MAX_CHUNK_LINE_BYTES)
        if line is None:
            return False
        size = _CHUNK.fullmatch(line)
        if size is None:
            raise InvalidAnswer("A chunk of the origin's answer is invalid.")
        self._left = int(size[1], 16)
        if len(self._content) + self._left > self._max_bytes:
            raise InvalidAnswer(_TOO_LARGE)
        self._step = self._data if self._left else self._trailer
        return True

    def _data(self) -> bool:
        part = self._pending[: self._left]
        self._content += part
        self._left -= len(part)
        del self._pending[: len(part)]
        if self._left:
            return False
        self._step = self._data_end
        return True

    def _data_end(self) -> bool:
        if len(self._pending) < 2:
            return False
        if self._pending[:2] != b"\r\n":
            raise InvalidAnswer("A chunk of the origin's answer is invalid.")
        del self._pending[:2]
        self._step = self._size
        return True

    def _trailer(self) -> bool:
        line = self._line(MAX_HEAD_BYTES - self._trailer_bytes)
        if line is None:
            return False
        self._trailer_bytes += len(line)
        if line == b"\r\n":
            self._step = None
        else:
            read_lines([line[:-2]])
        return True
