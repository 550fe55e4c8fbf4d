"""The counters of all windows that are kept.

Owns: which counters there are, and when one is forgotten. Must not know: what is counted, clocks. Times are seconds
since the epoch by the origin's clock.
"""

from __future__ import annotations

import math

from proxy.core.quota.charges import WindowKey
from proxy.core.quota.counts import WindowCount

UNUSED = WindowCount(0)
"""The counter of a window of which nothing is recorded. Nobody changes it."""


class CountTable:
    """Counters by the name and the start of their windows."""

    __slots__ = ("_counts", "_first_expiry")

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], WindowCount] = {}
        self._first_expiry = math.inf
        """No counter expires before this."""

    def of(self, key: WindowKey) -> WindowCount:
        """The counter of a window; a new one if there is none."""
        place = key.name, key.start
        count = self._counts.get(place)
        if count is None:
            count = self._counts[place] = WindowCount(key.expires)
            self._first_expiry = min(count.expires, self._first_expiry)
        return count

    def known(self, name: str, start: int) -> WindowCount | None:
        """The counter of a window; None if there is none."""
        return self._counts.get((name, start))

    def at(self, name: str, start: int) -> WindowCount:
        """The counter of a window to read from: `UNUSED` if there is none."""
        return self._counts.get((name, start), UNUSED)

    def has(self, key: WindowKey) -> bool:
        """Whether anything is recorded of a window."""
        return (key.name, key.start) in self._counts

    def move(self, seconds: float) -> None:
        """Keep each for as long as before: the clock was moved by so many seconds."""
        for count in self._counts.values():
            count.move(seconds)
        self._look_ahead()

    def forget(self, now: float) -> bool:
        """Drop those that have expired. Whether there were any."""
        if now < self._first_expiry:
            return False
        for place in [place for place, count in self._counts.items() if count.expires <= now]:
            del self._counts[place]
        self._look_ahead()
        return True

    def _look_ahead(self) -> None:
        self._first_expiry = min((count.expires for count in self._counts.values()), default=math.inf)
