"""The state of a gateway in a word, from the figures of /status: the worst first, the others beside it."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.telemetry.summary import YOUNG_SECONDS, summary
from tests.pages.markdown import ROOT, rows, section, words

WINDOW = {"pool": "spot", "window": "REQUEST_WEIGHT:1m", "used": 100, "budget": 5400, "limit": 6000, "reset": 60}
WELL: dict[str, Any] = {
    "phase": "ready",
    "uptime_seconds": 3600.0,
    "blocks": [],
    "upstreams": [{"api": "spot", "host": "a", "healthy": True}, {"api": "spot", "host": "b", "healthy": False}],
    "windows": [WINDOW],
    "redis": {"up": True, "counts_alone": False, "caches_alone": False},
}
BAN = {"pool": "spot", "reason": "ban", "until": 120.0}
BACK_OFF = {"pool": "futures", "reason": "back-off", "until": 60.0}
PAUSE = {"pool": "options", "reason": "pause", "until": 60.0}
AWAY = {"up": False, "counts_alone": True, "caches_alone": True}
NO_HOST = [{"api": "options", "host": "a", "healthy": False}]


def used(weight: int, pool: str = "spot") -> dict[str, Any]:
    return {**WINDOW, "pool": pool, "used": weight}


STATES = [
    ({}, ["healthy"]),
    ({"uptime_seconds": YOUNG_SECONDS - 1}, ["starting"]),
    ({"phase": "starting"}, ["starting"]),
    ({"phase": "draining"}, ["draining"]),
    ({"windows": [used(4319)]}, ["healthy"]),
    ({"windows": [used(4320)]}, ["near-limit"]),
    ({"windows": [used(4400), used(5400, "futures")]}, ["used-up", "near-limit"]),
    ({"redis": AWAY}, ["redis-away"]),
    ({"redis": {"up": None, "counts_alone": False, "caches_alone": False}}, ["healthy"]),
    ({"upstreams": NO_HOST}, ["origin-away"]),
    ({"blocks": [BACK_OFF, PAUSE, BAN]}, ["banned", "back-off", "paused"]),
    (
        {"phase": "draining", "blocks": [BAN], "windows": [used(5000)], "upstreams": NO_HOST, "redis": AWAY},
        ["draining", "banned", "origin-away", "near-limit", "redis-away"],
    ),
]


@pytest.mark.parametrize(("changed", "states"), STATES)
def test_the_worst_comes_first(changed: dict[str, Any], states: list[str]) -> None:
    told = summary(WELL | changed)
    assert [told["state"], *(other["state"] for other in told["also"])] == states
    assert all(each["text"].endswith(".") and each["advice"] for each in (told, *told["also"]))


def test_what_ends_by_itself_says_when() -> None:
    assert summary(WELL | {"blocks": [BAN]})["until"] == 120.0
    assert summary(WELL | {"windows": [used(5000)]})["until"] == 60
    assert summary(WELL | {"redis": AWAY})["until"] is None


def test_a_part_that_redis_refuses_is_named() -> None:
    told = summary(WELL | {"redis": AWAY | {"counts_alone": False}})
    assert (told["title"], told["text"]) == ("Redis refuses a part", "This replica caches alone.")
    both = summary(WELL | {"redis": AWAY})
    assert both["text"] == "This replica counts alone with a part of the budget, and caches alone."


def test_every_state_is_documented() -> None:
    table = rows(section((ROOT / "deploy" / "METRICS.md").read_text(), "The status page"))
    (content,) = (row[1] for row in table if words(row[0]) == ["summary"])
    fields = {"state", "title", "text", "advice", "until", "also"}
    assert set(words(content)) - fields == {state for _, states in STATES for state in states}
