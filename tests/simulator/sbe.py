"""Small binary answers (Simple Binary Encoding): enough to tell one from another, not the origin's schema.

Owns the negotiation by Accept and X-MBX-SBE and the message header. Must not know HTTP or the document.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

CONTENT_TYPE = "application/sbe"
_SCHEMA = re.compile(r"3:(\d{1,4})")
_JSON = frozenset(("application/json", "application/*", "*/*"))


class Template(Enum):
    """The message's kind, the second number of its header."""

    ERROR = 100
    PING = 101
    TIME = 102
    EXCHANGE_INFO = 103
    EXECUTION_RULES = 104
    OTHER = 200  # of no fixed layout: the JSON behind the header


@dataclass(frozen=True, slots=True)
class Schema:
    """Binary is wanted. `is_good` is False when X-MBX-SBE is missing or wrong and JSON is not accepted."""

    version: int
    is_good: bool = True


def negotiate(accept: str | None, header: str | None) -> Schema | None:
    """Whether the answer is binary: None means JSON."""
    types = {part.partition(";")[0].strip().lower() for part in (accept or "").split(",")}
    if CONTENT_TYPE not in types:
        return None
    good = _SCHEMA.fullmatch(header or "")
    if good:
        return Schema(int(good[1]))
    return None if types & _JSON else Schema(0, is_good=False)


def message(template: Template, schema: Schema, block: bytes = b"", tail: bytes = b"") -> bytes:
    """Header (block length, template, schema 3, version: four little-endian uint16), block, variable part."""
    return struct.pack("<HHHH", len(block), template.value, 3, schema.version) + block + tail


def error(schema: Schema, code: int, text: str) -> bytes:
    """Block: the code as int16. Variable part: the text with its length as uint16."""
    said = text.encode("utf-8", "replace")
    return message(Template.ERROR, schema, struct.pack("<h", code), struct.pack("<H", len(said)) + said)


def time(schema: Schema, ticks: int) -> bytes:
    """Block: the server's time as int64, in the unit asked for."""
    return message(Template.TIME, schema, struct.pack("<q", ticks))


def names(template: Template, schema: Schema, listed: Iterable[str]) -> bytes:
    """Block: the number of symbols as uint32. Variable part: each name with its length as uint8."""
    encoded = [name.encode() for name in listed]
    tail = b"".join(struct.pack("<B", len(name)) + name for name in encoded)
    return message(template, schema, struct.pack("<I", len(encoded)), tail)
