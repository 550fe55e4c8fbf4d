"""The heads of answers that differ from an earlier one in some values only.

Owns: which heads are remembered, and the reading of others like one of them. Must not know: sockets, bodies, what a
header means.

An origin answers nearly all requests with the same lines in the same order; a date, an id, a count and a length change.
One pattern reads these values, from the first byte of the head to the last of them. Whatever decides about the framing
or the connection must stay, but for the length, so a head that is read here is read like `read_head` would. All others
go through `read_head`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

from msgspec import Struct

from proxy.forward.head import ABOUT_FRAMING, Framing, Head

MOST_SHAPES = 8
_MOST_BYTES = 2048
"""Longer heads are not remembered."""
_LENGTH = "content-length"
_DIGITS = "([0-9]{1,18})"
_VALUE = "([!-~][ -~]{0,255}+(?<! ))"
"""A value that changes, if it is printable ASCII and not long. White space around it is no part of a value.

It gives nothing back of what it has taken, so a head is refused in the time that it takes to read it.
"""


class _Shape(Struct, frozen=True, eq=False):
    """Heads that differ in some values only."""

    find: Callable[[str], re.Match[str] | None]
    """Finds the values that change, in all that is before the end of the last one."""
    tail: str
    """What comes behind them, with the empty line."""
    tail_size: int
    names: tuple[str, ...]
    """The names of these values, in lower case."""
    texts: dict[str, str]
    """The headers of one such head, with names in lower case."""
    make: Callable[[int, Mapping[str, str], int], Head]
    """The head of this size, with these headers and this length of its body."""
    lines: tuple[bytes, ...]
    """What such heads have in common, each line by itself: all of it, or what is before the value."""


class KnownHeads:
    """The shapes that came last. All connections of a client share them."""

    __slots__ = ("_seen", "_shapes")

    def __init__(self) -> None:
        self._seen: dict[tuple[bytes, ...], Mapping[str, str]] = {}
        """The headers of heads that came once, by the lines that all heads like them share (`_common`)."""
        self._shapes: list[_Shape] = []
        """The one that fitted last is the first."""

    def read(self, data: bytes) -> Head | None:
        """The head that `data` begins with, if one like it was learned."""
        text, shapes = data[:_MOST_BYTES].decode("latin-1"), self._shapes
        for shape in shapes:
            find, make = shape.find, shape.make
            match = find(text)
            if match is None:
                continue
            end = match.end()
            if not text.startswith(shape.tail, end):
                continue
            if shape is not shapes[0]:
                shapes.remove(shape)
                shapes.insert(0, shape)
            texts = shape.texts.copy()
            texts.update(zip(shape.names, match.groups()))  # noqa: B905 - `strict` takes longer than all of it
            return make(end + shape.tail_size, texts, int(texts.get(_LENGTH, -1)))
        return None

    def learn(self, block: bytes, head: Head) -> None:
        """Remember a head that `read` did not know. `block`: its bytes, with the empty line.

        A pattern takes long to make: only for a head like which two have come, and if other values than before change.
        """
        if len(block) > _MOST_BYTES or head.framing not in (Framing.LENGTH, Framing.CHUNKED):
            return
        lines = block[:-4].split(b"\r\n")
        if len(head.texts) < len(lines) - 1:
            return  # a name stands twice: which value counts is not decided here
        common = (lines[0], *map(_common, lines[1:]))
        known = next((shape for shape in self._shapes if shape.lines == common), None)
        before, changing = (self._seen.pop(common, None), {_LENGTH}) if known is None else (known.texts, {*known.names})
        if before is None:
            self._seen[common] = head.texts
            if len(self._seen) > MOST_SHAPES:
                del self._seen[next(iter(self._seen))]
            return
        changed = {name for name, text in head.texts.items() if text != before[name]}
        if known is not None:
            if changed <= changing:
                return  # it is another in a way that no pattern allows
            self._shapes.remove(known)
        self._shapes = [_shape(head, lines, common, changing | changed), *self._shapes[: MOST_SHAPES - 1]]


def _common(line: bytes) -> bytes:
    """All of a line that must not change, else what is before its value."""
    name, colon, _ = line.partition(b":")
    lower = name.lower()
    return line if lower in ABOUT_FRAMING and lower != b"content-length" else name + colon


def _shape(head: Head, lines: list[bytes], common: tuple[bytes, ...], changing: set[str]) -> _Shape:
    """The shape of heads like the one with these lines, whose values with these names change."""
    names, pattern, behind = [], "", common[0]
    for line, shared in zip(lines[1:], common[1:], strict=True):
        name = shared.partition(b":")[0].decode("ascii").lower()
        if name in changing:
            names.append(name)
            before = (behind + b"\r\n" + shared + b" ").decode("latin-1")
            pattern, behind = pattern + re.escape(before) + (_DIGITS if name == _LENGTH else _VALUE), b""
        else:
            behind += b"\r\n" + line
    tail = (behind + b"\r\n\r\n").decode("latin-1")
    make = partial(Head, head.status, head.framing, head.stays_seconds)
    return _Shape(re.compile(pattern).match, tail, len(tail), tuple(names), dict(head.texts), make, common)
