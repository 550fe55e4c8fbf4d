"""Changes as they are stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core.document.changes import Change, ChangeKind
from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.record import stored


@pytest.mark.parametrize(
    "value", [6000, 2**63, 10**40, -(10**40), 1.5, True, None, "币安", "", "\x00", {"limit": 10**40}, [[10**40]]]
)
def test_whatever_the_origin_names_can_be_stored(value: Any) -> None:
    (change,) = stored([Change(ChangeKind.STATUS, ("A",), value, 1)], api=Api.SPOT, time_ms=5)
    assert json.loads(change.data) == {"symbol": "A", "old": value, "new": 1, "api": "spot", "time": 5}
