"""When the full document is to be refreshed in the background: a pure function of what is known.

Owns: the decision and its times. Must not know: clocks, tasks, who refreshes. Sources: RFC 5861;
exponential back-off with full jitter keeps replicas apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

EARLY = 0.85
"""A refresh begins at this share of the freshness lifetime, so that it is over before the document is stale."""
SPREAD = 0.1
"""Replicas are spread over this share of the lifetime before that."""
DEMAND_SECONDS = 600.0
"""How long after the last request the document is still in demand, at the least."""
DEMAND_LIFETIMES = 1.5
"""The same in freshness lifetimes, where that is longer. What is answered from remembered bytes is hardly seen here,
but these are forgotten with each new document: while somebody asks, one request a lifetime is seen for sure."""
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0


class RefreshDecision(Enum):
    """Whether to refresh now."""

    NOW = "now"
    LATER = "later"
    """The document is fresh enough, or a failed refresh is too recent."""
    UNWANTED = "unwanted"
    """Nobody asked for a while, or it would not be fresh for any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshState:
    """What is known of the document. Times in seconds since the epoch, on one clock."""

    stored_at: float | None
    """None: there is no document."""
    fresh_seconds: float
    wanted_at: float
    """When somebody last asked for the document or a part of it; minus infinity: never."""
    always: bool = False
    failures: int = 0
    """Failed refreshes in a row."""
    failed_at: float = float("-inf")
    hold_until: float = float("-inf")
    """The quota told us not to ask before."""


def decide_refresh(state: RefreshState, now: float, *, jitter: float) -> RefreshDecision:
    """Decide at `now`; `jitter` is between 0 and 1 and stays the same between two refreshes."""
    if state.fresh_seconds <= 0:
        return RefreshDecision.UNWANTED
    if not state.always and now - state.wanted_at > demand_seconds(state.fresh_seconds):
        return RefreshDecision.UNWANTED
    # A failure that is yet to come is of a clock that has been set since.
    is_recent = 0 <= now - state.failed_at < retry_seconds(state.failures, jitter=jitter)
    if now < state.hold_until or is_recent:
        return RefreshDecision.LATER
    if state.stored_at is None:
        return RefreshDecision.NOW
    share = EARLY - SPREAD * jitter
    return RefreshDecision.NOW if now - state.stored_at >= state.fresh_seconds * share else RefreshDecision.LATER


def demand_seconds(fresh_seconds: float) -> float:
    """How long after the last request that was seen the document is still in demand."""
    return max(DEMAND_SECONDS, DEMAND_LIFETIMES * fresh_seconds)


def retry_seconds(failures: int, *, jitter: float) -> float:
    """How long to wait after so many failures in a row: 0, then 1 s doubling to 60 s, half of it jittered."""
    if failures == 0:
        return 0.0
    longest = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10))
    return longest * (0.5 + 0.5 * jitter)
