"""deploy/METRICS.md names each value of a label of an enum or an error, each field of /status, each log event."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.core.cache.fill_wait import WaitEnd
from proxy.core.document.changes import ChangedSymbols, ChangeKind
from proxy.core.quota.block import BlockReason
from proxy.core.reply import Outcome
from proxy.errors import Cause, SendingRefused
from proxy.redis_client.connection import RedisOperation
from proxy.server.feed import End
from proxy.telemetry.events import EventName
from proxy.telemetry.metrics import Metrics
from tests.gateway.harness import stage
from tests.pages.markdown import ROOT, rows, section, words
from tests.pages.test_readme import errors
from tests.simulator import Fault

PAGE = (ROOT / "deploy" / "METRICS.md").read_text()
PREFIX = "binance_sidecar_"
SERIES = rows(section(PAGE, "The series"))
MEANINGS = {words(row[0])[0].removeprefix(PREFIX): row[3] for row in SERIES}
LABELS = {words(row[0])[0]: set(words(row[2])) for row in SERIES}
STATUS = rows(section(PAGE, "The status page"))
WRITERS = {"write", "log.info", "log.warning", "log.error", "log.exception"}


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("requests_total", {outcome.value for outcome in Outcome}),
        ("fill_waits_total", {end.value for end in WaitEnd}),
        ("refusals_total", {error.reason for error in errors(SendingRefused)}),
        ("upstream_connection_failures_total", {cause.value for cause in Cause}),
        ("blocked_until_timestamp_seconds", {reason.value for reason in BlockReason}),
        ("feed_changes_total", {kind.value for kind in ChangeKind}),
        ("feed_ended_total", {end.value for end in End}),
    ],
)
def test_every_value_of_the_label_is_named(metric: str, values: set[str]) -> None:
    assert set(words(MEANINGS[metric])) - {"cache"} == values


def test_no_metric_stands_twice() -> None:
    assert len(MEANINGS) == len(SERIES)


def everything_counted() -> Metrics:
    """Each event once, so that each series with labels is there."""
    metrics = Metrics()
    metrics.spent("time", 1, client="bot")
    metrics.upstream_answered("host", status="200", seconds=0.1)
    metrics.connection_failed("host", cause="dns")
    metrics.of_pool("spot").refused("quota")
    metrics.filled("exchangeInfo", result="stored", seconds=0.1)
    metrics.fill_wait(WaitEnd.FILLED)
    metrics.adopted(ChangedSymbols((), (), ()))
    metrics.told("spot", "listed")
    metrics.feed_ended("left")
    metrics.quarantined("half-missing")
    metrics.operation(RedisOperation.GET, seconds=0.1, ok=False)
    return metrics


def test_the_labels_are_those_of_the_series() -> None:
    counted = {}
    for family in text_string_to_metric_families(everything_counted().exposition().decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        if name.startswith(PREFIX) and labels:
            counted[name] = labels
    assert len(counted) > 12
    assert counted == {name: LABELS[name] for name in counted}


async def test_every_field_of_the_status_page_is_described() -> None:
    async with stage(ops_port=None) as on:
        await on.ask("/api/v3/exchangeInfo")
        on.origin.set_fault(Fault.TEAPOT_418, retry_after=30)
        await on.ask("/api/v3/time")
        told = (await on.ask("/status")).json
    described = {name: set(words(row[1])) for row in STATUS for name in words(row[0])}
    assert set(described) == set(told)
    for name, value in told.items():
        for part in value if isinstance(value, list) else [value]:
            fields = set(part) if isinstance(part, dict) and name != "blocked" else set()
            assert fields <= described[name], name


def test_every_log_event_is_described_but_those_for_finding_faults() -> None:
    files = sorted((ROOT / "proxy").rglob("*.py"))
    told = {event for path in files for event in log_events(ast.parse(path.read_text()))}
    assert {word for row in rows(section(PAGE, "Log events for people")) for word in words(row[0])} == set(EventName)
    assert {word for row in rows(section(PAGE, "Other log events")) for word in words(row[0])} == told


def test_log_events_are_found_however_they_are_written() -> None:
    source = 'log.debug("a")\nlog.info("b", x=1)\npartial(log.error, "c", y=2)\nwrite("d")\nother("e")'
    assert list(log_events(ast.parse(source))) == ["b", "c", "d"]


def log_events(tree: ast.Module) -> Iterator[str]:
    """The words that a module logs, in calls of `log`, of `write`, which is one of its methods, or put off."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            is_put_off = ast.unparse(call.func) == "partial"
            method, *arguments = call.args if is_put_off else [call.func, *call.args]
            if ast.unparse(method) in WRITERS and isinstance(arguments[0], ast.Constant):
                yield str(arguments[0].value)
