"""Whether and how an entry may be used: the freshness policy as a function of its age.

Owns: the five decisions and their boundaries. Must not know: where entries are stored, what is done next.
Sources: RFC 9111, section 4.2 (freshness); RFC 5861 (stale-while-revalidate, stale-if-error).
"""

from __future__ import annotations

from enum import Enum

from proxy.core.messages import Entry


class Freshness(Enum):
    """How an entry may be used now."""

    FRESH = "fresh"
    """Answer from it."""
    STALE_WHILE_REVALIDATE = "stale-while-revalidate"
    """Answer from it, and fill in the background."""
    STALE_IF_ERROR = "stale-if-error"
    """Fill first; answer from it only if the fill fails."""
    EXPIRED = "expired"
    """Do not use it."""
    ABSENT = "absent"
    """There is no entry."""


USABLE = frozenset({Freshness.FRESH, Freshness.STALE_WHILE_REVALIDATE, Freshness.STALE_IF_ERROR})


def decide(entry: Entry | None, now: float) -> Freshness:
    """Classify an entry at `now` (seconds since the epoch). At exactly the end of a lifetime the next one applies."""
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
