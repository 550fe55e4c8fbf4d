"""The bodies of answers, from the bytes as they come in any pieces.

Owns: the decoding of the transfer's framing, the bounds on a body. Must not know: heads, sockets, what an answer means.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.forward.head import MAX_HEAD_BYTES, InvalidAnswer, read_lines

_MAX_CHUNK_LINE_BYTES = 1 << 10
_PART_BYTES = 1 << 16
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
TOO_LARGE = "The origin's answer is too large."
_LONG_LINE = "A line in the origin's answer is too long."
_BAD_CHUNK = "A chunk of the origin's answer is invalid."


class _Parts:
    """A body that grows. Small pieces are joined at once: each kept by itself would take many times its size."""

    __slots__ = ("_parts", "_tail", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._tail = bytearray()
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        self._tail += piece
        if len(self._tail) >= _PART_BYTES:
            self._parts.append(bytes(self._tail))
            self._tail.clear()

    def join(self) -> bytes:
        return b"".join((*self._parts, self._tail))


class PlainBody:
    """A body of a length that is known, or (None) one that the connection's end delimits."""

    __slots__ = ("_length", "_max_bytes", "_parts", "_whole", "has_surplus")

    def __init__(self, length: int | None, max_bytes: int) -> None:
        self._length = length
        self._max_bytes = max_bytes
        self._whole = b""
        self._parts: _Parts | None = None
        self.has_surplus = False

    def feed(self, data: bytes) -> bool:
        """Take a piece; whether the body is complete."""
        length = self._length
        if self._parts is None:
            if length is not None and len(data) >= length:
                self.has_surplus = len(data) > length
                self._whole = data[:length]
                return True
            self._parts = _Parts()
        left = (self._max_bytes if length is None else length) - self._parts.size
        if length is None and len(data) > left:
            raise InvalidAnswer(TOO_LARGE)
        self.has_surplus = len(data) > left
        self._parts.add(data[:left] if self.has_surplus else data)
        return length is not None and len(data) >= left

    def end(self) -> bool:
        """Whether the end of the connection completes the body."""
        return self._length is None

    def content(self) -> bytes:
        """The body."""
        return self._whole if self._parts is None else self._parts.join()


class ChunkedBody:
    """A body in chunks (RFC 9112, section 7.1). Extensions and trailers are read and dropped.

    A piece of 64 KiB may hold ten thousand chunks of one byte: whole chunks are read in one tight loop.
    """

    __slots__ = ("_content", "_left", "_max_bytes", "_pending", "_step", "_trailer_bytes", "has_surplus")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pending = b""
        self._content = _Parts()
        self._left = 0
        """Of the chunk that is being read."""
        self._trailer_bytes = 0
        self._step: Callable[[bytes, int], int] | None = self._sizes
        self.has_surplus = False

    def feed(self, data: bytes) -> bool:
        """Take a piece; whether the body is complete."""
        data = self._pending + data if self._pending else data
        position, before = 0, -1
        while self._step is not None and position > before:
            before, step = position, self._step
            position = step(data, position)
            if self._step != step:
                before = -1  # the next step may begin where this one stood still
        self._pending = data[position:]
        self.has_surplus = self._step is None and bool(self._pending)
        return self._step is None

    def end(self) -> bool:
        """The end of the connection never completes it."""
        return False

    def content(self) -> bytes:
        """The body."""
        return self._content.join()

    # --- Each step takes what it can of the bytes from a position on, and returns the position behind that.

    def _sizes(self, data: bytes, position: int) -> int:
        """Chunks that are there as a whole, up to the size of the first that is not."""
        while line := _CHUNK.match(data, position):
            start, size = line.end(), int(line[1], 16)
            if start - position > _MAX_CHUNK_LINE_BYTES:
                raise InvalidAnswer(_LONG_LINE)
            if self._content.size + size > self._max_bytes:
                raise InvalidAnswer(TOO_LARGE)
            end = start + size
            if not size or data[end : end + 2] != b"\r\n":
                self._left, self._step = size, self._data if size else self._trailers
                return start
            self._content.add(data[start:end])
            position = end + 2
        if data.find(b"\r\n", position) >= 0:
            raise InvalidAnswer(_BAD_CHUNK)
        if len(data) - position >= _MAX_CHUNK_LINE_BYTES:
            raise InvalidAnswer(_LONG_LINE)
        return position

    def _data(self, data: bytes, position: int) -> int:
        """The rest of one chunk."""
        part = data[position : position + self._left]
        self._content.add(part)
        self._left -= len(part)
        if not self._left:
            self._step = self._data_end
        return position + len(part)

    def _data_end(self, data: bytes, position: int) -> int:
        found = data[position : position + 2]
        if not b"\r\n".startswith(found):
            raise InvalidAnswer(_BAD_CHUNK)
        if len(found) < 2:
            return position
        self._step = self._sizes
        return position + 2

    def _trailers(self, data: bytes, position: int) -> int:
        """The lines after the last chunk, which mean nothing to us."""
        while (end := data.find(b"\r\n", position) + 2) > 1:
            self._trailer_bytes += end - position
            if self._trailer_bytes > MAX_HEAD_BYTES:
                break
            if end == position + 2:
                self._step = None
                return end
            read_lines([data[position : end - 2]])
            position = end
        if self._trailer_bytes + len(data) - position >= MAX_HEAD_BYTES:
            raise InvalidAnswer(_LONG_LINE)
        return position
