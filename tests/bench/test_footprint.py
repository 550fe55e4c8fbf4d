"""Memory and start of the real command, as `make bench-snapshot` measures them.

How fast this machine is just now is measured beside: a start is compared with an interpreter that only imports the
command, in the same moment.
"""

from __future__ import annotations

import sys

import pytest

from tests.bench.children import child, read_line
from tests.bench.footprint import MOST_BYTES, SYMBOLS, first_hit_seconds, import_seconds, memory_at_rest

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

SHOWN = 3698
MOST_IMPORTS = 3.0
"""A start takes so many times what its imports take, at the most; usually less than two."""
TRIES = 5
"""What happens on the machine in the middle of one start can be anything; of so many one must be undisturbed."""


def test_with_every_symbol_asked_for_it_stays_small_and_a_warm_redis_makes_it_answer_soon(redis_url: str) -> None:
    with child("tests.simulator", "--symbols", str(SYMBOLS)) as simulator:
        origin = read_line(simulator).rsplit(" ", 1)[1]
        loaded, asked, shown = memory_at_rest(origin, redis_url)
        assert len(shown) == SHOWN
        assert loaded < asked < MOST_BYTES
        assert any(relative_start(origin, redis_url) < MOST_IMPORTS for _ in range(TRIES))


def relative_start(origin: str, redis_url: str) -> float:
    """The time from a start to the first hit, in imports."""
    before, started, after = import_seconds(), first_hit_seconds(origin, redis_url), import_seconds()
    print(f"first hit after {started:.2f} s, imports take {before:.2f} and {after:.2f} s")
    return started / max(before, after)
