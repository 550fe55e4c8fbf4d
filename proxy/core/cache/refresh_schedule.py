"""When to refresh the full document in the background.

Owns: the decision and its times. Must not know: clocks, tasks, who refreshes. Source: RFC 5861. Exponential back-off
with jitter keeps the replicas from retrying together.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from proxy.core.messages import is_from_future

EARLY = 0.85
"""A refresh starts at this fraction of the freshness lifetime, so that it ends before the document is stale."""
SPREAD = 0.1
"""The replicas start at random times within this fraction of the lifetime before that."""
DEMAND_SECONDS = 600.0
"""The shortest time after the last request during which the document is in demand."""
DEMAND_LIFETIMES = 1.5
"""The same in freshness lifetimes, if that is longer. The fast path answers most requests without passing here, but it
drops its responses with each new document. So while clients ask, at least one request per lifetime passes here."""
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0


class RefreshDecision(Enum):
    """Whether to refresh now."""

    NOW = "now"
    LATER = "later"
    """The document is fresh enough, or a failed refresh is too recent."""
    UNWANTED = "unwanted"
    """The document is not in demand, or its freshness lifetime is 0."""


class RefreshState(Struct, frozen=True, kw_only=True):
    """What the decision depends on. Times in seconds since the epoch, all by the same clock."""

    stored_at: float | None
    """None: there is no document."""
    fresh_seconds: float
    wanted_at: float
    """When a client last asked for the document or a part of it; minus infinity: never."""
    always: bool = False
    """Refresh even without demand."""
    failures: int = 0
    """Failed refreshes in a row."""
    failed_at: float = float("-inf")
    hold_until: float = float("-inf")
    """The quota allows no refresh before this time."""


def decide_refresh(state: RefreshState, now: float, *, jitter: float) -> RefreshDecision:
    """Decide at `now`; `jitter` is between 0 and 1 and stays the same between two refreshes."""
    if state.fresh_seconds <= 0:
        return RefreshDecision.UNWANTED
    if not state.always and now - state.wanted_at > demand_seconds(state.fresh_seconds):
        return RefreshDecision.UNWANTED
    # A failure time in the future means that the clock was set back; ignore it.
    is_recent = 0 <= now - state.failed_at < retry_seconds(state.failures, jitter=jitter)
    if now < state.hold_until or is_recent:
        return RefreshDecision.LATER
    if state.stored_at is None or is_from_future(state.stored_at, now):
        return RefreshDecision.NOW
    due_seconds = state.fresh_seconds * (EARLY - SPREAD * jitter)
    return RefreshDecision.NOW if now - state.stored_at >= due_seconds else RefreshDecision.LATER


def demand_seconds(fresh_seconds: float) -> float:
    """How long after the last request the document is still in demand."""
    return max(DEMAND_SECONDS, DEMAND_LIFETIMES * fresh_seconds)


def retry_seconds(failures: int, *, jitter: float) -> float:
    """How long to wait after so many failures in a row: 1 s, doubling to 60 s. Up to half of it is jitter."""
    if failures == 0:
        return 0.0
    longest = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10))
    return longest * (0.5 + 0.5 * jitter)
