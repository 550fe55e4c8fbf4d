"""How many replicas share a quota domain, and what each may spend while Redis is away.

Owns: which of the observed counts is used, and the rule for replicas that count alone. Must not know: who counts the
replicas, where usage is kept.

Replicas come and go, and a Redis that has just restarted has lost most of them. So the largest count of the last
minute is used. If no count arrives any more, the last minute that had one stays valid.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from proxy.core.quota.charges import Charge, WindowKey, budget_of
from proxy.core.quota.client_share import Limit
from proxy.core.quota.refusal import Refused, refusal

COUNT_MEMORY_SECONDS = 60.0
"""How long an observed count stays valid while newer ones arrive."""


class ReplicaCount:
    """The counts of the last minute that had any."""

    def __init__(self) -> None:
        self.replicas = 1
        """The largest valid count; 1 (this replica) if there is none."""
        self._counts: deque[tuple[float, int]] = deque()
        """When each was observed. Those that a later one is not below are left out, so the first is the largest."""

    def observe(self, replicas: int, now: float) -> None:
        """Record how many replicas are alive at `now`, in seconds of a monotonic clock.

        Less than one is no count: this replica lives. A Redis that could not write its own list returns that.
        """
        if replicas < 1:
            return
        while self._counts and self._counts[0][0] <= now - COUNT_MEMORY_SECONDS:
            self._counts.popleft()
        while self._counts and self._counts[-1][1] <= replicas:
            self._counts.pop()
        self._counts.append((now, replicas))
        self.replicas = self._counts[0][1]


def refuse_without_redis(
    charges: Sequence[Charge],
    *,
    used: Callable[[WindowKey], int],
    unsynced: Callable[[WindowKey], int],
    replicas: int,
    ratio: float,
    guard_seconds: float,
) -> Refused | None:
    """Refuse a request that would pass the shared budget if every other replica spent as much as this one.

    `used`: all usage of a window that is recorded here; `unsynced`: the part that this replica spent while Redis
    was away.
    """
    others = max(0, replicas - 1)
    for charge in reversed(charges):
        spent_alone = unsynced(charge.window_key) + charge.weight
        expected = used(charge.window_key) + charge.weight + others * spent_alone
        if expected > budget_of(charge.window.limit, ratio):
            return refusal(charge, guard_seconds, Limit.BUDGET)
    return None
