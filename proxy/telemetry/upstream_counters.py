"""The requests to the origin, counted in plain integers and turned into series at scrape time.

Owns: their number by host and status, and their durations by host. Must not know: the other series, HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.telemetry.durations import Durations


class UpstreamCounters(Collector):
    """All of one process."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._counts: dict[tuple[str, str], int] = {}
        """By host and status."""
        self._durations: dict[str, Durations] = {}
        """By host."""

    def answered(self, host: str, status: str, seconds: float) -> None:
        """One attempt at one host ended."""
        place = host, status
        self._counts[place] = self._counts.get(place, 0) + 1
        durations = self._durations.get(host)
        if durations is None:
            durations = self._durations[host] = Durations.none()
        durations.observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """The present values of the series."""
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
