"""What passes of the headers of the origin's answers, as pairs and as lines."""

from __future__ import annotations

import pytest

from proxy.core.lines import lines_of
from proxy.core.passing import passing_headers, passing_lines


@pytest.mark.parametrize(
    ("headers", "passing"),
    [
        ({}, ()),
        ({"date": "now", "x-mbx-used-weight": "7", "x-mbx-used-weight-1m": "7"}, ()),
        ({"x-mbx-uuid": "1", "server": "x", "x-sapi-used-ip-weight-1m": ""}, None),
        ({"retry-after": "3", "x-mbx-sbe-deprecated": "3:4"}, (("Retry-After", "3"), ("X-MBX-SBE-DEPRECATED", "3:4"))),
        ({"x-mbx-%s": "%d", "x-mbx-{}": "{0}%"}, None),
        ({"x-mbx-a": "\xe9", "x-mbx-b": "2", "retry-after": "1\t2"}, (("x-mbx-b", "2"),)),
    ],
)
def test_lines_are_those_of_the_pairs(headers: dict[str, str], passing: tuple[tuple[str, str], ...] | None) -> None:
    if passing is None:
        passing = tuple((name, value) for name, value in headers.items() if name != "server")
    assert passing_headers(headers) == [*passing]
    assert passing_lines(headers) == lines_of(passing)
