"""One remembered response: what its bytes are made from, and until when they are right.

Owns: its fields. Must not know: the table that has it, connections, how bytes are made.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from proxy.core.reply import Rendition
from proxy.server.large_bodies import BodyFile
from proxy.server.response_head import HeadPieces


class Usage(Protocol):
    """The used weight of a pool."""

    version: int
    """Changes whenever the used weight does."""


class Tally(Protocol):
    """Counts the answers with the same labels."""

    count: int


class RememberedResponse(Struct):
    """The response to one remembered request, and its bytes for the present second."""

    rendition: Rendition
    head_only: bool
    tally: Tally
    usage: Usage
    """Of the pool whose used weight it tells."""
    size_bytes: int
    """Its own bytes, without the entry, which other responses share."""
    learned_at: float
    """By the wall clock, like all times here."""
    pieces: HeadPieces | None = None
    """What stays of its head; None until it is rendered."""
    has_body: bool = False
    wire: bytes = b""
    """The head, followed by the body if that is small."""
    body: bytes = b""
    """The body, if it is written separately."""
    file: BodyFile | None = None
    """The same, if it has a file."""
    good_from: float = 0.0
    good_until: float = -1.0
    offset_seconds: float = 0.0
    entries_version: int = -1
    """The version of the entries when its own entry was last found among them."""
    usage_version: int = -1
    """The version of the used weight in the bytes."""
