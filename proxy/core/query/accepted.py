"""What a client accepts: Accept-Encoding and If-None-Match.

Owns: reading these headers. Must not know: what there is to choose from.
"""

from __future__ import annotations

from functools import lru_cache


def matches(if_none_match: str, opaque: str) -> bool:
    """Whether If-None-Match names the entity tag with this opaque part, compared weakly (RFC 9110, section 13.1.2)."""
    candidates = (candidate.strip() for candidate in if_none_match.split(","))
    return any(candidate == "*" or candidate.removeprefix("W/") == opaque for candidate in candidates)


@lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether gzip is acceptable, with at least the q-value of identity (RFC 9110, section 12.5.3).

    `gzip` and `x-gzip` count, and `*` if neither is named. If the header is absent or empty: False.
    """
    weights = dict(_codings(accept_encoding or ""))
    gzip = max(weights.get("gzip", -1.0), weights.get("x-gzip", -1.0))
    if gzip < 0:
        gzip = weights.get("*", 0.0)
    identity = weights.get("identity", 0.0)
    return gzip > 0 and gzip >= identity


def _codings(accept_encoding: str) -> list[tuple[str, float]]:
    """Pairs of coding (lower case) and q-value; an invalid q-value counts as 0."""
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
