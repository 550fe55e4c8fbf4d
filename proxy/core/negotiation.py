"""Which representation a client's headers ask for, and whether it holds it already.

Owns: the reading of Accept-Encoding and If-None-Match. Must not know: entries, replies, the server.
"""

from __future__ import annotations

from functools import lru_cache


def matches(if_none_match: str, etag: str) -> bool:
    """Whether If-None-Match names this entity tag, compared weakly (RFC 9110, section 13.1.2)."""
    candidates = (candidate.strip() for candidate in if_none_match.split(","))
    return any(candidate == "*" or candidate.removeprefix("W/") == etag for candidate in candidates)


@lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether gzip is acceptable, and at least as welcome as identity (RFC 9110, section 12.5.3).

    `gzip`, `x-gzip` and `*` count, with their q-values; a named coding beats `*`. Absent or empty: identity.
    """
    weights = dict(_codings(accept_encoding or ""))
    gzip = max(weights.get("gzip", -1.0), weights.get("x-gzip", -1.0))
    if gzip < 0:
        gzip = weights.get("*", 0.0)
    identity = weights.get("identity", 0.0)
    return gzip > 0 and gzip >= identity


def _codings(accept_encoding: str) -> list[tuple[str, float]]:
    """Pairs of lower-case coding and its q-value; an unreadable q-value counts as 0."""
    pairs = []
    for member in accept_encoding.lower().split(","):
        coding, _, parameter = member.partition(";")
        name, _, value = parameter.strip().partition("=")
        if coding.strip():
            pairs.append((coding.strip(), _quality(value) if name.strip() == "q" else 1.0))
    return pairs


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0
