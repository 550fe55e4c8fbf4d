"""Every metric that is named somewhere exists, and every metric that exists is documented."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.test_prometheus import RULES, alerts
from tests.deploy.toolbox import DEPLOY
from tests.gateway.harness import INFO, stage
from tests.pages.markdown import pages

METRICS = DEPLOY / "METRICS.md"
RUNBOOK = DEPLOY / "RUNBOOK.md"
_ROW = re.compile(r"^\| `(binance_sidecar_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
_OF_HISTOGRAM = ("_bucket", "_count", "_sum")


async def _existing() -> dict[str, tuple[str, set[str]]]:
    """Each metric of a gateway that has seen something: its type and labels."""
    async with stage(redis_url="embedded:") as on:
        await on.ask(INFO)
        await on.ask("/api/v3/time")
        async with aiohttp.ClientSession() as session, session.get(f"{on.app.ops_url}/metrics") as answer:
            families = list(text_string_to_metric_families(await answer.text()))
    found = {}
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if name.startswith("binance_sidecar_"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            found[name] = (family.type, labels)
    return found


def _documented() -> dict[str, tuple[str, set[str]]]:
    rows = _ROW.findall(METRICS.read_text())
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


async def test_every_metric_is_documented_and_every_documented_metric_exists() -> None:
    existing, documented = await _existing(), _documented()
    assert sorted(documented) == sorted(existing)
    for name, (kind, labels) in existing.items():
        assert documented[name][0] == kind, name
        assert documented[name][1] == labels or not labels, name


async def test_every_metric_that_is_named_exists() -> None:
    existing = set(await _existing())
    files = [*RULES, DEPLOY / "grafana" / "dashboards" / "binance-sidecar.json", *pages()]
    for path in files:
        assert _unknown(path, existing) == set(), path.name


def _unknown(path: Path, existing: Iterable[str]) -> set[str]:
    names = set(re.findall(r"\bbinance_sidecar_\w+", path.read_text()))
    return {name for name in names - set(existing) if _without_suffix(name) not in existing}


def _without_suffix(name: str) -> str:
    for suffix in _OF_HISTOGRAM:
        name = name.removesuffix(suffix)
    return name


def test_every_alert_has_a_section_in_the_runbook() -> None:
    sections = set(re.findall(r"^### (BinanceSidecar\w+)$", RUNBOOK.read_text(), re.MULTILINE))
    assert sections == {alert["alert"] for alert in alerts()}
