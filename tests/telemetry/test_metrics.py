"""What is counted, as Prometheus reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from proxy import __version__
from proxy.core.cache.fill_wait import WaitEnd
from proxy.core.document.changes import ChangedSymbols
from proxy.core.quota.limits import Absurdity
from proxy.core.reply import Outcome, Reply
from proxy.redis_client.connection import RedisOperation
from proxy.telemetry.metrics import PREFIX, Metrics, Sample

UNITS = ("_seconds", "_bytes", "_total", "_info", "_ratio")
UNITLESS_GAUGES = {"redis_up", "window_used"}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def reply(outcome: Outcome, *, weight: int = 20, status: int = 200, endpoint: str = "exchangeInfo") -> Reply:
    return Reply(status=status, headers=(), body=b"", outcome=outcome, endpoint=endpoint, weight=weight)


def series(metrics: Metrics) -> dict[str, float]:
    """Our samples as Prometheus reads them, `name{label="value"}` -> value, without the ones of buckets."""
    return {
        sample.name.removeprefix(f"{PREFIX}_")
        + "".join(f'{{{name}="{value}"}}' for name, value in sorted(sample.labels.items())): sample.value
        for family in families(metrics)
        for sample in family.samples
        if family.name.startswith(PREFIX) and not sample.name.endswith("_bucket")
    }


def families(metrics: Metrics) -> Iterator[Metric]:
    return iter(text_string_to_metric_families(metrics.exposition().decode()))


def changed(metrics: Metrics, before: dict[str, float]) -> dict[str, float]:
    """The series that changed, but for sums of durations."""
    after = series(metrics)
    return {
        name: after[name] - before.get(name, 0.0)
        for name in after
        if after[name] != before.get(name) and "_sum" not in name
    }


def everything(metrics: Metrics) -> None:
    """Each event once."""
    metrics.answered(reply(Outcome.COLLAPSED), 0.01)
    metrics.spent("exchangeInfo", 20)
    metrics.upstream_answered("api.binance.com", status="200", seconds=0.2)
    metrics.of_pool("spot").foreign_weight(7)
    metrics.of_pool("spot").refused("quota")
    metrics.filled("exchangeInfo", result="stored", seconds=0.3)
    metrics.fill_wait(WaitEnd.FILLED)
    metrics.adopted(ChangedSymbols(("A", "B"), ("C",), ("D", "E", "F")))
    metrics.quarantined("half-missing")
    metrics.operation(RedisOperation.GET, seconds=0.001, ok=False)
    metrics.lagged(0.002)
    metrics.read_at_scrape(
        lambda: [Sample("window_used", "Used.", 5, (("window", "w"),)), Sample("age_seconds", "A.", 2)]
    )


# --- Each event.


def test_the_weight_of_clients_is_counted_whatever_they_call_themselves(metrics: Metrics) -> None:
    metrics.spent("exchangeInfo", 20, client="bot")
    metrics.spent("time", 1, client='"\\}\n')
    metrics.spent("time", 1, client="\udcff")
    metrics.spent("exchangeInfo", 20)
    for number in range(100):
        metrics.spent("ping", 1, client=f"flood {number}")
    (family,) = (family for family in families(metrics) if family.name == f"{PREFIX}_client_weight_spent")
    told = {sample.labels["client"]: sample.value for sample in family.samples}
    assert told["bot"] == 20
    assert told['"\\}\n'] == told["\\udcff"] == 1
    assert told["other"] == 93
    assert len(told) == 11


@pytest.mark.no_cover
@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_answer_counts_by_endpoint_status_and_outcome(metrics: Metrics, outcome: Outcome) -> None:
    before = series(metrics)
    metrics.answered(reply(outcome, weight=0, status=418), 0.5)
    expected = {
        f'requests_total{{cache="{outcome.value}"}}{{endpoint="exchangeInfo"}}{{status="418"}}': 1,
        'request_duration_seconds_count{endpoint="exchangeInfo"}': 1,
    }
    if outcome is Outcome.COLLAPSED:
        expected['collapsed_requests_total{endpoint="exchangeInfo"}'] = 1
    told = changed(metrics, before)
    told.pop('weight_saved_total{endpoint="exchangeInfo"}', None)
    assert told == expected


def test_durations_are_added_up_and_sorted_into_buckets(metrics: Metrics) -> None:
    for seconds in (0.0004, 0.0005, 0.03, 100.0):
        metrics.answered(reply(Outcome.HIT), seconds)
    (family,) = (family for family in families(metrics) if family.name == f"{PREFIX}_request_duration_seconds")
    buckets = {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert (buckets["0.0005"], buckets["0.025"], buckets["0.05"], buckets["10.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert series(metrics)['request_duration_seconds_sum{endpoint="exchangeInfo"}'] == pytest.approx(100.0309)


def test_every_other_event_counts_in_its_own_series(metrics: Metrics) -> None:
    pool = metrics.of_pool("futures")
    before = series(metrics)
    metrics.upstream_answered("api.binance.com", status="too-slow", seconds=0.2)
    pool.foreign_weight(7)
    pool.refused("ban")
    pool.limits_disbelieved(Absurdity.TOO_LOW)
    metrics.filled("exchangeInfo", result="stored", seconds=0.3)
    metrics.fill_wait(WaitEnd.EXPIRED)
    metrics.adopted(ChangedSymbols(("A", "B"), ("C",), ("D", "E", "F")))
    metrics.adopted(None)
    metrics.quarantined("half-missing")
    metrics.operation(RedisOperation.PUT, seconds=0.001, ok=True)
    metrics.operation(RedisOperation.GET, seconds=0.001, ok=False)
    metrics.lagged(0.002)
    assert changed(metrics, before) == {
        'upstream_requests_total{host="api.binance.com"}{status="too-slow"}': 1,
        'upstream_request_duration_seconds_count{host="api.binance.com"}': 1,
        'foreign_weight_total{pool="futures"}': 7,
        'refusals_total{pool="futures"}{reason="ban"}': 1,
        'limits_disbelieved_total{pool="futures"}{reason="too-low"}': 1,
        'fills_total{endpoint="exchangeInfo"}{result="stored"}': 1,
        'fill_duration_seconds_count{endpoint="exchangeInfo"}': 1,
        'fill_waits_total{end="expired"}': 1,
        "documents_adopted_total": 2,
        'symbol_changes_total{change="added"}': 2,
        'symbol_changes_total{change="removed"}': 1,
        'symbol_changes_total{change="status"}': 3,
        'documents_kept_aside_total{reason="half-missing"}': 1,
        'documents_quarantined_total{reason="half-missing"}': 1,
        'redis_operations_total{operation="put"}': 1,
        'redis_operations_total{operation="get"}': 1,
        'redis_errors_total{operation="get"}': 1,
        'redis_operation_duration_seconds_count{operation="put"}': 1,
        'redis_operation_duration_seconds_count{operation="get"}': 1,
        "event_loop_lag_seconds_count": 1,
    }


def test_gauges_of_others_are_read_anew_at_each_scrape(metrics: Metrics) -> None:
    state = [1.0]
    metrics.read_at_scrape(
        lambda: [
            Sample("window_used", "Used.", state[0], (("window", "one"),)),
            Sample("window_used", "Used.", 2.0, (("window", "two"),)),
            Sample("age_seconds", "Age.", state[0] * 10),
        ]
    )
    told = series(metrics)
    assert (told['window_used{window="one"}'], told['window_used{window="two"}'], told["age_seconds"]) == (1, 2, 10)
    state[0] = 3.0
    assert series(metrics)["age_seconds"] == 30


def test_the_version_is_told(metrics: Metrics) -> None:
    (info,) = (family for family in families(metrics) if family.name == f"{PREFIX}_build_info")
    assert info.samples[0].labels["version"] == __version__


# --- Weight saved.


def saved(metrics: Metrics, endpoint: str = "exchangeInfo") -> float:
    return series(metrics).get(f'weight_saved_total{{endpoint="{endpoint}"}}', 0.0)


def test_what_a_fill_spent_is_paid_back_by_its_own_answer(metrics: Metrics) -> None:
    metrics.spent("exchangeInfo", 20)
    metrics.answered(reply(Outcome.MISS), 0.1)
    assert saved(metrics) == 0
    metrics.answered(reply(Outcome.HIT), 0.1)
    assert saved(metrics) == 20


def test_a_fill_for_nobody_is_paid_back_by_the_first_hits(metrics: Metrics) -> None:
    metrics.spent("exchangeInfo", 20)
    metrics.spent("exchangeInfo", 20)
    assert saved(metrics) == 0
    for told in (0, 0, 20, 40):
        metrics.answered(reply(Outcome.SNAPSHOT), 0.1)
        assert saved(metrics) == told


def test_what_was_saved_before_is_not_taken_back(metrics: Metrics) -> None:
    metrics.answered(reply(Outcome.HIT), 0.1)
    metrics.spent("exchangeInfo", 20)
    assert saved(metrics) == 20
    metrics.answered(reply(Outcome.HIT), 0.1)
    assert saved(metrics) == 20


def test_a_debt_may_be_paid_back_in_parts(metrics: Metrics) -> None:
    metrics.spent("executionRules", 40)
    for told in (0, 20, 50):
        metrics.answered(reply(Outcome.HIT, weight=30, endpoint="executionRules"), 0.1)
        assert saved(metrics, "executionRules") == told


def test_endpoints_do_not_pay_for_each_other(metrics: Metrics) -> None:
    metrics.spent("time", 1)
    metrics.answered(reply(Outcome.HIT), 0.1)
    assert (saved(metrics), saved(metrics, "time")) == (20, 0)


def test_errors_save_nothing(metrics: Metrics) -> None:
    metrics.answered(reply(Outcome.FAILED, weight=0, status=502), 0.1)
    assert saved(metrics) == 0


# --- Conventions (https://prometheus.io/docs/practices/naming/).


def test_names_follow_the_conventions_of_prometheus(metrics: Metrics) -> None:
    everything(metrics)
    ours = [family for family in families(metrics) if family.name.startswith(PREFIX)]
    assert len(ours) > 20
    for family in ours:
        assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", family.name), family.name
        assert family.documentation.endswith("."), family.name
        match family.type:
            case "counter":
                assert {sample.name for sample in family.samples} <= {f"{family.name}_total"}, family.name
            case "histogram":
                assert family.name.endswith("_seconds"), family.name
            case "gauge":
                bare = family.name.removeprefix(f"{PREFIX}_")
                assert bare in UNITLESS_GAUGES or bare.endswith(UNITS), family.name
            case other:
                pytest.fail(f"{family.name} is a {other}")
        for sample in family.samples:
            assert not {"le", "quantile"} & set(sample.labels) or family.type == "histogram"
            assert all(re.fullmatch(r"[a-z][a-z_]*", label) for label in sample.labels)


def test_no_family_is_told_twice(metrics: Metrics) -> None:
    everything(metrics)
    text = metrics.exposition().decode()
    heads = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert sorted(heads) == sorted(set(heads))
    assert "_created" not in text


def test_two_sets_of_metrics_know_nothing_of_each_other() -> None:
    one, other = Metrics(), Metrics()
    one.of_pool("spot").refused("quota")
    assert 'refusals_total{pool="spot",reason="quota"}' not in series(other)


def test_the_process_is_described_too(metrics: Metrics) -> None:
    names = {family.name for family in families(metrics)}
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "python_info", "python_gc_collections"} <= names
