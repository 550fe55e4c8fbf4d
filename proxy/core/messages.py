"""The values that travel through the gateway, and how they look on the wire.

Owns: ClientRequest, OriginResponse, Entry, Outcome, Reply; the rendering of Age, Cache-Status and errors.
Must not know: how a request arrives, where an entry is kept, when a decision is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import orjson

from proxy.core.negotiation import matches
from proxy.errors import JSON_CONTENT_TYPE, MethodNotAllowed, Restricted, SidecarError

CACHE_NAME = "binance-sidecar"
VARY = "Accept-Encoding, Accept, X-MBX-SBE, X-MBX-TIME-UNIT"
"""The request headers that select a representation (RFC 9110, section 12.5.5)."""


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


class Outcome(Enum):
    """Where an answer came from. The value is the word in metrics and logs."""

    HIT = "hit"
    """A fresh entry, in this process or in Redis."""
    STALE = "stale"
    """A stale entry, while a fill runs in the background."""
    STALE_IF_ERROR = "stale-if-error"
    """A stale entry, because the origin may not or cannot answer."""
    SNAPSHOT = "snapshot"
    """Selected from the full document."""
    MISS = "miss"
    """Nothing was stored: filled for this request."""
    EXPIRED = "expired"
    """What was stored had expired: filled for this request."""
    COLLAPSED = "collapsed"
    """Another request's fill answered this one too."""
    BYPASS = "bypass"
    """Forwarded: an endpoint or a query that the cache does not keep."""
    REJECTED = "rejected"
    """The origin would refuse it: answered here."""
    REFUSED = "refused"
    """The quota forbids sending."""
    FAILED = "failed"
    """The origin could not answer, and nothing is stored."""


_CACHED = frozenset({Outcome.HIT, Outcome.STALE, Outcome.STALE_IF_ERROR, Outcome.SNAPSHOT})
_FORWARDED = {
    Outcome.MISS: "fwd=uri-miss; stored",
    Outcome.EXPIRED: "fwd=stale; stored",
    Outcome.COLLAPSED: "fwd=uri-miss; collapsed",
    Outcome.BYPASS: "fwd=bypass",
}


def cache_status(outcome: Outcome, *, ttl_seconds: float = 0.0, detail: str | None = None) -> str:
    """The Cache-Status header (RFC 9211): one member, ours; ttl is negative once the entry is stale."""
    parts = [CACHE_NAME]
    if outcome in _CACHED:
        parts.append(f"hit; ttl={int(ttl_seconds // 1)}")
    elif outcome in _FORWARDED:
        parts.append(_FORWARDED[outcome])
    if outcome is Outcome.SNAPSHOT:
        parts.append("detail=snapshot")
    elif detail is not None:
        parts.append(f"detail={detail}")
    return "; ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a client gets, before the server adds Date and framing. A HEAD request gets all but the body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    outcome: Outcome
    endpoint: str = "other"
    """The endpoint's name: a label of bounded range."""
    weight: int = 0
    """What the origin would have charged for this answer; 0 for an error that is not the origin's own."""
    rendition: Rendition | None = field(default=None, compare=False, repr=False)
    """How to make this reply again at another time; None where it is not made from an entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """An entry as one kind of request gets it: all that a reply depends on but the time."""

    entry: Entry
    key: str
    """Of the query that it answers."""
    outcome: Outcome
    endpoint: str
    weight: int
    gzip: bool
    if_none_match: str | None = None
    detail: str | None = None

    def reply(self, now: float) -> Reply:
        """The asked-for variant, or 304 when the client already holds it (RFC 9110, section 13.1.2)."""
        entry, packed = self.entry, self.gzip and self.entry.gzip is not None
        etag = f'"{entry.etag}-gzip"' if packed else f'"{entry.etag}"'
        age = entry.age(now)
        ttl_seconds = entry.lifetimes.fresh_seconds - age
        headers = [
            ("ETag", etag),
            ("Cache-Control", f"max-age={int(entry.lifetimes.fresh_seconds)}"),
            ("Vary", VARY),
            ("Age", str(int(age))),
            ("Cache-Status", cache_status(self.outcome, ttl_seconds=ttl_seconds, detail=self.detail)),
        ]
        status, body = entry.status, entry.body
        if status == 200 and self.if_none_match is not None and matches(self.if_none_match, etag):
            status, body = 304, b""
        else:
            headers.append(("Content-Type", entry.content_type))
            if packed:
                headers.append(("Content-Encoding", "gzip"))
                body = entry.gzip or b""
        return Reply(
            status=status,
            headers=tuple(headers),
            body=body,
            outcome=self.outcome,
            endpoint=self.endpoint,
            weight=self.weight,
            rendition=self,
        )


def entry_reply(  # noqa: PLR0913 - one value a header
    entry: Entry,
    outcome: Outcome,
    *,
    key: str,
    endpoint: str,
    weight: int,
    now: float,
    gzip: bool,
    if_none_match: str | None,
    detail: str | None = None,
) -> Reply:
    """Answer from an entry at `now`."""
    rendition = Rendition(
        entry=entry,
        key=key,
        outcome=outcome,
        endpoint=endpoint,
        weight=weight,
        gzip=gzip,
        if_none_match=if_none_match,
        detail=detail,
    )
    return rendition.reply(now)


def passed_reply(response: OriginResponse, outcome: Outcome, *, endpoint: str, weight: int) -> Reply:
    """Pass an answer on that is not kept: its status, content type and body; the cache headers are ours."""
    headers = (
        ("Content-Type", response.headers.get("content-type", JSON_CONTENT_TYPE)),
        ("Cache-Control", "no-store"),
        ("Cache-Status", cache_status(outcome)),
    )
    return Reply(
        status=response.status,
        headers=headers,
        body=response.body,
        outcome=outcome,
        endpoint=endpoint,
        weight=weight,
    )


def error_reply(error: SidecarError, outcome: Outcome, *, endpoint: str = "other") -> Reply:
    """Render an error: Binance's body shape, Retry-After, Allow, and the reason in Cache-Status."""
    body = orjson.dumps({"code": error.code, "msg": error.msg})
    content_type = JSON_CONTENT_TYPE
    if isinstance(error, Restricted):
        body, content_type = error.body, error.content_type
    headers = [
        ("Content-Type", content_type),
        ("Cache-Control", "no-store"),
        ("Cache-Status", cache_status(outcome, detail=error.reason)),
    ]
    if error.retry_after is not None:
        headers.append(("Retry-After", error.retry_after))
    if isinstance(error, MethodNotAllowed):
        headers.append(("Allow", error.allow))
    return Reply(status=error.status, headers=tuple(headers), body=body, outcome=outcome, endpoint=endpoint)
