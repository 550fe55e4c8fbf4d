"""The values that travel through the gateway, and how they look on the wire.

Owns: ClientRequest, OriginResponse, Entry, Outcome, Reply; the rendering of Age, Cache-Status and errors.
Must not know: how a request arrives, where an entry is kept, when a decision is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRequest:
    """What a client asked, as far as it matters: header values as sent, None where absent."""

    method: str
    path: str
    raw_query: str = ""
    """The query as it stood in the request line, still percent-encoded, without the question mark."""
    accept: str | None = None
    accept_encoding: str | None = None
    if_none_match: str | None = None
    time_unit: str | None = None
    """X-MBX-TIME-UNIT."""
    sbe_schema: str | None = None
    """X-MBX-SBE."""
    client: str = ""
    """Who asks: the X-Sidecar-Client header, else the peer's address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginResponse:
    """A complete answer of the origin. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """Decoded: identity."""
    gzip: bytes | None = None
    """The same body as the origin compressed it, if it did."""
    sent_at: float
    """Wall time just before the request was sent, in seconds since the epoch."""
    received_at: float
    """Wall time at which the head of the answer arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long an entry serves, in seconds (RFC 9111 section 4.2, RFC 5861)."""

    fresh_seconds: float
    stale_while_revalidate_seconds: float = 0.0
    """After fresh."""
    stale_if_error_seconds: float = 0.0
    """After fresh."""

    @property
    def horizon_seconds(self) -> float:
        """The age past which an entry is of no use whatever happens."""
        return self.fresh_seconds + max(self.stale_while_revalidate_seconds, self.stale_if_error_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A stored answer of the origin: proven good, or one of its own 400s kept for a short while."""

    status: int
    content_type: str
    body: bytes
    """Identity."""
    gzip: bytes | None
    """The compressed variant; None where compression does not pay."""
    etag: str
    """Opaque, without quotes: names the identity body."""
    stored_at: float
    """When the origin's answer arrived, in seconds since the epoch by the origin's clock, which all replicas share."""
    lifetimes: Lifetimes

    def age(self, now: float) -> float:
        """Seconds since the answer arrived; never negative, whatever another replica's clock said."""
        return max(0.0, now - self.stored_at)

    @property
    def size_bytes(self) -> int:
        """What the entry takes in memory, in bytes, near enough."""
        return len(self.body) + len(self.gzip or b"") + 1024
