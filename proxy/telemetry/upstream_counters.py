"""The requests to the origin, counted in plain integers and turned into series at scrape time.

Owns: their number by host and status, and their durations by host. Must not know: the other series, HTTP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from operator import itemgetter

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.telemetry.backlog import MOST, by_owner
from proxy.telemetry.durations import Durations

_LABELS, _SECONDS = itemgetter(0, 1), itemgetter(2)


class UpstreamCounters(Collector):
    """All of one process."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._attempts: list[tuple[str, str, float]] = []
        """Those that are not counted yet: host, status, seconds."""
        self._counts: Counter[tuple[str, str]] = Counter()
        """By host and status."""
        self._durations: dict[str, Durations] = {}
        """By host."""

    def answered(self, host: str, *, status: str, seconds: float) -> None:
        """One attempt at one host ended."""
        attempts = self._attempts
        attempts.append((host, status, seconds))
        if len(attempts) >= MOST:
            self._count()

    def collect(self) -> Iterable[Metric]:
        """The present values of the series."""
        self._count()
        text = "Requests sent to the origin."
        counts = CounterMetricFamily(f"{self._prefix}_upstream_requests", text, labels=("host", "status"))
        for labels, count in self._counts.items():
            counts.add_metric(labels, count)
        yield counts
        name, text = f"{self._prefix}_upstream_request_duration_seconds", "Time of a request to the origin."
        family = HistogramMetricFamily(name, text, labels=("host",))
        for host, durations in self._durations.items():
            family.add_metric((host,), durations.cumulative(), durations.seconds)
        yield family

    def _count(self) -> None:
        """Count the attempts that wait."""
        attempts, self._attempts = self._attempts, []
        self._counts.update(map(_LABELS, attempts))
        for host, of_host in by_owner(attempts):
            durations = self._durations.setdefault(host, Durations.none())
            durations.observe([*map(_SECONDS, of_host)])
