"""What one process holds of each window: when a grant is fetched, how large it should be, when it is given back.

Owns: the leases and the rate of one process, and whether the store must be called at once. Must not know: how a request
is charged, what a call tells, Redis, whether a push channel lives. Times are seconds since the epoch by the origin's
clock.
"""

from __future__ import annotations

import math

from proxy.core.quota.lease import Lease, is_awake
from proxy.core.quota.lease_frame import Frame, Part
from proxy.core.quota.lease_need import Need
from proxy.core.quota.lease_news import News
from proxy.core.quota.lease_spending import Spendings
from proxy.core.quota.lease_table import LeaseTable
from proxy.core.quota.ratios import Ratios
from proxy.core.quota.windows import Window

IDLE_SECONDS = 300.0
"""A process without a request for so long gives back what it holds."""


class HeldLeases:
    """The leases of one process in one pool."""

    def __init__(self, ratios: Ratios) -> None:
        self.is_urgent = False
        """Whether the store should be called at once."""
        self.may_hold = False
        """Whether the process would know of a block in time: else nothing is fetched."""
        self.demanded_at = -math.inf
        """When the last request came."""
        self.news, self._leases = News(), LeaseTable()
        self._spendings = Spendings(self._leases, self.news, ratios)
        self._need = Need()
        self._rate = self._need.rate

    def frame(self, now: float, windows: tuple[Window, ...], guard_seconds: float) -> Frame | None:
        """The windows that a request is charged in now; None where no leases are spent."""
        return self._spendings.frame_at(now, windows, guard_seconds)

    def demand(self, weight: int, now: float) -> None:
        """Note that a request of this weight wants to be sent."""
        self.demanded_at = now
        self._rate.add(weight, now)

    def expects_requests(self, now: float) -> bool:
        """Whether the next request is near, so that heartbeats are worth while."""
        return is_awake(now - self.demanded_at, lambda: self._rate.requests_per_second(now))

    def give_back(self) -> None:
        """Hold nothing any more."""
        for lease in self._leases.values():
            self._give_back(lease)

    def tick(self, now: float) -> None:
        """Do what is due by the time alone. Call `frame` first."""
        if now - self.demanded_at > IDLE_SECONDS:
            self.give_back()
            return
        for part in self._spendings.parts_at(now):
            if part.is_free:
                continue
            if part.is_crowded(now):
                self._give_back(part.lease)
            elif part.lease.taken == 0:
                self._fetch(part, now)

    def _give_back(self, lease: Lease) -> None:
        if lease.held > 0:
            lease.give_back()
            self.is_urgent = True

    def _fetch(self, part: Part, now: float) -> None:
        is_due = not part.lease.is_exact and self.demanded_at >= part.lease.retry_at
        is_due &= not part.is_over or self._need.saves_calls(part, now)
        self.is_urgent |= is_due and self.may_hold and self._spendings.may_fetch(part, now)

    def _want(self, lease: Lease, part: Part, now: float) -> int:
        if not (lease.is_low or self._need.is_missed(part)):
            return 0
        is_idle = now - self.demanded_at > IDLE_SECONDS
        may_fetch = self.may_hold and self._spendings.may_fetch(part, now)
        if lease.is_exact or is_idle or now < lease.retry_at or not may_fetch:
            return 0
        return max(0, self._need.target(part, now) - lease.held)
