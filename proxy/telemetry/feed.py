"""The gauges of the change feed.

Owns: their names. Must not know: how the feed works.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.feed.hub import Hub
from proxy.telemetry.metrics import Sample


def feed_samples(hub: Hub) -> Iterable[Sample]:
    """The gauges of one process."""
    records, size_bytes = hub.log.counted
    yield Sample("feed_readers", "Readers of the change feed.", hub.readers)
    yield Sample("feed_kept_changes", "Changes that the feed can tell again.", records)
    yield Sample("feed_kept_bytes", "About the bytes of these changes in this process.", size_bytes)
