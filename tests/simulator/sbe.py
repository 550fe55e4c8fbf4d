"""Small binary answers (Simple Binary Encoding): enough to tell one from another, not the origin's schema.

Owns the negotiation by Accept and X-MBX-SBE, the life cycle of the schemas and the message header. Must not know HTTP
or the document. Source: Binance's API documents.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

CONTENT_TYPE = "application/sbe"
_SCHEMA = re.compile(r"(\d{1,5}):(\d{1,5})")
_SCHEMA_ID = 3
_VERSIONS = range(3, 6)
"""Of schema 3; those before are retired."""
_LATEST = 5
_JSON = frozenset(("application/json", "application/*", "*/*"))


class Template(Enum):
    """The message's kind, the second number of its header."""

    ERROR = 100
    PING = 101
    TIME = 102
    EXCHANGE_INFO = 103
    EXECUTION_RULES = 104
    OTHER = 200  # of no fixed layout: the JSON behind the header


class Switch(Enum):
    """What may be wrong with binary answers in general. The value is the status, the code and the text."""

    OFF = (406, -1155, "SBE is not enabled.")
    OLD_SCHEMA = (400, -1161, "The SBE schema is too old for this answer.")


INVALID = (400, -1152, "Invalid `X-MBX-SBE` header; expected `<SCHEMA_ID>:<VERSION>`.")
UNSUPPORTED = (400, -1153, "Unsupported SBE schema ID or version specified in the `X-MBX-SBE` header.")


@dataclass(frozen=True, slots=True)
class Schema:
    """Binary is wanted. `refusal` is status, code and text if it cannot be had and JSON is not accepted."""

    version: int
    refusal: tuple[int, int, str] | None = None

    @property
    def is_good(self) -> bool:
        """Whether the answer can be binary."""
        return self.refusal is None

    @property
    def is_deprecated(self) -> bool:
        """Whether the answer announces the end of this version in X-MBX-SBE-DEPRECATED."""
        return self.is_good and self.version < _LATEST


def negotiate(accept: str | None, header: str | None, *, switch: Switch | None = None) -> Schema | None:
    """Whether the answer is binary: None means JSON."""
    types = {part.partition(";")[0].strip().lower() for part in (accept or "").split(",")}
    if CONTENT_TYPE not in types:
        return None
    found = _SCHEMA.fullmatch(header or "")
    refusal = _refusal(found, switch)
    if found and refusal is None:
        return Schema(int(found[2]))
    return None if types & _JSON else Schema(0, refusal)


def _refusal(found: re.Match[str] | None, switch: Switch | None) -> tuple[int, int, str] | None:
    if switch is not None:
        return switch.value
    if found is None:
        return INVALID
    return None if int(found[1]) == _SCHEMA_ID and int(found[2]) in _VERSIONS else UNSUPPORTED


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
