"""When the tracer of coverage runs. Without coverage there is none; `make test` measures, in several processes."""

from __future__ import annotations

import sys

import pytest
from coverage import Coverage

WHILE_COLLECTED = sys.gettrace()


def test_a_test_is_measured() -> None:
    assert (sys.gettrace() is None) == (Coverage.current() is None)


@pytest.mark.no_cover
def test_a_test_without_coverage_is_not_even_looked_at() -> None:
    assert sys.gettrace() is None


def test_no_tracer_looks_at_the_collection_of_the_tests() -> None:
    assert WHILE_COLLECTED is None
