"""deploy/METRICS.md names each value of a label that comes from an enum or from the errors."""

from __future__ import annotations

import pytest

from proxy.core.cache.fill_wait import WaitEnd
from proxy.core.quota.block import BlockReason
from proxy.core.reply import Outcome
from proxy.errors import SendingRefused
from tests.pages.markdown import ROOT, rows, words
from tests.pages.test_readme import errors

PAGE = (ROOT / "deploy" / "METRICS.md").read_text()
MEANINGS = {words(row[0])[0].removeprefix("binance_sidecar_"): row[3] for row in rows(PAGE)}


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("requests_total", {outcome.value for outcome in Outcome}),
        ("fill_waits_total", {end.value for end in WaitEnd}),
        ("refusals_total", {error.reason for error in errors(SendingRefused)}),
        ("blocked_until_timestamp_seconds", {reason.value for reason in BlockReason}),
    ],
)
def test_every_value_of_the_label_is_named(metric: str, values: set[str]) -> None:
    assert set(words(MEANINGS[metric])) - {"cache"} == values


def test_no_metric_stands_twice() -> None:
    assert len(MEANINGS) == len(rows(PAGE))
