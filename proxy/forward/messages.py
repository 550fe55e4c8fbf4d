"""What the raw client sends and gives back.

Owns: `RawRequest`, `RawResponse`, header lines as text. Must not know: sockets, framing, who asks.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

Headers = tuple[tuple[bytes, bytes], ...]
"""Name and value of each line, in order. A name may stand twice."""


class RawRequest(Struct, frozen=True):
    """One request, as its bytes go out."""

    method: str
    target: bytes
    """The request line's target in origin form: path and query."""
    headers: Headers
    """Without Host, Content-Length, Connection and Transfer-Encoding, which the client writes."""
    body: bytes = b""


class RawResponse(Struct, frozen=True):
    """One complete answer."""

    status: int
    headers: Headers
    """As received; only the white space around values is gone."""
    texts: Mapping[str, str]
    """The same with names in lower case; of equal names the last one counts."""
    body: bytes
    """Without the framing of the transfer, and not decompressed."""
    received_at: float
    """When the head had come, by the wall clock: seconds since the epoch."""
