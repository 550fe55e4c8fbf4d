"""Our clock and the origin's."""

from __future__ import annotations

import time

from proxy.clock import OriginClock

NOW = 1_800_000_000.0


def test_until_something_is_known_the_origins_clock_is_ours() -> None:
    clock = OriginClock(lambda: NOW)
    assert (clock.wall(), clock.origin()) == (NOW, NOW)


def test_the_origins_clock_follows_server_time_and_ours_stays() -> None:
    clock = OriginClock(lambda: NOW)
    clock.observe_server_time(NOW + 7.5, sent_at=NOW - 0.5, received_at=NOW + 0.5)
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
