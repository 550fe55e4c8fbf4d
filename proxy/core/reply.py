"""What a client gets: a reply made from an entry, from an answer that is passed on, or from an error.

Owns: `Outcome`, `Reply`, `Rendition`; the headers Age, Cache-Status, ETag and Retry-After. Must not know: how an
entry was found, the server.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

import orjson
from msgspec import Struct

from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.lines import begin_of, headers_in
from proxy.core.messages import Entry, OriginResponse, content_type_of, notice
from proxy.core.passing import SBE_DEPRECATED, passing_headers, passing_lines
from proxy.core.query.accepted import matches
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.query.keyed import KeyedRequest
from proxy.core.query.market import MarketQuery
from proxy.core.quota.origin_headers import used_in_minute
from proxy.core.quota.pools import IP_POOLS, SPOT
from proxy.errors import JSON_CONTENT_TYPE, MethodNotAllowed, PassedOn, SidecarError

Lines = tuple[tuple[str, str], ...]
"""Names and values of headers."""
CACHE_NAME = "binance-sidecar"
_SBE_DEPRECATED = SBE_DEPRECATED.lower()
VARY = "Accept-Encoding, Accept, X-MBX-SBE, X-MBX-TIME-UNIT"
"""The request headers that select a representation (RFC 9110, section 12.5.5)."""


class Outcome(Enum):
    """Where an answer came from. The value is the word in metrics and logs."""

    __hash__ = object.__hash__  # as in Api

    HIT = "hit"
    """A fresh entry, in this process or in Redis."""
    STALE = "stale"
    """A stale entry; a fill runs in the background."""
    STALE_IF_ERROR = "stale-if-error"
    """A stale entry, because the origin must not be asked or cannot answer."""
    SNAPSHOT = "snapshot"
    """Selected from the full document."""
    MISS = "miss"
    """No entry was stored: filled for this request."""
    EXPIRED = "expired"
    """The stored entry had expired: filled for this request."""
    COLLAPSED = "collapsed"
    """Another request's fill also answered this one."""
    CLOCK = "clock"
    """The time, from the gateway's own estimate of the origin's clock."""
    BYPASS = "bypass"
    """Forwarded: the cache does not store this endpoint or query."""
    REJECTED = "rejected"
    """The origin would refuse the request: answered here."""
    PREFLIGHT = "preflight"
    """A browser asks what a page may send: answered here."""
    REFUSED = "refused"
    """The quota forbids sending the request."""
    FAILED = "failed"
    """The origin could not answer, and no entry is stored."""


_CACHED = frozenset({Outcome.HIT, Outcome.STALE, Outcome.STALE_IF_ERROR, Outcome.SNAPSHOT})
_FORWARDED = {
    Outcome.MISS: "fwd=uri-miss; stored",
    Outcome.EXPIRED: "fwd=stale; stored",
    Outcome.COLLAPSED: "fwd=uri-miss; collapsed",
    Outcome.BYPASS: "fwd=bypass",
}


def cache_status(outcome: Outcome, *, ttl_seconds: float = 0.0, detail: str | None = None) -> str:
    """The Cache-Status header (RFC 9211) with our member only. ttl is negative once the entry is stale."""
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


class Reply(Struct, frozen=True, kw_only=True):
    """An answer before the server adds Date and framing. A HEAD request gets everything but the body."""

    status: int
    headers: Lines = ()
    """Empty where `begin` has them."""
    begin: bytes = b""
    """Status line and headers as the begin of a head, where whoever made the reply has them so."""
    body: bytes
    outcome: Outcome
    endpoint: str = "other"
    """The endpoint's name, from a table: a metric label."""
    weight: int = 0
    """What the origin would have charged for this answer; 0 for an error that does not come from the origin."""
    pool: str | None = SPOT
    """The pool of limits whose used weight the answer tells; None: it tells none."""
    told_weight: int = 0
    """What the origin's answer tells of that pool's used weight, which may not be counted yet; 0: nothing."""
    refund: int = 0
    """What the answer gives back of it, which may not be taken back yet."""
    rendition: Rendition | None = None
    """How to make this reply again later; None if it is not made from an entry."""

    def all_headers(self) -> Lines:
        """In either form."""
        return headers_in(self.begin) if self.begin else self.headers


class Rendition(Struct, frozen=True, kw_only=True):
    """An entry as one kind of request gets it: everything that a reply depends on except the time."""

    entry: Entry
    key: str
    """The cache key of the query."""
    outcome: Outcome
    endpoint: str
    weight: int
    gzip: bool
    if_none_match: str | None = None
    detail: str | None = None
    pool: str | None = SPOT

    def reply(self, now: float) -> Reply:
        """The requested variant, or 304 if the client has it already (RFC 9110, section 13.1.2).

        The entity tag is weak: it names the rules of the document, not its time, and all content codings share it.
        A cache in front that may serve what has ended would hide a 503 or a ban behind an old price: must-revalidate.
        """
        entry, packed = self.entry, self.gzip and self.entry.gzip is not None
        opaque = f'"{entry.validator}"'
        headers = [
            ("ETag", f"W/{opaque}"),
            ("Cache-Control", f"max-age={int(entry.lifetimes.fresh_seconds)}, must-revalidate"),
            ("Vary", VARY),
            *self.ages(now),
        ]
        if entry.sbe_deprecated is not None:
            headers.append((SBE_DEPRECATED, entry.sbe_deprecated))
        status, body = entry.status, b""
        if status == 200 and self.if_none_match is not None and matches(self.if_none_match, opaque):
            status = 304
        else:
            headers.extend(_content_type(entry.content_type))
            if packed:
                headers.append(("Content-Encoding", "gzip"))
            body = self.body()
        return Reply(
            status=status,
            headers=tuple(headers),
            body=body,
            outcome=self.outcome,
            endpoint=self.endpoint,
            weight=self.weight,
            pool=self.pool,
            rendition=self,
        )

    def ages(self, now: float) -> tuple[tuple[str, str], tuple[str, str]]:
        """The headers that change with the time: Age and Cache-Status, which follow each other in every reply."""
        entry = self.entry
        age = entry.age(now)
        ttl_seconds = entry.lifetimes.fresh_seconds - age
        return (
            ("Age", str(int(age) + entry.arrived_age_seconds)),
            ("Cache-Status", cache_status(self.outcome, ttl_seconds=ttl_seconds, detail=self.detail)),
        )

    def body(self) -> bytes:
        """The body of a reply that is not 304."""
        packed = self.entry.gzip if self.gzip else None
        return self.entry.body if packed is None else packed


