"""The metrics, each named once.

Owns: one CollectorRegistry, its series, the measuring of the event loop's lag. Must not know: where events come from.
Labels come from tables (endpoints, outcomes, hosts of the settings). Only clients name themselves; ten are shown.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable

from msgspec import Struct
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import Counter, Histogram, Info, disable_created_metrics
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from proxy import __version__
from proxy.background import until_tick
from proxy.core.cache.fill_wait import WaitEnd
from proxy.core.document.changes import ChangedSymbols
from proxy.core.quota.limits import Absurdity
from proxy.redis_client.connection import RedisOperation
from proxy.server.bounds import Bound, Closing
from proxy.telemetry.durations import BUCKETS_SECONDS
from proxy.telemetry.request_counters import RequestCounters
from proxy.telemetry.upstream_counters import UpstreamCounters

PREFIX = "binance_sidecar"
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Sample(Struct, frozen=True):
    """One value of a gauge that is read at scrape time."""

    name: str
    help: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    """Name and value of each. The samples of one name have the same label names in the same order."""


class Metrics:
    """All series of one process. Each method is one event."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # the creation times of the series say nothing here
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Info(f"{PREFIX}_build", "Version of the gateway and of Python.", registry=self.registry).info(
            {"version": __version__, "python": sys.version.partition(" ")[0]}
        )
        self.requests, self.upstream = RequestCounters(PREFIX), UpstreamCounters(PREFIX)
        self.registry.register(self.requests)
        self.registry.register(self.upstream)
        # Events of every request: no call on the way.
        self.answered, self.spent = self.requests.answered, self.requests.spent
        self.upstream_answered = self.upstream.answered
        self._connection_failures = self._counter(
            "upstream_connection_failures", "Connections to the origin that failed.", "host", "cause"
        )
        self._foreign = self._counter("foreign_weight", "Weight that others on this IP spent, as far as seen.", "pool")
        self._refusals = self._counter("refusals", "Times that the quota kept a request back.", "pool", "reason")
        self._disbelieved = self._counter("limits_disbelieved", "Documents with limits not believed.", "pool", "reason")
        self._fills = self._counter("fills", "Fills by how they ended.", "endpoint", "result")
        self._fill_durations = self._histogram("fill_duration_seconds", "Time of a fill.", "endpoint")
        self._fill_waits = self._counter("fill_waits", "Waits for another replica's fill, by their end.", "end")
        self._documents = self._counter("documents_adopted", "Full documents taken into use.")
        self._quarantined = self._counter("documents_quarantined", "Full documents not believed at first.", "reason")
        self._kept_aside = self._counter(
            "documents_kept_aside", "The old name of documents_quarantined; the next version drops it.", "reason"
        )
        self._changes = self._counter("symbol_changes", "Symbols that changed between documents.", "change")
        self._told = self._counter("feed_changes", "Changes that this process wrote to the feed.", "api", "kind")
        self._feed_ended = self._counter("feed_ended", "Streams of the feed, by why they ended.", "end")
        self._redis_operations = self._counter("redis_operations", "Redis operations.", "operation")
        self._redis_errors = self._counter("redis_errors", "Redis operations that failed.", "operation")
        self._redis_durations = self._histogram(
            "redis_operation_duration_seconds", "Time of a Redis operation.", "operation"
        )
        self._redis: dict[str, tuple[Callable[[], None], Callable[[float], None]]] = {}
        """What counts each operation, and what takes its time: to look for a series takes longer."""
        self._closed = self._counter("connections_closed", "Connections that the gateway closed or refused.", "reason")
        self._bounds = self._counter("bounds_reached", "Connections and requests over a bound.", "setting")
        self._certificates = self._counter("certificate_reads", "Times the certificate was read again.", "result")
        for why in Closing:
            self._closed.labels(why.value)
        for result in ("loaded", "kept"):
            self._certificates.labels(result)
        for bound in Bound:
            self._bounds.labels(bound.value)
        self._lag = self._histogram("event_loop_lag_seconds", "How late the event loop wakes.", buckets=_LAG)

    def read_at_scrape(self, read: Callable[[], Iterable[Sample]]) -> None:
        """Add gauges whose values are read at scrape time."""
        self.registry.register(_Reader(read))

    def connection_failed(self, host: str, *, cause: str) -> None:
        """A connection to the origin could not be made, or broke."""
        self._connection_failures.labels(host, cause).inc()

    def of_pool(self, pool: str) -> PoolMetrics:
        """The series of one pool of limits."""
        for why in Absurdity:
            self._disbelieved.labels(pool, why.value)
        return PoolMetrics(pool, self._foreign.labels(pool), self._refusals, self._disbelieved)

    def filled(self, endpoint: str, *, result: str, seconds: float) -> None:
        """A fill ended."""
        self._fills.labels(endpoint, result).inc()
        self._fill_durations.labels(endpoint).observe(seconds)

    def fill_wait(self, end: WaitEnd) -> None:
        """A wait for another replica's fill ended."""
        self._fill_waits.labels(end.value).inc()

    def adopted(self, changes: ChangedSymbols | None) -> None:
        """A new full document is in use."""
        self._documents.inc()
        if changes is not None:
            self._changes.labels("added").inc(len(changes.added))
            self._changes.labels("removed").inc(len(changes.removed))
            self._changes.labels("status").inc(len(changes.changed_status))

    def quarantined(self, reason: str) -> None:
        """A full document was suspicious."""
        self._quarantined.labels(reason).inc()
        self._kept_aside.labels(reason).inc()

    def told(self, api: str, kind: str) -> None:
        """This process wrote a change to the feed."""
        self._told.labels(api, kind).inc()

    def feed_ended(self, end: str) -> None:
        """A reader's stream has ended."""
        self._feed_ended.labels(end).inc()

    def operation(self, operation: RedisOperation, *, seconds: float, ok: bool) -> None:
        """A Redis operation ended."""
        count, observe = self._redis.get(operation.word) or self._redis_series(operation.word)
        count()
        observe(seconds)
        if not ok:
            self._redis_errors.labels(operation.word).inc()

    def _redis_series(self, operation: str) -> tuple[Callable[[], None], Callable[[float], None]]:
        count, observe = self._redis_operations.labels(operation).inc, self._redis_durations.labels(operation).observe
        return self._redis.setdefault(operation, (count, observe))

    def connection_closed(self, why: Closing) -> None:
        """A client's connection was closed or refused."""
        self._closed.labels(why.value).inc()

    def bound_reached(self, bound: Bound) -> None:
        """A bound of the listener made the gateway close or refuse."""
        self._bounds.labels(bound.value).inc()

    def certificate_read(self, *, is_good: bool) -> None:
        """The files of the certificate were read again."""
        self._certificates.labels("loaded" if is_good else "kept").inc()

    def lagged(self, seconds: float) -> None:
        """The event loop woke this much too late."""
        self._lag.observe(seconds)

    def exposition(self) -> bytes:
        """All series in Prometheus' text format."""
        from prometheus_client.exposition import generate_latest  # noqa: PLC0415 - brings a web server of its own

        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = BUCKETS_SECONDS) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, labels, registry=self.registry, buckets=buckets)


