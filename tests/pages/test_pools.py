"""The pages that list the pools list all of them: every pool that a gateway with `SIDECAR_FORWARD=all` may show."""

from __future__ import annotations

import re

import pytest

from proxy.core.endpoints.catalogue import TABLES
from proxy.core.endpoints.endpoint import Api
from proxy.core.endpoints.sapi import sapi_endpoint
from proxy.core.quota.pools import default_windows, pool_label, pool_of, pools_of
from proxy.core.quota.windows import RateLimitKind
from tests.pages.markdown import ROOT, rows, section, words

OF_SAPI = pool_of(sapi_endpoint("/sapi/v1/account/status", "GET"))
POOLS = (*pools_of(Api, lambda _: True), OF_SAPI)
WORDS = {RateLimitKind.REQUEST_WEIGHT: "weight", RateLimitKind.RAW_REQUESTS: "requests"}


def word(pool: str) -> str:
    """How the pages write it: those of `/futures/data` are many."""
    return re.sub(r"^futures-data-.+", "futures-data-…", pool_label(pool))


NAMES = {word(pool) for pool in POOLS}


def test_there_are_pools_of_every_kind() -> None:
    assert {"spot", "futures", "futures-data-…", "sapi"} < NAMES
    assert len(POOLS) > len(NAMES) > len(TABLES)


def test_the_way_to_the_origin_lists_every_pool_with_its_limit() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    told = {words(row[0])[0]: row[2] for row in rows(section(page, "The way to the origin")) if "`" in row[0]}
    assert told.keys() >= NAMES
    for pool in POOLS:
        window, *_ = default_windows(pool)
        assert told[word(pool)].startswith(f"{window.limit:,} {WORDS[window.kind]} "), pool


def test_the_runbook_says_of_every_pool_what_stops() -> None:
    head, _, _ = (ROOT / "deploy" / "RUNBOOK.md").read_text().partition("\n### ")
    assert {words(row[0])[0] for row in rows(head)} == NAMES


@pytest.mark.parametrize(("page", "start"), [("METRICS.md", "`pool` names"), ("SETTINGS.md", "Binance counts by IP")])
def test_the_text_names_every_pool(page: str, start: str) -> None:
    (text,) = (part for part in (ROOT / "deploy" / page).read_text().split("\n\n") if part.startswith(start))
    assert {re.sub("-basis$", "-…", name) for name in words(text)} >= NAMES
