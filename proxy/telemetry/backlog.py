"""Events that are counted later, many in a row.

Owns: their order, how many wait, and that all are counted before the registry is read. Must not know: which events.

What is counted for each request alone, between requests that are far apart, costs several times as much as in a row:
nothing that it needs is in the processor's caches any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

Event = tuple[Callable[..., None], tuple[Any, ...]]
"""What counts it, and with which arguments."""
MOST = 64
"""With so many it is time to count."""


class Backlog(Collector):
    """Register it before the series that it counts for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        """Each is counted after all before it. Add them here, and call `count` once there are `MOST`."""

    def count(self) -> None:
        """Count all that waits."""
        events, self.events = self.events, []
        for count, event in events:
            count(*event)

    def collect(self) -> Iterable[Metric]:
        """No series."""
        self.count()
        return ()
