"""How many replicas share a quota domain, as far as is known.

Owns: which of the counts that were heard is believed. Must not know: who counts, or what follows from it.

Replicas come and go, and a Redis that has just come back has forgotten most of them. So the largest count of the last
minute is believed; and when none is heard any more the last minute stays as it was.
"""

from __future__ import annotations

from collections import deque

REMEMBER_SECONDS = 60.0


class Census:
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
