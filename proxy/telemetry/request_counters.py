"""The answers to clients, counted in plain integers and turned into series at scrape time.

Owns: the tallies of answers, their durations, the weight they saved, and what was spent for whom. Must not know: the
other series, HTTP. An event costs an entry in a list on the slow path, and a single addition on the fast path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate, filterfalse
from operator import itemgetter
from typing import Any

from msgspec import Struct
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.core.reply import Outcome, Reply
from proxy.telemetry.backlog import MOST, by_owner
from proxy.telemetry.durations import Durations
from proxy.telemetry.heavy_hitters import HeavyHitters

FROM_CACHE = frozenset(
    {Outcome.HIT, Outcome.SNAPSHOT, Outcome.STALE, Outcome.STALE_IF_ERROR, Outcome.COLLAPSED, Outcome.CLOCK}
)
"""The outcomes of requests that were answered without a request to the origin of their own."""

_TOO_MANY = 2 * MOST
"""More than `MOST`, so that events are usually counted after an answer, when no client waits."""
_WEIGHT, _OUTCOME, _SECONDS, _LABELS = itemgetter(1), itemgetter(2), itemgetter(4), itemgetter(0, 3, 2, 1)
"""Of an answer: (endpoint, weight, outcome, status, seconds)."""
_SPENDING, _CLIENT, _FOR_CLIENT = itemgetter(0, 1), itemgetter(3), itemgetter(3, 4)
"""Of what was sent: (endpoint, less its weight, None, client, its weight)."""


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
    ahead: int = 0
    """By how much the weight of the answers on the slow path is more than the weight sent."""
    saved: int = 0
    """The largest lead so far of the weight of all answers over the weight sent."""

    def count(self, weights: Iterable[int]) -> None:
        """Count weights in order, those sent as negative. The hits of the fast path came before all that was sent."""
        hits = sum(tally.count * tally.weight for tally in self.tallies if tally.fast)
        ahead = [*accumulate(weights, initial=self.ahead)]
        self.saved = max(self.saved, hits + max(ahead))
        self.ahead = ahead[-1]


class RequestCounters(Collector):
    """All tallies of one process."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._events: list[tuple[Any, ...]] = []
        """Answers on the slow path and what was sent, in order, not counted yet."""
        self._hit: set[str] = set()
        """The endpoints that the fast path answers."""
        self._tallies: dict[tuple[str, int, Outcome, int, bool], Tally] = {}
        self._sums: dict[str, _Sums] = {}
        """By endpoint."""
        self._clients = HeavyHitters()

    def answered(self, reply: Reply, seconds: float) -> None:
        """A client got its reply on the slow path, after this time."""
        events = self._events
        events.append((reply.endpoint, reply.weight, reply.outcome, reply.status, seconds))  # the body must not wait
        if len(events) >= MOST:
            self._count()

    def spent(self, endpoint: str, weight: int, *, client: str | None = None) -> None:
        """This weight was sent to the origin, for this client. The next answers pay it back before they count as saved.

        Hits of the fast path are no events. So for an endpoint that it answers this is counted at once: the hits before
        must not pay it back.
        """
        events = self._events
        events.append((endpoint, -weight, None, client, weight))
        if len(events) >= _TOO_MANY or endpoint in self._hit:
            self._count()

    def tally(self, reply: Reply, *, fast: bool = False) -> Tally:
        """The tally that counts answers like this one."""
        if fast and reply.endpoint not in self._hit:
            self._count()
            self._hit.add(reply.endpoint)
        return self._tally((reply.endpoint, reply.status, reply.outcome, reply.weight, fast))

    def totals(self) -> list[EndpointTotals]:
        """The sums of each endpoint that was asked or sent to, in no order."""
        self._settle()
        return [_totals(endpoint, sums) for endpoint, sums in self._sums.items()]

    def clients(self) -> Mapping[str, int]:
        """The weight spent for each client, as `HeavyHitters.counters`."""
        self._count()
        return self._clients.counters()

    def collect(self) -> Iterable[Metric]:
        """The present values of the series."""
        self._settle()
        yield from (self._requests(), self._collapsed(), self._weight_spent(), self._weight_saved(), self._durations())
        yield self._weight_of_clients()

    def _count(self) -> None:
        """Count the events that wait."""
        events, self._events = self._events, []
        answers, spending = [*filter(_OUTCOME, events)], [*filterfalse(_OUTCOME, events)]
        for endpoint, of_endpoint in by_owner(events):
            self._of(endpoint).count(map(_WEIGHT, of_endpoint))
        for (endpoint, less), times in Counter(map(_SPENDING, spending)).items():
            sums = self._sums[endpoint]
            sums.spent = (sums.spent or 0) - less * times
        self._clients.spend_all([*map(_FOR_CLIENT, filter(_CLIENT, spending))])
        for labels, times in Counter(map(_LABELS, answers)).items():
            self._tally((*labels, False)).count += times
        for endpoint, of_endpoint in by_owner(answers):
            self._sums[endpoint].durations.observe([*map(_SECONDS, of_endpoint)])

    def _settle(self) -> None:
        """Count the events that wait, and the hits of the fast path."""
        self._count()
        for sums in self._sums.values():
            sums.count(())

    def _of(self, endpoint: str) -> _Sums:
        sums = self._sums.get(endpoint)
        if sums is None:
            sums = self._sums[endpoint] = _Sums(Durations.none(), [])
        return sums

    def _tally(self, key: tuple[str, int, Outcome, int, bool]) -> Tally:
        tally = self._tallies.get(key)
        if tally is None:
            endpoint, status, outcome, weight, fast = key
            tally = self._tallies[key] = Tally(endpoint, str(status), outcome, weight, fast)
            self._of(endpoint).tallies.append(tally)
        return tally

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
        for endpoint, sums in self._sums.items():
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

    def _weight_of_clients(self) -> Metric:
        text = "Weight of the requests sent to the origin for a client: the ten heaviest, and all others."
        family = CounterMetricFamily(f"{self._prefix}_client_weight_spent", text, labels=("client",))
        for client, weight in self._clients.counters().items():
            family.add_metric((printable(client),), weight)
        return family


def printable(client: str) -> str:
    """A client's name, with its bytes that are not UTF-8 escaped."""
    return client.encode("utf-8", "backslashreplace").decode()


def _totals(endpoint: str, sums: _Sums) -> EndpointTotals:
    return EndpointTotals(
        endpoint,
        requests=sum(tally.count for tally in sums.tallies),
        from_cache=sum(tally.count for tally in sums.tallies if tally.outcome in FROM_CACHE),
        weight_spent=sums.spent or 0,
        weight_saved=sums.saved,
    )
