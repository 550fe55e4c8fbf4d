"""The origin's clock: what is known of it is always true, and gets narrower (RFC 9110, section 5.6.7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.quota.clock_offset import (
    DATE_RESOLUTION_SECONDS,
    DRIFT,
    KNOWN_SECONDS,
    NEWS_SECONDS,
    UNKNOWN_SECONDS,
    ClockEstimate,
    ClockOffset,
)

NOW = 1_800_000_000.0
# Times of this size have steps of 2.4e-7: what differs by less is equal.
CLOSE = 1e-5


@dataclass(frozen=True, slots=True)
class Exchange:
    """One answer: when it was sent, how long it took there and back, and which clock it tells."""

    sent_at: float
    there_seconds: float
    back_seconds: float
    tells_date: bool


SECONDS = st.floats(0, 20, allow_subnormal=False)
EXCHANGES = st.builds(
    Exchange,
    sent_at=st.floats(NOW, NOW + 86_400),
    there_seconds=SECONDS,
    back_seconds=SECONDS,
    tells_date=st.booleans(),
)
OFFSETS = st.floats(-7200, 7200, allow_subnormal=False)


def after(estimate: ClockOffset, exchange: Exchange, offset: float) -> ClockOffset:
    """What is known after an exchange with an origin whose clock is `offset` ahead of ours."""
    produced_at = exchange.sent_at + exchange.there_seconds
    told = produced_at + offset
    return estimate.observe(
        float(math.floor(told)) if exchange.tells_date else told,
        sent_at=exchange.sent_at,
        received_at=produced_at + exchange.back_seconds,
        resolution_seconds=DATE_RESOLUTION_SECONDS if exchange.tells_date else 0.0,
    )


@pytest.mark.no_cover
@given(OFFSETS, st.lists(EXCHANGES, min_size=1, max_size=12))
def test_the_true_offset_is_always_inside_and_the_interval_only_narrows(
    offset: float, exchanges: list[Exchange]
) -> None:
    estimate = ClockOffset()
    for exchange in exchanges:
        narrower = after(estimate, exchange, offset)
        assert narrower.lowest - CLOSE <= offset <= narrower.highest + CLOSE
        assert narrower.lowest >= estimate.lowest - CLOSE
        assert narrower.highest <= estimate.highest + CLOSE
        assert abs(narrower.seconds - offset) <= narrower.uncertainty_seconds + CLOSE
        estimate = narrower


@given(OFFSETS, EXCHANGES)
def test_one_answer_is_off_by_no_more_than_its_way_and_its_resolution(offset: float, exchange: Exchange) -> None:
    estimate = after(ClockOffset(), exchange, offset)
    resolution = DATE_RESOLUTION_SECONDS if exchange.tells_date else 0.0
    way = exchange.there_seconds + exchange.back_seconds
    assert math.isclose(2 * estimate.uncertainty_seconds, way + resolution, abs_tol=CLOSE)


@given(OFFSETS, st.lists(EXCHANGES, max_size=5), EXCHANGES, st.sampled_from((-500.0, 500.0)))
def test_an_answer_that_contradicts_all_before_it_starts_afresh(
    offset: float, before: list[Exchange], exchange: Exchange, jump: float
) -> None:
    estimate = ClockOffset()
    for earlier in before:
        estimate = after(estimate, earlier, offset)
    assert after(estimate, exchange, offset + jump) == after(ClockOffset(), exchange, offset + jump)


def test_nothing_is_known_before_the_first_answer() -> None:
    unknown = ClockOffset()
    assert not unknown.is_known
    assert (unknown.seconds, unknown.uncertainty_seconds) == (0.0, UNKNOWN_SECONDS)
    assert unknown.observe(NOW, sent_at=NOW, received_at=NOW).is_known


def test_intervals_are_intersected() -> None:
    first = ClockOffset().observe(NOW + 10, sent_at=NOW, received_at=NOW + 4)
    assert (first.lowest, first.highest) == (6, 10)
    second = first.observe(NOW + 109, sent_at=NOW + 100, received_at=NOW + 101)
    assert (second.lowest, second.highest, second.seconds, second.uncertainty_seconds) == (8, 9, 8.5, 0.5)


def test_intervals_that_touch_do_not_contradict() -> None:
    first = ClockOffset(6, 10)
    assert first.observe(NOW + 10, sent_at=NOW, received_at=NOW) == ClockOffset(10, 10)
    assert first.observe(NOW + 6, sent_at=NOW, received_at=NOW) == ClockOffset(6, 6)


def test_a_clock_of_ours_that_was_set_back_meanwhile_turns_no_interval_over() -> None:
    offset = ClockOffset().observe(NOW, sent_at=NOW, received_at=NOW - 3600)
    assert offset.lowest <= offset.highest


@given(st.lists(st.tuples(st.floats(0.0, 0.3), st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=20))
def test_an_answer_that_is_known_would_change_no_more_than_clocks_drift(
    answers: list[tuple[float, float, bool]],
) -> None:
    estimate, now, most = ClockEstimate(), NOW, 1.1 * DRIFT * KNOWN_SECONDS + NEWS_SECONDS
    for taken, pause, tells_date in answers:
        now += pause
        resolution_seconds = DATE_RESOLUTION_SECONDS if tells_date else 0.0
        told = math.floor(now + 5.0) if tells_date else now + 5.0
        times = {"sent_at": now - taken / 2, "received_at": now + taken / 2, "resolution_seconds": resolution_seconds}
        after = estimate.observe(told, **times)
        if not estimate.knows(told, **times):
            estimate = after
            continue
        assert abs(after.offset.lowest - estimate.offset.lowest) <= most
        assert abs(after.offset.highest - estimate.offset.highest) <= most
        assert after.is_confirmed
        assert after.doubt is None


def test_a_time_that_contradicts_is_never_known() -> None:
    estimate = ClockEstimate().observe(NOW, sent_at=NOW, received_at=NOW + 0.1)
    assert estimate.knows(NOW, sent_at=NOW - 0.1, received_at=NOW + 0.2)
    assert not estimate.knows(NOW + 0.3, sent_at=NOW, received_at=NOW + 0.1)
    assert not estimate.knows(NOW, sent_at=NOW, received_at=NOW + 0.05)
    assert not estimate.knows(NOW + 9, sent_at=NOW + 9, received_at=NOW + 9.1)
