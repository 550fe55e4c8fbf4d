"""The dashboard, read. `test_live.py` asks its queries."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

from tests.deploy.toolbox import DEPLOY

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "binance-sidecar.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def _targets() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_its_rows_answer_the_questions_of_an_operator_in_order() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == [
        "Is anything wrong?",
        "How much quota is left, and who spends it?",
        "What does the cache save?",
        "How fast?",
        "How old?",
        "The process",
    ]


def test_every_panel_asks_the_chosen_data_source() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
    for panel in PANELS:
        assert panel["datasource"] == chosen
        assert all(target["datasource"] == chosen for target in panel["targets"])


def test_every_rate_is_over_the_rate_interval() -> None:
    for query in _targets():
        assert re.findall(r"\[([^\]]*)\]", query) == ["$__rate_interval"] * len(
            re.findall(r"\b(?:rate|increase)\(", query)
        )


def test_every_counter_is_asked_for_its_rate() -> None:
    for query in _targets():
        for found in re.finditer(r"binance_sidecar_\w+_(?:total|bucket)\b", query):
            before = query[: found.start()]
            assert before.endswith(("rate(", "increase(")), query


def test_every_query_keeps_to_the_chosen_gateways() -> None:
    for query in _targets():
        for selector in re.findall(r"\b(?:up|binance_sidecar_\w+|process_\w+)\{([^}]*)\}", query):
            assert 'quota_domain=~"$quota_domain"' in selector, query
        assert not re.search(r"\b(?:binance_sidecar_|process_)\w+(?![\w{])", query), query


def test_whatever_counts_in_a_pool_is_shown_for_each_pool() -> None:
    of_pools = r"binance_sidecar_(?:window_\w+|blocked_until\w+|foreign_weight_total|refusals_total)\{"
    asked = [query for query in _targets() if re.search(of_pools, query)]
    assert len(asked) > 8
    for query in asked:
        assert re.search(r"\bby \((?:\w+, )*pool\b", query), query


def test_every_panel_has_a_unit_and_a_title_of_its_own() -> None:
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in PANELS)
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_what_may_be_wrong_has_thresholds() -> None:
    wrong = [
        panel for panel in PANELS if panel["type"] in ("stat", "gauge", "bargauge") and panel["title"] != "Version"
    ]
    assert len(wrong) >= 8
    for panel in wrong:
        assert len(panel["fieldConfig"]["defaults"]["thresholds"]["steps"]) > 1, panel["title"]


def test_no_two_panels_overlap() -> None:
    for one, other in combinations(DASHBOARD["panels"], 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    down = one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]
    return across and down
