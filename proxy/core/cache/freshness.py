"""May this entry be used, and how: the whole freshness policy as one function of age.

Owns: the five decisions and their boundaries. Must not know: where entries are kept, or what is done next.
Sources: RFC 9111 section 4.2 (freshness), RFC 5861 (stale-while-revalidate, stale-if-error).
"""

from __future__ import annotations

from enum import Enum

from proxy.core.messages import Entry


class Freshness(Enum):
    """What an entry is good for now."""

    FRESH = "fresh"
    """Answer from it."""
    STALE_WHILE_REVALIDATE = "stale-while-revalidate"
    """Answer from it, and fill in the background."""
    STALE_IF_ERROR = "stale-if-error"
    """Fill first; answer from it only if that fails."""
    EXPIRED = "expired"
    """Of no use."""
    ABSENT = "absent"
    """There is none."""


USABLE = frozenset({Freshness.FRESH, Freshness.STALE_WHILE_REVALIDATE, Freshness.STALE_IF_ERROR})


def decide(entry: Entry | None, now: float) -> Freshness:
    """Judge an entry at `now` (seconds since the epoch). Each lifetime ends at its last second, exclusive."""
    if entry is None:
        return Freshness.ABSENT
    lifetimes = entry.lifetimes
    stale_for = entry.age(now) - lifetimes.fresh_seconds
    if stale_for < 0:
        return Freshness.FRESH
    if stale_for < lifetimes.stale_while_revalidate_seconds:
        return Freshness.STALE_WHILE_REVALIDATE
    if stale_for < lifetimes.stale_if_error_seconds:
        return Freshness.STALE_IF_ERROR
    return Freshness.EXPIRED
