"""The answers to clients, counted in plain integers and turned into series at scrape time.

Owns: the tallies of answers, their durations, and the weight they saved. Must not know: the other series, HTTP.
Counting costs a dictionary look-up on the slow path and a single addition on the fast path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.core.reply import Outcome, Reply
from proxy.telemetry.durations import Durations

FROM_CACHE = frozenset(
    {Outcome.HIT, Outcome.SNAPSHOT, Outcome.STALE, Outcome.STALE_IF_ERROR, Outcome.COLLAPSED, Outcome.CLOCK}
)
"""The outcomes of requests that were answered without a request to the origin of their own."""


class Tally:
    """The number of answers with the same labels and weight. A struct would take longer to count a hit."""

    __slots__ = ("count", "endpoint", "fast", "outcome", "status", "weight")

    def __init__(self, endpoint: str, status: str, outcome: Outcome, weight: int, fast: bool) -> None:
        self.endpoint = endpoint
        self.status = status
        self.outcome = outcome
        self.weight = weight
        self.fast = fast
        self.count = 0


class EndpointTotals(Struct):
    """What one endpoint did since this process began."""

    endpoint: str
    requests: int = 0
    from_cache: int = 0
    """Requests that were answered without a request to the origin of their own."""
    weight_spent: int = 0
    weight_saved: int = 0


class _Sums(Struct):
    """What is counted of one endpoint."""

    durations: Durations
    tallies: list[Tally]
    spent: int | None = None
    """The weight sent to the origin; None: nothing was sent."""
    unpaid: int = 0
    """The weight spent that no answer has paid back yet."""
    settled: int = 0
    """The weight of the answers that `settle` has counted."""
    saved: int = 0

    def settle(self) -> None:
        """Count the weight of the answers since the last call as saved, less the weight that is unpaid."""
        weight = 0
        for tally in self.tallies:
            weight += tally.count * tally.weight
        new = weight - self.settled
        if new:
            paid = min(new, self.unpaid)
            self.unpaid -= paid
            self.saved += new - paid
            self.settled = weight


class RequestCounters(Collector):
    """All tallies of one process."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._tallies: dict[tuple[str, int, Outcome, int, bool], Tally] = {}
        self._sums: dict[str, _Sums] = {}
        """By endpoint."""

    def tally(self, reply: Reply, *, fast: bool = False) -> Tally:
        """The tally that counts answers like this one."""
        return self._tally((reply.endpoint, reply.status, reply.outcome, reply.weight, fast))

    def _tally(self, key: tuple[str, int, Outcome, int, bool]) -> Tally:
        tally = self._tallies.get(key)
        if tally is None:
            endpoint, status, outcome, weight, fast = key
            tally = self._tallies[key] = Tally(endpoint, str(status), outcome, weight, fast)
            self._of(endpoint).tallies.append(tally)
        return tally

    def answered(self, labels: tuple[str, int, Outcome, int], seconds: float) -> None:
        """A client got its reply on the slow path, after this time: endpoint, status, outcome, and weight of it."""
        self._tally((*labels, False)).count += 1
        self._sums[labels[0]].durations.observe(seconds)

    def spent(self, endpoint: str, weight: int) -> None:
        """This weight was sent to the origin. The next answers pay it back before they count as saved."""
        sums = self._of(endpoint)
        sums.settle()
        sums.unpaid += weight
        sums.spent = weight + (sums.spent or 0)

    def totals(self) -> list[EndpointTotals]:
        """The sums of each endpoint that was asked or sent to, in no order."""
        return [_totals(endpoint, sums) for endpoint, sums in self._settled()]

    def collect(self) -> Iterable[Metric]:
        """The present values of the series."""
        yield from (self._requests(), self._collapsed(), self._weight_spent(), self._weight_saved(), self._durations())

    def _of(self, endpoint: str) -> _Sums:
        sums = self._sums.get(endpoint)
        if sums is None:
            sums = self._sums[endpoint] = _Sums(Durations.none(), [])
        return sums

    def _settled(self) -> Iterable[tuple[str, _Sums]]:
        """Each endpoint, with all its answers counted."""
        for endpoint, sums in self._sums.items():
            sums.settle()
            yield endpoint, sums

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

    def _weight_spent(self) -> Metric:
        text = "Weight of the requests sent to the origin."
        family = CounterMetricFamily(f"{self._prefix}_weight_spent", text, labels=("endpoint",))
        for endpoint, sums in self._sums.items():
            if sums.spent is not None:
                family.add_metric((endpoint,), sums.spent)
        return family

    def _weight_saved(self) -> Metric:
        text = "Weight of the answers given, less what was spent on them."
        family = CounterMetricFamily(f"{self._prefix}_weight_saved", text, labels=("endpoint",))
        for endpoint, sums in self._settled():
            if sums.tallies:
                family.add_metric((endpoint,), sums.saved)
        return family

    def _durations(self) -> Metric:
        text = "Time to answer a client; the fast path's answers count in the first bucket."
        family = HistogramMetricFamily(f"{self._prefix}_request_duration_seconds", text, labels=("endpoint",))
        for endpoint, sums in self._sums.items():
            fast = sum(tally.count for tally in sums.tallies if tally.fast)
            if sums.tallies:
                family.add_metric((endpoint,), sums.durations.cumulative(fast), sums.durations.seconds)
        return family


def _totals(endpoint: str, sums: _Sums) -> EndpointTotals:
    return EndpointTotals(
        endpoint,
        requests=sum(tally.count for tally in sums.tallies),
        from_cache=sum(tally.count for tally in sums.tallies if tally.outcome in FROM_CACHE),
        weight_spent=sums.spent or 0,
        weight_saved=sums.saved,
    )
