"""The heads of answers that differ from an earlier one in some values only.

Owns: which heads are remembered, and the reading of others like one of them. Must not know: sockets, bodies, what a
header means.

An origin answers nearly all requests with the same lines in the same order; a date, an id, a count and a length change.
What stays is compared as a few pieces of bytes. Whatever decides about the framing or the connection must stay, but for
the length, so a head that is read here is read like `read_head` would. All others go through `read_head`.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.forward.head import ABOUT_FRAMING, Framing, Head

MOST_SHAPES = 8
_MOST_BYTES = 2048
"""Longer heads are not remembered."""
_MOST_VALUE_BYTES = 256
"""A head with a longer value that changes is not read here."""
_MOST_DIGITS = 18
_LENGTH = "content-length"


class _Shape(Struct, frozen=True, eq=False):
    """Heads that differ in some values only."""

    lines: tuple[bytes, ...]
    """What they have in common, each line by itself: all of it, or what is before the value."""
    like: Head
    """One of them."""
    start: bytes
    """What comes before the first value that changes, and a space."""
    rest: tuple[tuple[str, bytes], ...]
    """For each of these values its name in lower case, and what comes behind it up to the next."""
    texts: dict[str, str]
    """The headers of that one, with names in lower case."""


class KnownHeads:
    """The shapes that came last. All connections of a client share them."""

    __slots__ = ("_shapes",)

    def __init__(self) -> None:
        self._shapes: list[_Shape] = []
        """The one that fitted last is the first."""

    def read(self, data: bytes) -> Head | None:
        """The head that `data` begins with, if one like it was learned."""
        for shape in self._shapes:
            at = len(shape.start)
            if data[:at] != shape.start:
                continue
            like, texts = shape.like, shape.texts.copy()
            length = like.length
            for name, behind in shape.rest:
                end = data.find(b"\r\n", at, at + _MOST_VALUE_BYTES)
                stop = end + len(behind)
                value = data[at:end].decode("latin-1")
                # Without white space around it: what is printable is a value.
                if end <= at or data[end:stop] != behind or not value.isprintable() or " " in (value[0], value[-1]):
                    break
                if name == _LENGTH:
                    if not value.isdecimal() or end - at > _MOST_DIGITS:
                        break
                    length = int(value)
                texts[name], at = value, stop
            else:
                if shape is not self._shapes[0]:
                    self._shapes.remove(shape)
                    self._shapes.insert(0, shape)
                return Head(like.status, data[:at], texts, like.framing, length, like.stays_seconds)
        return None

    def learn(self, head: Head) -> None:
        """Remember a head that `read` did not know."""
        if len(head.block) > _MOST_BYTES or head.framing not in (Framing.LENGTH, Framing.CHUNKED):
            return
        lines = head.block[:-4].split(b"\r\n")
        if len(head.texts) < len(lines) - 1:
            return  # a name stands twice: which value counts is not decided here
        common = (lines[0], *map(_common, lines[1:]))
        known = next((shape for shape in self._shapes if shape.lines == common), None)
        if known is not None:
            self._shapes.remove(known)
        before = head if known is None else known.like
        changing = {} if known is None else dict(known.rest)
        names = [name for name, text in head.texts.items() if name in changing or text != before.texts[name]]
        self._shapes = [_shape(head, common, {*names, _LENGTH}), *self._shapes[: MOST_SHAPES - 1]]


def _common(line: bytes) -> bytes:
    """All of a line that must not change, else what is before its value."""
    name, colon, _ = line.partition(b":")
    lower = name.lower()
    return line if lower in ABOUT_FRAMING and lower != b"content-length" else name + colon


def _shape(head: Head, common: tuple[bytes, ...], changing: set[str]) -> _Shape:
    """The shape of heads like this one, whose values with these names change."""
    pieces, names = [common[0]], []
    for line, shared in zip(head.block[:-4].split(b"\r\n")[1:], common[1:], strict=True):
        name = shared.partition(b":")[0].decode("ascii").lower()
        if name in changing:
            pieces[-1] += b"\r\n" + shared + b" "
            names.append(name)
            pieces.append(b"")
        else:
            pieces[-1] += b"\r\n" + line
    pieces[-1] += b"\r\n\r\n"
    return _Shape(common, head, pieces[0], tuple(zip(names, pieces[1:], strict=True)), dict(head.texts))
