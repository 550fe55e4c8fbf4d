"""Our clock and the origin's."""

from __future__ import annotations

import math
import time

import pytest

from proxy.core.quota.clock_offset import UNKNOWN_SECONDS
from proxy.core.quota.windows import GUARD_SECONDS
from proxy.quota.clock import SHARED_ERROR_SECONDS, STEP_SECONDS, OriginClock

NOW = 1_800_000_000.0


def tell(clock: OriginClock, origin_time: float, *, sent_at: float, received_at: float) -> None:
    """An answer of the API that has a Date and a `serverTime`."""
    clock.observe_date(math.floor(origin_time), sent_at=sent_at, received_at=received_at)
    clock.observe_server_time(origin_time, sent_at=sent_at, received_at=received_at)


def test_until_something_is_known_the_origins_clock_is_ours() -> None:
    clock = OriginClock(lambda: NOW)
    assert (clock.wall(), clock.origin()) == (NOW, NOW)


def test_the_origins_clock_follows_server_time_and_ours_stays() -> None:
    clock = OriginClock(lambda: NOW)
    tell(clock, NOW + 7.5, sent_at=NOW - 0.5, received_at=NOW + 0.5)
    assert clock.origin() == NOW + 7.5
    assert clock.wall() == NOW
    assert clock.offset.uncertainty_seconds == 0.5


def test_a_date_is_any_moment_of_its_second() -> None:
    clock = OriginClock(lambda: NOW)
    clock.observe_date(NOW, sent_at=NOW, received_at=NOW)
    assert (clock.offset.lowest, clock.offset.highest) == (0.0, 1.0)
    assert clock.origin() == NOW + 0.5


def test_server_time_narrows_what_a_date_told() -> None:
    clock = OriginClock(lambda: NOW)
    clock.observe_date(NOW, sent_at=NOW, received_at=NOW)
    clock.observe_server_time(NOW + 0.25, sent_at=NOW, received_at=NOW + 0.125)
    assert (clock.offset.lowest, clock.offset.highest) == (0.125, 0.25)


def test_by_itself_it_reads_the_wall_clock() -> None:
    before = time.time()
    assert before <= OriginClock().wall() <= time.time()


def known_clock(times: list[float]) -> OriginClock:
    """A clock of wall and monotonic time that knows the origin's exactly."""
    clock = OriginClock(lambda: times[0], monotonic=lambda: times[1])
    tell(clock, times[0] + 30, sent_at=times[0], received_at=times[0])
    assert (clock.is_synchronized(), clock.guard_seconds()) == (True, GUARD_SECONDS)
    return clock


def test_while_nothing_is_known_the_edge_is_as_wide_as_clocks_may_be_apart() -> None:
    clock = OriginClock(lambda: NOW)
    assert not clock.is_synchronized()
    assert clock.guard_seconds() == GUARD_SECONDS + UNKNOWN_SECONDS
    clock.observe_date(NOW, sent_at=NOW, received_at=NOW + 1)
    assert clock.is_synchronized()
    assert clock.guard_seconds() == GUARD_SECONDS + 1.0


@pytest.mark.parametrize("step", [-3600.0, -2 * STEP_SECONDS, 2 * STEP_SECONDS, 30.0])
def test_when_our_clock_was_set_nothing_is_known_until_the_next_answer(step: float) -> None:
    times = [NOW, 50.0]
    clock = known_clock(times)
    times[:] = [NOW + 10 + step, 60.0]
    assert clock.guard_seconds() == GUARD_SECONDS + UNKNOWN_SECONDS
    assert not clock.is_synchronized()
    tell(clock, NOW + 40, sent_at=times[0], received_at=times[0])
    assert clock.is_synchronized()
    assert clock.origin() == NOW + 40


@pytest.mark.parametrize("step", [-3600.0, -30.0, 30.0, 3600.0])
def test_an_answer_to_a_request_from_before_our_clock_was_set_teaches_nothing(step: float) -> None:
    """When it was sent is known by the setting of then."""
    times = [NOW, 50.0]
    clock = OriginClock(lambda: times[0], monotonic=lambda: times[1])
    tell(clock, NOW, sent_at=NOW, received_at=NOW)
    times[:] = [NOW + 2 + step, 52.0]
    tell(clock, NOW + 1, sent_at=NOW, received_at=times[0])
    clock.observe_shared(NOW + 1, sent_at=NOW, received_at=times[0])
    assert not clock.is_synchronized()
    assert clock.guard_seconds() == GUARD_SECONDS + UNKNOWN_SECONDS
    tell(clock, NOW + 2, sent_at=times[0], received_at=times[0])
    assert clock.origin() == NOW + 2


def test_time_that_passes_on_both_clocks_and_a_clock_that_is_slewed_change_nothing() -> None:
    times = [NOW, 50.0]
    clock = known_clock(times)
    for _ in range(100):
        times[:] = [times[0] + 600.3, times[1] + 600.0]
        assert clock.is_synchronized()


