"""Memory and start of the real command, as `make bench-snapshot` measures them.

How fast this machine is just now is measured beside: a start is compared with an interpreter that only imports the
five libraries, in the same moment. The bounds here are wider than the aims, which hold for this machine and Python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from tests.bench.children import child, read_line
from tests.bench.footprint import (
    MOST,
    START_SECONDS,
    SYMBOLS,
    Place,
    asked_bytes,
    import_seconds,
    refreshing_bytes,
    start_seconds,
)
from tests.sizes import sized

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

SHOWN = 3698
SLACK = 1.2
ASKED = sized(quick=300, usual=400, long=SHOWN)
MOST_EACH_BYTES = 2 * (MOST.asked_bytes - MOST.steady_bytes) / SHOWN
"""What a symbol may add. Twice the aim: of few symbols the parts that all share are a part."""
TRIES = 5
"""What happens on the machine in the middle of one start can be anything; of so many one must be undisturbed."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with child("tests.simulator", "--symbols", str(SYMBOLS), "--weight-limit", "1000000") as simulator:
        yield read_line(simulator).rsplit(" ", 1)[1]


def test_symbols_that_were_asked_for_add_little(origin: str, redis_url: str) -> None:
    found = asked_bytes(Place(origin, redis_url), most=ASKED, settle_seconds=1.2)
    assert found.shown == SHOWN
    assert found.asked_bytes < (MOST.steady_bytes + ASKED * MOST_EACH_BYTES) * SLACK
    assert found.each_bytes < MOST_EACH_BYTES


def test_refreshes_leave_no_earlier_document_in_memory(origin: str, redis_url: str) -> None:
    seconds = sized(quick=2, usual=2, long=18)
    refresh_seconds = sized(quick=1, usual=1, long=5)
    steady, peak = refreshing_bytes(
        Place(origin, redis_url), refresh_seconds=refresh_seconds, seconds=seconds, looks=40
    )
    assert steady < MOST.steady_bytes * SLACK
    assert peak < MOST.peak_bytes * SLACK


def test_it_is_alive_soon_and_a_warm_redis_makes_it_answer_soon(
    origin: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "PYTHONDONTWRITEBYTECODE" in os.environ:
        monkeypatch.delenv("PYTHONDONTWRITEBYTECODE")
    place = Place(origin, redis_url)
    start_seconds(place)  # compiles, and fills Redis
    assert any(is_soon(place) for _ in range(TRIES))


def is_soon(place: Place) -> bool:
    """Whether one start was within its bounds."""
    libraries = import_seconds(place)
    livez, hit = start_seconds(place)
    print(f"alive after {livez:.2f} s, first hit {hit:.2f} s later, the libraries take {libraries:.2f} s")
    return livez < (MOST.livez_seconds * libraries + START_SECONDS) * SLACK and hit < 3 * MOST.hit_seconds
