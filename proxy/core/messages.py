"""The values that pass through the gateway.

Owns: ClientRequest, OriginResponse, Lifetimes and Entry. Must not know: how a request arrives, where an entry is
stored, what is decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from msgspec import Struct

from proxy.errors import JSON_CONTENT_TYPE

UNKNOWN_CONTENT_TYPE = "application/octet-stream"
_LONGEST_AGE_SECONDS = 2**31
"""What a recipient assumes of a larger Age (RFC 9111, section 1.2.2)."""
_AGE_DIGITS = 12
"""The first digits decide: a number with more of them is larger than the longest age, unless it begins with zeros."""


Pairs = tuple[tuple[str, str], ...]
"""Names and values of headers."""


class SentHeaders(Struct, frozen=True, eq=False):
    """The headers that are sent on with a keyed request: one object for all requests that differ in the key alone."""

    pairs: Pairs = ()
    """Names and values, as sent."""
    key_at: int | None = None
    """Which of them is the API key, if it is kept apart: its value is empty here."""

    def all(self, api_key: str) -> Pairs:
        """All of them in their order. A name that came twice goes on twice: what that means the origin decides."""
        pairs, at = self.pairs, self.key_at
        return pairs if at is None else (*pairs[:at], (pairs[at][0], api_key), *pairs[at + 1 :])


NO_HEADERS = SentHeaders()


class ClientRequest(Struct, frozen=True, kw_only=True):
    """The parts of a client's request that matter here. Header values are as sent; None if absent."""

    method: str
    path: str
    host: str = ""
    """The host that the client named, in lower case and without a port. Empty where the path tells the API."""
    raw_query: str = ""
    """The query of the request line, still percent-encoded, without the question mark."""
    accept: str | None = None
    accept_encoding: str | None = None
    if_none_match: str | None = None
    time_unit: str | None = None
    """X-MBX-TIME-UNIT."""
    sbe_schema: str | None = None
    """X-MBX-SBE."""
    client: str = ""
    """The X-Sidecar-Client header, else the peer's address."""
    target: str = ""
    """Path and query of the request line, as sent; empty where they are not sent on as they came."""
    sent: SentHeaders = NO_HEADERS
    """The headers that are sent on with a keyed request."""
    api_key: str = ""
    """The value that `sent` lacks."""
    body: bytes = b""
    """The body as sent, without its framing."""
    content_type: str = ""
    """That of the body; empty for one in a coding, which nobody here reads."""


class OriginResponse(Struct, frozen=True, kw_only=True):
    """A complete answer of the origin. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """Decoded (identity coding)."""
    gzip: bytes | None = None
    """The same body as compressed by the origin; None if it was not."""
    sent_at: float
    """Wall time just before the request was sent, in seconds since the epoch."""
    received_at: float
    """Wall time at which the headers of the answer arrived."""

    @property
    def content_type(self) -> str:
        """The Content-Type; JSON for a body that has none, empty for no body that has none.

        One that is empty or may not be sent again is that of bytes that nobody knows.
        """
        return content_type_of(self.headers.get("content-type"), has_body=bool(self.body))


@lru_cache(maxsize=64)
def content_type_of(told: str | None, *, has_body: bool) -> str:
    """`OriginResponse.content_type`, by what the header tells; None: there is none."""
    if told is None:
        return JSON_CONTENT_TYPE if has_body else ""
    text = notice(told.replace("\t", " "))
    return text or UNKNOWN_CONTENT_TYPE


FUTURE_SECONDS = 2.0
"""How far the clocks of two replicas may be apart."""


def is_from_future(stored_at: float, now: float) -> bool:
    """Whether a clock must have been ahead when an entry was stored. Both in seconds since the epoch."""
    return stored_at > now + FUTURE_SECONDS


def notice(value: str | None) -> str | None:
    """A header value that may be stored and sent again; None if it is absent or not printable ASCII."""
    return value if value is not None and value.isascii() and value.isprintable() else None


def arrived_age_seconds(headers: Mapping[str, str]) -> int:
    """The Age header of an answer (names in lower case); 0 if there is none that can be read."""
    age = headers.get("age", "")
    if not (age.isascii() and age.isdigit()):
        return 0
    return min(int(age[:_AGE_DIGITS]), _LONGEST_AGE_SECONDS)


class Lifetimes(Struct, frozen=True, kw_only=True):
    """How long an entry may be used, in seconds (RFC 9111, section 4.2; RFC 5861)."""

    fresh_seconds: float
    stale_while_revalidate_seconds: float = 0.0
    """Counted from the end of freshness."""
    stale_if_error_seconds: float = 0.0
    """Counted from the end of freshness."""

    @property
    def horizon_seconds(self) -> float:
        """The age from which an entry is never used."""
        return self.fresh_seconds + max(self.stale_while_revalidate_seconds, self.stale_if_error_seconds)

    @property
    def unknown_age_seconds(self) -> float:
        """The age that is assumed where nobody knows it: stale, so that a fill comes first where the times allow it."""
        is_kept_for_errors = self.stale_if_error_seconds > self.stale_while_revalidate_seconds
        return self.fresh_seconds + (self.stale_while_revalidate_seconds if is_kept_for_errors else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A stored answer of the origin: a valid 200, or an error answer (4xx) that is stored for a short time."""

    status: int
    content_type: str
    body: bytes
    """Identity coding."""
    gzip: bytes | None
    """The compressed variant; None if compression saves nothing."""
    etag: str
    """Identifies the identity body. Without quotes. After a dot comes the body's serverTime, if it has one."""
    stored_at: float
    """When the origin's answer arrived, in seconds since the epoch by the origin's clock."""
    lifetimes: Lifetimes
    arrived_age_seconds: int = 0
    """How old the answer was when it arrived: the Age of a cache between the origin and us. Ours is added to it."""
    sbe_deprecated: str | None = None
    """X-MBX-SBE-DEPRECATED, the origin's only notice before it retires an SBE schema; None if absent."""

    def age(self, now: float) -> float:
        """Seconds since the answer arrived. Never negative, even if another replica's clock was a little ahead.

        An entry from the future was stored while a clock was wrong: nobody knows its age, and it is stale.
        """
        if is_from_future(self.stored_at, now):
            return self.lifetimes.unknown_age_seconds
        return max(0.0, now - self.stored_at)

    @property
    def validator(self) -> str:
        """The etag without the time: two bodies that differ in nothing else have the same one."""
        return self.etag.partition(".")[0]

    @property
    def size_bytes(self) -> int:
        """About how much memory the entry takes, in bytes."""
        return len(self.body) + len(self.gzip or b"") + 1024
