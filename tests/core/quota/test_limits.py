"""Absurd limits are not believed: no document could be fetched under them, and they would stay for ever."""

from __future__ import annotations

import pytest

from proxy.core.quota.limits import MOST_WINDOWS, Absurdity, judge_limits
from proxy.core.quota.windows import RateLimitKind, Window


def weight(limit: int, interval_seconds: int = 60) -> Window:
    return Window(RateLimitKind.REQUEST_WEIGHT, interval_seconds, limit)


def raw(limit: int, interval_seconds: int = 300) -> Window:
    return Window(RateLimitKind.RAW_REQUESTS, interval_seconds, limit)


@pytest.mark.parametrize(
    ("limits", "ratio", "fetch_weight", "is_believed"),
    [
        ((weight(40),), 0.5, 20, True),
        ((weight(39),), 0.5, 20, False),
        ((weight(15),), 0.5, 20, False),
        ((weight(1),), 0.5, 20, False),
        ((weight(0),), 0.5, 20, False),
        ((weight(-6000),), 0.5, 20, False),
        ((weight(20),), 1.0, 20, True),
        ((weight(199),), 0.1, 20, False),
        ((weight(200),), 0.1, 20, True),
        ((weight(2),), 0.5, 1, True),
        ((weight(1),), 0.5, 1, False),
        ((raw(2),), 0.5, 20, True),
        ((raw(1),), 0.5, 20, False),
        ((weight(10**15),), 0.5, 20, True),
        ((weight(6000), weight(39, 1)), 0.5, 20, False),
    ],
)
def test_one_fetch_of_the_document_must_fit_into_the_share_for_refreshes(
    limits: tuple[Window, ...], ratio: float, fetch_weight: int, *, is_believed: bool
) -> None:
    judgement = judge_limits(limits, refresh_ratio=ratio, fetch_weight=fetch_weight)
    assert judgement.believed == (limits if is_believed else ())
    assert judgement.why is (None if is_believed else Absurdity.TOO_LOW)


def test_the_limits_of_another_kind_are_believed() -> None:
    judgement = judge_limits((weight(15), weight(6000, 3600), raw(300_000)), refresh_ratio=0.5, fetch_weight=20)
    assert judgement.believed == (raw(300_000),)
    assert judgement.absurd == (weight(15),)


@pytest.mark.parametrize(("count", "is_believed"), [(MOST_WINDOWS, True), (MOST_WINDOWS + 1, False), (2000, False)])
def test_more_than_sixteen_windows_are_not_believed(count: int, *, is_believed: bool) -> None:
    limits = tuple(weight(6000, 60 * n) for n in range(1, count + 1))
    judgement = judge_limits(limits, refresh_ratio=0.5, fetch_weight=20)
    assert judgement.believed == (limits if is_believed else ())
    assert judgement.why is (None if is_believed else Absurdity.TOO_MANY)


def test_sixteen_is_the_most() -> None:
    assert MOST_WINDOWS == 16
