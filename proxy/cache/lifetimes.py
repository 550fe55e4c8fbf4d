"""How long an answer may be stored.

Owns: `Policy`, the lifetimes that the operator chose for each kind of answer; `Room`, the bound in bytes of a kind
without another bound. Must not know: where an entry is stored, how it is filled.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from proxy.core.endpoints.endpoint import CachePolicy
from proxy.core.messages import Lifetimes, OriginResponse
from proxy.core.query.history import is_final, may_be_final
from proxy.core.query.market import MarketQuery
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.verdict import is_data

NOTHING = Lifetimes(fresh_seconds=0.0)
"""Not stored."""


class Policy(Struct, frozen=True, kw_only=True):
    """The lifetimes of entries."""

    positive: Lifetimes
    negative: Lifetimes
    """Of the origin's 400s, and of answers to queries that we do not understand."""
    market: Lifetimes = NOTHING
    """Of market data."""
    history: Lifetimes = NOTHING
    """Of market data that cannot change any more."""

    def may_keep(self, query: UpstreamQuery) -> bool:
        """Whether an answer to this query may be stored at some time."""
        if not isinstance(query, MarketQuery):
            return True
        is_shared = query.endpoint.policy is CachePolicy.SHARED
        return is_shared and (self.market.fresh_seconds > 0 or self.history.fresh_seconds > 0)

    def keeps(self, query: UpstreamQuery, now: float) -> bool:
        """Whether an answer to this query may be stored. `now`: seconds since the epoch by the origin's clock."""
        if not self.may_keep(query) or not isinstance(query, MarketQuery):
            return self.may_keep(query)
        return self.market.fresh_seconds > 0 or may_be_final(query, now)

    def of(self, query: UpstreamQuery, response: OriginResponse, *, is_good: bool, now: float) -> Lifetimes | None:
        """The lifetimes of an answer; None: it is not stored."""
        if not isinstance(query, MarketQuery):
            return self.positive if is_good else self.negative
        chosen = self._of_market(query, response, is_good=is_good, now=now)
        return chosen if chosen.horizon_seconds > 0 else None

    def _of_market(self, query: MarketQuery, response: OriginResponse, *, is_good: bool, now: float) -> Lifetimes:
        if not is_good:
            return min(self.negative, self.market, key=lambda lifetimes: lifetimes.fresh_seconds)
        if not is_data(response):
            return NOTHING
        is_longer = self.history.fresh_seconds > self.market.fresh_seconds
        return self.history if is_longer and is_final(query, response.body, now) else self.market


class Room:
    """How many bytes of one kind may still be stored where nothing else bounds them."""

    def __init__(self, max_bytes: int, lifetime_seconds: float) -> None:
        self._max_bytes = max_bytes
        self._lifetime_seconds = lifetime_seconds
        self._stored: deque[tuple[float, int]] = deque()
        self._bytes = 0

    def take(self, size_bytes: int, now: float) -> bool:
        """Whether so many bytes fit beside those that are not yet forgotten; then they count from now on."""
        while self._stored and self._stored[0][0] + self._lifetime_seconds <= now:
            self._bytes -= self._stored.popleft()[1]
        if self._bytes + size_bytes > self._max_bytes:
            return False
        self._stored.append((now, size_bytes))
        self._bytes += size_bytes
        return True
