"""Rules, alerts and scrape configuration, by promtool."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.deploy.toolbox import DEPLOY, load, passes, run, tool
from tests.gateway.harness import INFO, stage

RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
UNIT_TESTS = DEPLOY / "prometheus" / "tests" / "alerts_test.yml"


def alerts() -> list[dict[str, Any]]:
    (group,) = load(DEPLOY / "prometheus" / "rules" / "alerts.yml")["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_promtool_accepts_the_rules(path: Path) -> None:
    passes(tool("promtool"), "check", "rules", path)


def test_promtool_accepts_the_configuration() -> None:
    passes(tool("promtool"), "check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_each_alert_fires_when_it_must_and_not_when_it_nearly_must() -> None:
    passes(tool("promtool"), "test", "rules", UNIT_TESTS)


def test_each_alert_has_a_firing_case_and_a_near_miss() -> None:
    cases = load(UNIT_TESTS)["tests"]
    fires = {case["name"].split(":")[0] for case in cases if case["promql_expr_test"][0]["exp_samples"]}
    misses = {case["name"].split(":")[0] for case in cases if not case["promql_expr_test"][0]["exp_samples"]}
    names = {alert["alert"].removeprefix("BinanceSidecar") for alert in alerts()}
    assert fires == misses == names


def test_a_rule_that_is_broken_fails_its_cases(tmp_path: Path) -> None:
    """The cases are of use only if they can fail."""
    for path in RULES:
        text = path.read_text().replace("[2m]) > 0.8", "[2m]) > 0.9")
        (tmp_path / path.name).write_text(text)
    cases = tmp_path / "cases.yml"
    cases.write_text(UNIT_TESTS.read_text().replace("../rules/", ""))
    ran = run(tool("promtool"), "test", "rules", cases)
    assert ran.status != 0
    assert "NearLimit" in ran.text


def test_each_alert_tells_what_is_wrong_and_where_to_read_on() -> None:
    for alert in alerts():
        name = alert["alert"]
        assert alert["labels"]["severity"] in ("critical", "warning"), name
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}, name
        assert alert["annotations"]["runbook_url"] == f"deploy/RUNBOOK.md#{name.lower()}"
        assert re.search(r"\{\{ \$(labels|value)", alert["annotations"]["description"]) or name.endswith(
            ("Down", "RedisAway")
        ), name


async def test_promtool_finds_no_fault_with_the_metrics() -> None:
    async with stage(redis_url="embedded:") as on:
        await on.ask(INFO)
        await on.ask(f"{INFO}?symbol=BTCUSDT")
        await on.ask("/api/v3/time")
        async with aiohttp.ClientSession() as session, session.get(f"{on.app.ops_url}/metrics") as answer:
            text = await answer.text()
    passes(tool("promtool"), "check", "metrics", given=text)