class PoolMetrics(Struct, frozen=True):
    """What happens to one pool of limits. Each method is one event."""

    pool: str
    _foreign: Counter
    _refusals: Counter
    _disbelieved: Counter

    def foreign_weight(self, weight: int) -> None:
        """The origin counted this weight, which no replica spent."""
        self._foreign.inc(weight)

    def limits_disbelieved(self, why: Absurdity) -> None:
        """A document has limits that are not believed."""
        self._disbelieved.labels(self.pool, why.value).inc()

    def refused(self, reason: str) -> None:
        """The quota kept a request from being sent."""
        self._refusals.labels(self.pool, reason).inc()


class _Reader(Collector):
    """Gauges whose values are read at scrape time."""

    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for sample in self._read():
            names = [name for name, _ in sample.labels]
            family = families.setdefault(
                sample.name, GaugeMetricFamily(f"{PREFIX}_{sample.name}", sample.help, labels=names)
            )
            family.add_metric([value for _, value in sample.labels], sample.value)
        return families.values()


LAG_SECONDS = 0.5
"""How often the event loop's lag is measured."""


async def measure_lag(metrics: Metrics) -> None:
    """Measure how late the event loop wakes."""
    while True:
        seconds, before = until_tick(LAG_SECONDS), time.perf_counter()
        await asyncio.sleep(seconds)
        metrics.lagged(max(0.0, time.perf_counter() - before - seconds))