def passed_reply(response: OriginResponse, outcome: Outcome, *, query: CanonicalQuery) -> Reply:
    """Pass on an answer that is not stored: status, content type, body and notices are the origin's, the rest ours."""
    status, told, body = response.status, response.headers, response.body
    return Reply(
        status=status,
        begin=_passed_begin(status, told.get("content-type"), body != b"", told.get(_SBE_DEPRECATED), outcome),
        body=body,
        outcome=outcome,
        endpoint=query.endpoint.name,
        weight=query.weight,
        told_weight=used_in_minute(told),
    )


@lru_cache(maxsize=64)
def _passed_begin(
    status: int, content_type: str | None, has_body: bool, deprecated: str | None, outcome: Outcome
) -> bytes:
    """That of `passed_reply`; kept: few differ."""
    text = notice(deprecated)
    headers = (
        *_content_type(content_type_of(content_type, has_body=has_body)),
        ("Cache-Control", "no-store"),
        ("Cache-Status", cache_status(outcome)),
        *(() if text is None else ((SBE_DEPRECATED, text),)),
    )
    return begin_of(status, headers)


def forwarded_reply(
    response: OriginResponse, outcome: Outcome, *, query: MarketQuery | KeyedRequest, refund: int = 0
) -> Reply:
    """Pass on an answer as it came: status, body, its content coding if the client takes it, Binance's headers.

    `refund`: the weight that it gives back, and that is still counted as used.
    """
    status, told, body, packed = response.status, response.headers, response.body, response.gzip
    if packed is not None and not query.accepts_gzip:
        packed = None
    begin = _forwarded_begin(status, told.get("content-type"), body != b"", packed is not None, outcome)
    endpoint = query.endpoint
    return Reply(
        status=status,
        begin=begin + passing_lines(told),
        body=body if packed is None else packed,
        outcome=outcome,
        endpoint=endpoint.name,
        weight=query.weight,
        pool=reported_pool(endpoint),
        told_weight=used_in_minute(told) if endpoint.has_used_weight else 0,
        refund=refund,
    )


@lru_cache(maxsize=64)
def _forwarded_begin(status: int, content_type: str | None, has_body: bool, is_packed: bool, outcome: Outcome) -> bytes:
    """That of an answer that passes as it came, up to Binance's own headers; kept: few differ."""
    headers = (
        *_content_type(content_type_of(content_type, has_body=has_body)),
        *((("Content-Encoding", "gzip"),) if is_packed else ()),
        ("Cache-Control", "no-store"),
        ("Vary", VARY),
        ("Cache-Status", cache_status(outcome)),
    )
    return begin_of(status, headers)


@lru_cache(maxsize=512)
def reported_pool(endpoint: Endpoint) -> str | None:
    """The pool whose used weight the answers of an endpoint tell; None for a limit of its own, without a weight."""
    return None if endpoint.pool is not None else IP_POOLS[endpoint.api]


def time_reply(now: float, error_seconds: float, *, microseconds: bool) -> Reply:
    """The origin's time as the gateway knows it, and the largest error of it. Both in seconds."""
    server_time = int(now * (1_000_000 if microseconds else 1000))
    headers = (
        ("Content-Type", JSON_CONTENT_TYPE),
        ("Cache-Control", "no-store"),
        ("Cache-Status", cache_status(Outcome.CLOCK, detail="clock")),
        ("X-Sidecar-Clock-Error-Ms", f"{error_seconds * 1000:.1f}"),
    )
    body = orjson.dumps({"serverTime": server_time})
    return Reply(status=200, headers=headers, body=body, outcome=Outcome.CLOCK, endpoint="time", weight=1)


def error_reply(error: SidecarError, outcome: Outcome, *, endpoint: str = "other", pool: str | None = SPOT) -> Reply:
    """Render an error: Binance's body shape, Retry-After, Allow, and the reason in Cache-Status.

    An answer of the origin that is passed on keeps its body and content type.
    """
    body = orjson.dumps({"code": error.code, "msg": error.msg})
    content_type = JSON_CONTENT_TYPE
    if isinstance(error, PassedOn):
        body, content_type = error.body, error.content_type
    headers = [
        *_content_type(content_type),
        ("Cache-Control", "no-store"),
        ("Cache-Status", cache_status(outcome, detail=error.reason)),
    ]
    if isinstance(error, PassedOn):
        headers += passing_headers(error.headers)
    elif error.retry_after is not None:
        headers.append(("Retry-After", error.retry_after))
    if isinstance(error, MethodNotAllowed):
        headers.append(("Allow", error.allow))
    return Reply(status=error.status, headers=tuple(headers), body=body, outcome=outcome, endpoint=endpoint, pool=pool)


def _content_type(content_type: str) -> tuple[tuple[str, str], ...]:
    """The header; none where the origin sent none."""
    return (("Content-Type", content_type),) if content_type else ()
