"""What the raw client sends.

Owns: `RawRequest`, header lines as bytes. Must not know: sockets, framing, who asks.
"""

from __future__ import annotations

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
