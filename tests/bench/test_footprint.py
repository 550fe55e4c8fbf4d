"""Memory and start of the real command, as `make bench-snapshot` measures them, with room for a busy machine."""

from __future__ import annotations

import sys

import pytest

from tests.bench.children import child, read_line
from tests.bench.footprint import MOST_BYTES, MOST_START_SECONDS, SYMBOLS, first_hit_seconds, memory_at_rest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SHOWN = 3698
PATIENCE = 4.0


def test_with_every_symbol_asked_for_it_stays_small_and_a_warm_redis_makes_it_answer_soon(redis_url: str) -> None:
    with child("tests.simulator", "--symbols", str(SYMBOLS)) as simulator:
        origin = read_line(simulator).rsplit(" ", 1)[1]
        loaded, asked, shown = memory_at_rest(origin, redis_url)
        assert len(shown) == SHOWN
        assert loaded < asked < MOST_BYTES
        assert first_hit_seconds(origin, redis_url) < PATIENCE * MOST_START_SECONDS
