"""How many replicas share a quota domain, as far as is known, and what each may spend while nobody counts for all.

Owns: which of the counts that were heard is believed, and the rule for replicas that count alone. Must not know: who
counts, where the counters are kept.

Replicas come and go, and a Redis that has just come back has forgotten most of them. So the largest count of the last
minute is believed; and when none is heard any more the last minute stays as it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from proxy.core.quota.budget import Charge, Refused, WindowKey, budget_of, refusal
from proxy.core.quota.client_share import Limit

REMEMBER_SECONDS = 60.0


class ReplicaCount:
    """The counts of the last minute in which any was heard."""

    def __init__(self) -> None:
        self._heard: deque[tuple[float, int]] = deque()

    def hear(self, replicas: int, now: float) -> None:
        """So many were alive at `now`, in seconds of a clock that never goes back."""
        while self._heard and self._heard[0][0] <= now - REMEMBER_SECONDS:
            self._heard.popleft()
        self._heard.append((now, replicas))

    @property
    def replicas(self) -> int:
        """At least this one."""
        return max((count for _, count in self._heard), default=1)


def refuse_without_redis(
    charges: Sequence[Charge],
    *,
    used: Callable[[WindowKey], int],
    own: Callable[[WindowKey], int],
    replicas: int,
    ratio: float,
    guard_seconds: float,
) -> Refused | None:
    """The refusal of a request that would pass the budget of all, if every other replica spent as much as this one.

    `used`: what is known of a counter; `own`: what of it this replica has spent alone.
    """
    for charge in reversed(charges):
        mine = own(charge.counter) + charge.weight
        if used(charge.counter) + charge.weight + (replicas - 1) * mine > budget_of(charge.window.limit, ratio):
            return refusal(charge, guard_seconds, Limit.BUDGET)
    return None
