"""The answers to clients, counted in plain integers and turned into series at scrape time.

Owns: the tallies of answers, their durations, and the weight they saved. Must not know: the other series, HTTP.
Counting costs a dictionary look-up on the slow path and a single addition on the fast path.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable

from msgspec import Struct
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.core.reply import Outcome, Reply

BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds. Every answer on the fast path is far below the first."""


FROM_CACHE = frozenset(
    {Outcome.HIT, Outcome.SNAPSHOT, Outcome.STALE, Outcome.STALE_IF_ERROR, Outcome.COLLAPSED, Outcome.CLOCK}
)
"""The outcomes of requests that were answered without a request to the origin of their own."""


class Tally(Struct):
    """The number of answers with the same labels and weight."""

    endpoint: str
    status: str
    outcome: Outcome
    weight: int
    fast: bool
    count: int = 0


class EndpointTotals(Struct):
    """What one endpoint did since this process began."""

    endpoint: str
    requests: int = 0
    from_cache: int = 0
    """Requests that were answered without a request to the origin of their own."""
    weight_spent: int = 0
    weight_saved: int = 0


class RequestCounters(Collector):
    """All tallies of one process."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._tallies: dict[tuple[str, int, Outcome, int, bool], Tally] = {}
        self._of_endpoint: defaultdict[str, list[Tally]] = defaultdict(list)
        """The same by their endpoint."""
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS_SECONDS) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._unpaid: Counter[str] = Counter()
        """The weight spent that no answer has paid back yet."""
        self._settled: Counter[str] = Counter()
        """The weight of the answers that `_settle` has counted."""
        self._saved: Counter[str] = Counter()
        self._spent: Counter[str] = Counter()

    def tally(self, reply: Reply, *, fast: bool = False) -> Tally:
        """The tally that counts answers like this one."""
        key = (reply.endpoint, reply.status, reply.outcome, reply.weight, fast)
        tally = self._tallies.get(key)
        if tally is None:
            tally = Tally(reply.endpoint, str(reply.status), reply.outcome, reply.weight, fast)
            self._tallies[key] = tally
            self._of_endpoint[tally.endpoint].append(tally)
        return tally

    def answered(self, reply: Reply, seconds: float) -> None:
        """A client got its reply on the slow path, after this time."""
        self.tally(reply).count += 1
        self._buckets[reply.endpoint][bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self._seconds[reply.endpoint] += seconds

    def spent(self, endpoint: str, weight: int) -> None:
        """This weight was sent to the origin. The next answers pay it back before they count as saved."""
        self._settle_one(endpoint)
        self._unpaid[endpoint] += weight
        self._spent[endpoint] += weight

    def totals(self) -> list[EndpointTotals]:
        """The sums of each endpoint that was asked or sent to, in no order."""
        self._settle()
        names = dict.fromkeys([tally.endpoint for tally in self._tallies.values()] + list(self._spent))
        totals = {
            name: EndpointTotals(name, weight_spent=self._spent[name], weight_saved=self._saved[name]) for name in names
        }
        for tally in self._tallies.values():
            total = totals[tally.endpoint]
            total.requests += tally.count
            total.from_cache += tally.count if tally.outcome in FROM_CACHE else 0
        return list(totals.values())

    def collect(self) -> Iterable[Metric]:
        """The present values of the series."""
        self._settle()
        yield from (self._requests(), self._collapsed(), self._weight_saved(), self._durations())

    def _settle(self) -> None:
        """Count the weight of the answers since the last call as saved, less the weight that is unpaid."""
        for endpoint in list(self._of_endpoint):
            self._settle_one(endpoint)

    def _settle_one(self, endpoint: str) -> None:
        weight, tallies = 0, self._of_endpoint.get(endpoint)
        if tallies is None:
            return
        for tally in tallies:
            weight += tally.count * tally.weight
        new = weight - self._settled[endpoint]
        if not new and endpoint in self._saved:
            return
        paid = min(new, self._unpaid[endpoint])
        self._unpaid[endpoint] -= paid
        self._saved[endpoint] += new - paid
        self._settled[endpoint] = weight

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            f"{self._prefix}_requests", "Client requests.", labels=("endpoint", "status", "cache")
        )
        counts: Counter[tuple[str, str, str]] = Counter()
        for tally in self._tallies.values():
            counts[tally.endpoint, tally.status, tally.outcome.value] += tally.count
        for labels, count in counts.items():
            family.add_metric(labels, count)
        return family

    def _collapsed(self) -> Metric:
        text = "Requests that joined another's fill."
        family = CounterMetricFamily(f"{self._prefix}_collapsed_requests", text, labels=("endpoint",))
        counts: Counter[str] = Counter()
        for tally in self._tallies.values():
            if tally.outcome is Outcome.COLLAPSED:
                counts[tally.endpoint] += tally.count
        for endpoint, count in counts.items():
            family.add_metric((endpoint,), count)
        return family

    def _weight_saved(self) -> Metric:
        text = "Weight of the answers given, less what was spent on them."
        family = CounterMetricFamily(f"{self._prefix}_weight_saved", text, labels=("endpoint",))
        for endpoint, weight in self._saved.items():
            family.add_metric((endpoint,), weight)
        return family

    def _durations(self) -> Metric:
        text = "Time to answer a client; the fast path's answers count in the first bucket."
        family = HistogramMetricFamily(f"{self._prefix}_request_duration_seconds", text, labels=("endpoint",))
        fast: Counter[str] = Counter()
        for tally in self._tallies.values():
            fast[tally.endpoint] += tally.count if tally.fast else 0
        bounds = [str(bound) for bound in BUCKETS_SECONDS] + ["+Inf"]
        for endpoint in fast:
            total, buckets = fast[endpoint], []
            for bound, count in zip(bounds, self._buckets[endpoint], strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric((endpoint,), buckets, self._seconds[endpoint])
        return family
