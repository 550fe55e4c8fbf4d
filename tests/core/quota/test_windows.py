"""Windows: alignment, the edge, and the reading of what the origin says."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.quota.origin_headers import (
    banned_until,
    origin_time,
    parse_rate_limits,
    parse_used_weight,
    retry_after_seconds,
)
from proxy.core.quota.windows import DEFAULT_WINDOWS, LONGEST_BLOCK_SECONDS, RateLimitKind, Window, interval_words

MINUTE = Window(RateLimitKind.REQUEST_WEIGHT, 60, 6000)
MIDNIGHT = 1_785_024_000
"""2026-07-26 00:00:00 UTC."""


@pytest.mark.parametrize(
    ("interval_seconds", "name"),
    [
        (1, "RAW_REQUESTS:1s"),
        (90, "RAW_REQUESTS:90s"),
        (60, "RAW_REQUESTS:1m"),
        (300, "RAW_REQUESTS:5m"),
        (3600, "RAW_REQUESTS:1h"),
        (86_400, "RAW_REQUESTS:1d"),
    ],
)
def test_a_window_is_named_by_kind_and_largest_unit(interval_seconds: int, name: str) -> None:
    assert Window(RateLimitKind.RAW_REQUESTS, interval_seconds, 7).name == name


def test_the_limit_is_no_part_of_the_name() -> None:
    assert MINUTE.name == Window(RateLimitKind.REQUEST_WEIGHT, 60, 1200).name == "REQUEST_WEIGHT:1m"


def test_an_interval_is_said_in_the_words_of_the_origin() -> None:
    assert interval_words(300) == "5 MINUTE"
    assert interval_words(60) == "1 MINUTE"


@pytest.mark.parametrize(
    ("interval_seconds", "now", "start"),
    [
        (60, MIDNIGHT + 59.999, MIDNIGHT),
        (60, MIDNIGHT + 60, MIDNIGHT + 60),
        (300, MIDNIGHT + 299.5, MIDNIGHT),
        (300, MIDNIGHT + 301, MIDNIGHT + 300),
        (86_400, MIDNIGHT + 86_399, MIDNIGHT),
    ],
)
def test_windows_are_aligned_to_the_epoch(interval_seconds: int, now: float, start: int) -> None:
    window = Window(RateLimitKind.RAW_REQUESTS, interval_seconds, 1)

    assert window.start(now) == start
    assert window.reset(now) == start + interval_seconds


@pytest.mark.parametrize(
    ("now", "starts"),
    [
        (30, [0]),
        (58.9, [0]),
        (59, [0, 60]),
        (59.9, [0, 60]),
        (60, [0, 60]),
        (60.9, [0, 60]),
        (61, [60]),
    ],
)
def test_near_an_edge_both_windows_may_count_a_request(now: float, starts: list[int]) -> None:
    spans = MINUTE.possible_starts(MIDNIGHT + now, guard_seconds=1.0)

    assert [start - MIDNIGHT for start in spans] == starts


def test_an_edge_longer_than_the_window_spans_several() -> None:
    second = Window(RateLimitKind.REQUEST_WEIGHT, 1, 10)

    assert [start - MIDNIGHT for start in second.possible_starts(MIDNIGHT + 10.5, 1.0)] == [9, 10, 11]


@given(
    now=st.floats(1e9, 2e9),
    edge=st.floats(0, 5),
    late=st.floats(-1, 1),
    interval=st.sampled_from([1, 10, 60, 300, 86_400]),
)
def test_the_spans_hold_every_window_that_counts_within_the_edge(
    now: float, edge: float, late: float, interval: int
) -> None:
    window = Window(RateLimitKind.REQUEST_WEIGHT, interval, 1)
    spans = window.possible_starts(now, edge)

    assert window.start(now) in spans
    assert window.start(now + late * edge * 0.999) in spans


@given(
    now=st.floats(1e9, 2e9),
    edge=st.floats(0, 5),
    interval=st.sampled_from([1, 10, 60, 300, 86_400]),
)
def test_when_the_effect_of_a_window_ends_it_is_spanned_no_more(now: float, edge: float, interval: int) -> None:
    window = Window(RateLimitKind.REQUEST_WEIGHT, interval, 1)

    for start in window.possible_starts(now, edge):
        assert now < window.counted_until(start, edge)
        assert start not in window.possible_starts(window.counted_until(start, edge), edge)


def limit(**changes: Any) -> dict[str, Any]:
    usual = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}
    return usual | changes


def test_todays_rate_limits_are_read_and_orders_left_out() -> None:
    raw = [
        limit(),
        limit(rateLimitType="ORDERS", interval="SECOND", intervalNum=10, limit=100),
        limit(rateLimitType="ORDERS", interval="DAY", limit=200_000),
        limit(rateLimitType="RAW_REQUESTS", intervalNum=5, limit=300_000),
    ]

    assert parse_rate_limits(raw) == (MINUTE, Window(RateLimitKind.RAW_REQUESTS, 300, 300_000))


@pytest.mark.parametrize(("unit", "seconds"), [("SECOND", 1), ("MINUTE", 60), ("HOUR", 3600), ("DAY", 86_400)])
def test_all_four_units_are_known(unit: str, seconds: int) -> None:
    (window,) = parse_rate_limits([limit(interval=unit, intervalNum=2)])

    assert window.interval_seconds == 2 * seconds


@pytest.mark.parametrize(
    "malformed",
    [
        "text",
        None,
        {},
        limit(rateLimitType=None),
        limit(rateLimitType=["REQUEST_WEIGHT"]),
        limit(interval="WEEK"),
        limit(interval=None),
        limit(intervalNum=0),
        limit(intervalNum="1"),
        limit(intervalNum=True),
        limit(intervalNum=10**9),
        limit(limit=0),
        limit(limit=-1),
        limit(limit=None),
        limit(limit=1.5),
        limit(limit=10**30),
    ],
)
def test_a_malformed_rate_limit_is_left_out_and_the_rest_is_read(malformed: object) -> None:
    assert parse_rate_limits([malformed, limit()]) == (MINUTE,)


def test_of_two_limits_for_one_window_the_smaller_counts() -> None:
    for limits in ((6000, 1200), (1200, 6000)):
        (window,) = parse_rate_limits([limit(limit=value) for value in limits])
        assert window.limit == 1200


def test_the_default_windows_are_the_careful_ones() -> None:
    assert [(window.name, window.limit) for window in DEFAULT_WINDOWS] == [
        ("REQUEST_WEIGHT:1m", 6000),
        ("RAW_REQUESTS:5m", 61_000),
    ]


@pytest.mark.parametrize(
    ("headers", "used"),
    [
        ({"x-mbx-used-weight": "21", "x-mbx-used-weight-1m": "21"}, {60: 21}),
        ({"x-mbx-used-weight": "22", "x-mbx-used-weight-1m": "21"}, {60: 22}),
        ({"x-mbx-used-weight": " 5 "}, {60: 5}),
        ({"x-mbx-used-weight-10s": "3", "x-mbx-used-weight-1d": "900"}, {10: 3, 86_400: 900}),
        ({"x-mbx-used-weight-60s": "3", "x-mbx-used-weight-1m": "4"}, {60: 4}),
        ({"x-mbx-used-weight-1m": "0"}, {60: 0}),
        ({"x-mbx-used-weight-1m": ""}, {}),
        ({"x-mbx-used-weight-1m": "-1"}, {}),
        ({"x-mbx-used-weight-1m": "1e3"}, {}),
        ({"x-mbx-used-weight-1m": "٣"}, {}),
        ({"x-mbx-used-weight-1m": "9" * 400}, {}),
        ({"x-mbx-used-weight-1w": "1"}, {}),
        ({"x-mbx-used-weight-0m": "1"}, {}),
        ({"x-mbx-used-weight-999999d": "1"}, {}),
        ({"x-mbx-used-weight-m": "1"}, {}),
        ({"x-mbx-order-count-1m": "1"}, {}),
        ({}, {}),
        ({"x-mbx-used-weight-1m": "7\x1f"}, {60: 7}),
    ],
)
def test_used_weight_is_read_and_rubbish_is_not(headers: dict[str, str], used: dict[int, int]) -> None:
    assert parse_used_weight(headers) == used


@pytest.mark.no_cover
@given(st.dictionaries(st.text(max_size=8).map("x-mbx-used-weight".__add__), st.text(max_size=20)))
def test_no_header_breaks_the_reading(headers: dict[str, str]) -> None:
    assert all(interval > 0 and used >= 0 for interval, used in parse_used_weight(headers).items())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("9" * 5000, float(LONGEST_BLOCK_SECONDS)),
        ("604800", float(LONGEST_BLOCK_SECONDS)),
        ("Sun, 26 Jul 2026 00:01:30 GMT", 90.0),
        ("Sat, 25 Jul 2026 00:01:30 GMT", 0.0),
        ("Sun, 26 Jul 2099 00:01:30 GMT", float(LONGEST_BLOCK_SECONDS)),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Sun, 99 Jul 2026 00:01:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": value}, MIDNIGHT) == seconds


def test_no_retry_after_says_nothing() -> None:
    assert retry_after_seconds({}, MIDNIGHT) is None


def test_the_end_of_a_ban_is_read_from_its_text() -> None:
    text = (
        '{"code":-1003,"msg":"Way too much request weight used; IP banned until 1785050129644. '
        'Please use WebSocket Streams for live updates to avoid bans."}'
    )

    assert banned_until(text) == 1785050129.644


@pytest.mark.parametrize("text", ["", "IP banned until soon", "IP banned until 17850501296449999", "banned"])
def test_a_text_without_the_end_of_a_ban_says_nothing(text: str) -> None:
    assert banned_until(text) is None


@pytest.mark.parametrize("zone", ["GMT", "-0000", "", "+0000"])
def test_the_time_of_an_answer_is_its_date(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert origin_time({"date": f"Sun, 26 Jul 2026 00:00:00 {zone}".strip()}) == MIDNIGHT
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text(max_size=40))
def test_no_date_breaks_the_reading(value: str) -> None:
    origin_time({"date": value})
    retry_after_seconds({"retry-after": value}, MIDNIGHT)


@pytest.mark.parametrize("value", ["", "yesterday", "Sun, 26 Jul", "Sun, 26 Jul 9999 23:61:00 GMT"])
def test_an_unreadable_date_says_nothing(value: str) -> None:
    assert origin_time({"date": value}) is None
