"""What is counted later, many in a row, is what would be counted one by one."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.reply import Outcome
from proxy.telemetry.backlog import MOST
from proxy.telemetry.durations import BUCKETS_SECONDS
from proxy.telemetry.heavy_hitters import HeavyHitters
from proxy.telemetry.metrics import PREFIX, Metrics
from proxy.telemetry.request_counters import FROM_CACHE, EndpointTotals
from tests.sizes import sized
from tests.telemetry.test_metrics import families, reply

ENDPOINTS = st.sampled_from(("exchangeInfo", "time"))
WEIGHTS = st.sampled_from((0, 1, 2, 20))
SECONDS = st.sampled_from((0.0, 2**-11, 0.25, 0.75, 16.0))
"""They add up exactly in any order."""
CLIENTS = st.sampled_from((None, "", "other", *(f"bot {number}" for number in range(12))))
SPENT = st.tuples(st.just("spent"), ENDPOINTS, WEIGHTS, CLIENTS)
ANSWERED = st.tuples(st.just("answered"), ENDPOINTS, WEIGHTS, st.sampled_from(Outcome), SECONDS)
HIT = st.tuples(st.just("hit"), ENDPOINTS, WEIGHTS)
ATTEMPT = st.tuples(st.just("attempt"), st.sampled_from(("one", "two")), st.sampled_from(("200", "reset")), SECONDS)
READ = st.just(("read",))
TIMES = st.sampled_from((1, 1, 1, 1, 1, 1, 1, 2, 3, MOST))


class OneByOne:
    """Counts each event when it happens."""

    def __init__(self) -> None:
        self.totals: dict[str, EndpointTotals] = {}
        self.unpaid: Counter[str] = Counter()
        self.clients = HeavyHitters()
        self.answers: Counter[tuple[str, ...]] = Counter()
        self.attempts: Counter[tuple[str, ...]] = Counter()
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        """By endpoint and host."""

    def spent(self, endpoint: str, weight: int, client: str | None) -> None:
        self._of(endpoint).weight_spent += weight
        self.unpaid[endpoint] += weight
        if client:
            self.clients.spend(client, weight)

    def answered(self, endpoint: str, weight: int, outcome: Outcome, seconds: float) -> None:
        total, paid = self._of(endpoint), min(weight, self.unpaid[endpoint])
        self.unpaid[endpoint] -= paid
        total.weight_saved += weight - paid
        total.requests += 1
        total.from_cache += outcome in FROM_CACHE
        self.answers[outcome.value, endpoint, "200"] += 1
        self.seconds[endpoint].append(seconds)

    def attempt(self, host: str, status: str, seconds: float) -> None:
        self.attempts[host, status] += 1
        self.seconds[host].append(seconds)

    def within(self, bound: float) -> dict[str, int]:
        """How many took no longer."""
        return {owner: sum(each <= bound for each in seconds) for owner, seconds in self.seconds.items()}

    def _of(self, endpoint: str) -> EndpointTotals:
        return self.totals.setdefault(endpoint, EndpointTotals(endpoint))


def happen(metrics: Metrics, model: OneByOne, event: tuple[object, ...]) -> None:
    """The event, in both."""
    match event:
        case ("spent", str(endpoint), int(weight), (str() | None) as client):
            metrics.spent(endpoint, weight, client=client)
            model.spent(endpoint, weight, client)
        case ("answered", str(endpoint), int(weight), Outcome() as outcome, float(seconds)):
            metrics.answered(reply(outcome, weight=weight, endpoint=endpoint), seconds)
            model.answered(endpoint, weight, outcome, seconds)
        case ("hit", str(endpoint), int(weight)):
            metrics.requests.tally(reply(Outcome.HIT, weight=weight, endpoint=endpoint), fast=True).count += 1
            model.answered(endpoint, weight, Outcome.HIT, 0.0)
        case ("attempt", str(host), str(status), float(seconds)):
            metrics.upstream_answered(host, status=status, seconds=seconds)
            model.attempt(host, status, seconds)
        case _:
            read_alike(metrics, model)


def read_alike(metrics: Metrics, model: OneByOne) -> None:
    """Whoever reads sees all that has happened, whatever is read first."""
    assert metrics.requests.clients() == model.clients.counters()
    assert {total.endpoint: total for total in metrics.requests.totals()} == model.totals


def exposed(metrics: Metrics) -> Mapping[str, dict[tuple[str, ...], float]]:
    """The values of each series by their labels, which are in order."""
    told: defaultdict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for family in families(metrics):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            told[sample.name.removeprefix(f"{PREFIX}_")][labels] = sample.value
    return told


@settings(max_examples=sized(quick=30, usual=50, long=1000))
@given(st.lists(st.tuples(st.one_of(SPENT, ANSWERED, HIT, ATTEMPT, READ), TIMES), min_size=15, max_size=40))
def test_counting_later_is_counting_one_by_one(plan: list[tuple[tuple[object, ...], int]]) -> None:
    metrics, model = Metrics(), OneByOne()
    for event, times in plan:
        for _ in range(1 if event == ("read",) else times):
            happen(metrics, model, event)
    told = exposed(metrics)
    answered = {endpoint: total for endpoint, total in model.totals.items() if total.requests}
    assert told["requests_total"] == model.answers
    assert told["weight_saved_total"] == {(name,): total.weight_saved for name, total in answered.items()}
    assert told["upstream_requests_total"] == model.attempts
    name = "request_duration_seconds"
    sums = told[f"{name}_sum"] | told[f"upstream_{name}_sum"]
    assert sums == {(owner,): sum(seconds) for owner, seconds in model.seconds.items()}
    buckets = told[f"{name}_bucket"] | told[f"upstream_{name}_bucket"]
    for bound in (*BUCKETS_SECONDS, math.inf):
        le = "+Inf" if bound == math.inf else str(bound)
        assert {owner: buckets[owner, le] for owner in model.seconds} == model.within(bound)
    read_alike(metrics, model)


def test_hits_of_the_fast_path_count_when_they_come() -> None:
    metrics, model = Metrics(), OneByOne()
    spent, hit = ("spent", "time", 2, None), ("hit", "time", 2)
    for event in (spent, hit, hit, spent, hit, hit, hit, spent, spent, hit):
        happen(metrics, model, event)
    read_alike(metrics, model)
    assert model.totals["time"].weight_saved == 6


def test_few_events_wait() -> None:
    metrics = Metrics()
    for _ in range(3 * MOST):
        metrics.spent("time", 1)
        metrics.upstream_answered("one", status="200", seconds=0.1)
        waiting = metrics.requests._events, metrics.upstream._attempts
        assert len(waiting[0]) < 2 * MOST
        assert len(waiting[1]) < MOST
    metrics.answered(reply(Outcome.BYPASS, endpoint="time"), 0.1)
    assert len(metrics.requests._events) < MOST