def test_another_replicas_word_is_believed_within_a_doubt_and_narrowed_by_an_answer() -> None:
    clock = OriginClock(lambda: NOW, monotonic=lambda: 50.0)
    clock.observe_shared(NOW + 30, sent_at=NOW, received_at=NOW + 0.5)
    assert (clock.offset.lowest, clock.offset.highest) == (30 - SHARED_ERROR_SECONDS - 0.5, 30 + SHARED_ERROR_SECONDS)
    clock.observe_server_time(NOW + 30, sent_at=NOW, received_at=NOW)
    assert clock.origin() == NOW + 30


def test_a_wall_clock_that_does_not_go_with_time_learns_nothing_from_other_replicas() -> None:
    clock = OriginClock(lambda: NOW)
    clock.observe_shared(NOW + 30, sent_at=NOW, received_at=NOW)
    assert not clock.is_synchronized()


@pytest.mark.parametrize("wrong", [-3600.0, -60.0, -3.5, 3.5, 60.0, 86_400.0])
def test_one_wrong_answer_does_not_move_the_clock(wrong: float) -> None:
    clock = OriginClock(lambda: NOW)
    clock.observe_date(NOW, sent_at=NOW, received_at=NOW)
    before = clock.origin()
    clock.observe_date(NOW + wrong, sent_at=NOW, received_at=NOW + 0.1)
    assert clock.origin() == before
    assert clock.is_synchronized()
    assert not clock.may_teach(), "it does not know who is right"
    clock.observe_date(NOW, sent_at=NOW, received_at=NOW + 0.2)
    clock.observe_date(NOW + wrong, sent_at=NOW, received_at=NOW + 0.3)
    assert clock.origin() == pytest.approx(before, abs=1e-4), (
        "two wrong answers with a good one in between do not agree"
    )
    clock.observe_date(NOW, sent_at=NOW, received_at=NOW + 0.4)
    assert clock.may_teach()


def test_two_answers_that_agree_move_the_clock() -> None:
    clock = OriginClock(lambda: NOW)
    clock.observe_date(NOW, sent_at=NOW, received_at=NOW)
    clock.observe_date(NOW - 3600, sent_at=NOW, received_at=NOW + 0.1)
    clock.observe_date(NOW + 500, sent_at=NOW, received_at=NOW + 0.2)
    assert clock.origin() == NOW + 0.5, "they do not agree"
    clock.observe_date(NOW + 501, sent_at=NOW, received_at=NOW + 0.3)
    assert clock.origin() == pytest.approx(NOW + 501, abs=1.0)


def test_date_and_body_of_one_answer_are_one_answer() -> None:
    clock = OriginClock(lambda: NOW)
    clock.observe_date(NOW, sent_at=NOW, received_at=NOW)
    tell(clock, NOW - 3600, sent_at=NOW, received_at=NOW + 0.1)
    assert clock.origin() == NOW + 0.5
    tell(clock, NOW - 3600, sent_at=NOW, received_at=NOW + 0.2)
    assert clock.origin() == pytest.approx(NOW - 3600, abs=0.2)


def test_a_change_of_less_than_two_seconds_needs_one_answer() -> None:
    clock = OriginClock(lambda: NOW)
    clock.observe_server_time(NOW, sent_at=NOW, received_at=NOW)
    clock.observe_server_time(NOW + 1.9, sent_at=NOW, received_at=NOW)
    assert clock.origin() == NOW + 1.9


def test_a_single_date_far_from_our_own_clock_is_no_time() -> None:
    clock = OriginClock(lambda: NOW)
    clock.observe_date(NOW - 3600, sent_at=NOW, received_at=NOW)
    assert (clock.origin(), clock.is_synchronized()) == (NOW, False)


def test_what_another_replica_tells_is_not_told_on_and_yields_to_two_answers() -> None:
    clock = OriginClock(lambda: NOW, monotonic=lambda: 50.0)
    clock.observe_shared(NOW - 3600, sent_at=NOW, received_at=NOW)
    assert (clock.is_synchronized(), clock.may_teach()) == (True, False)
    clock.observe_date(NOW, sent_at=NOW, received_at=NOW + 0.1)
    assert not clock.may_teach(), "its own answer contradicts"
    clock.observe_date(NOW, sent_at=NOW, received_at=NOW + 0.2)
    assert clock.origin() == pytest.approx(NOW, abs=1.0)
    assert clock.may_teach()


def test_a_gap_is_what_the_clock_moves_against_the_time_that_passes() -> None:
    times = [NOW, 50.0]
    clock = known_clock(times)
    clock.look()
    before = clock.gap_seconds
    times[:] = [NOW + 600, 650.0]
    assert clock.look() == clock.origin()
    assert clock.gap_seconds == before
    times[:] = [NOW + 1600, 750.0]
    clock.look()
    assert clock.gap_seconds == before + 900
