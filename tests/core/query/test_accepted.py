"""What a client accepts: content codings, and answers that it holds already."""

from __future__ import annotations

import pytest

from proxy.core.query.accepted import accepts_gzip, matches


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        (None, False),
        ("", False),
        (" ", False),
        (",", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br", True),
        ("br, gzip", True),
        ("br;q=1.0,gzip;q=0.1", True),
        ("br", False),
        ("deflate", False),
        ("identity", False),
        ("*", True),
        ("*;q=0.5", True),
        ("*;q=0", False),
        ("gzip;q=0", False),
        ("gzip; q=0", False),
        ("gzip ; q = 0", False),
        ("gzip;Q=0", False),
        ("gzip;q=0.0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0.001", True),
        ("gzip;q=1", True),
        ("gzip;q=1.000", True),
        ("gzip;q=0, *", False),
        ("*, gzip;q=0", False),
        ("gzip;q=0, x-gzip", True),
        ("gzip;q=1, *;q=0", True),
        ("deflate, *;q=0", False),
        ("identity, gzip", True),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=1", True),
        ("identity;q=0.5, *;q=0.4", False),
        ("identity;q=0", False),
        ("identity;q=0, *;q=0.1", True),
        ("gzip;q=", False),
        ("gzip;q=high", False),
        ("gzip;q=nan", False),
        ("gzip;q=-1", False),
        ("gzipped", False),
        ("notgzip", False),
    ],
)
def test_gzip_is_for_those_who_want_it(accept_encoding: str | None, expected: bool) -> None:
    assert accepts_gzip(accept_encoding) is expected


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", "abc"', True),
        ('"x","abc" ,"y"', True),
        ('"x", W/"abc"', True),
        ("*", True),
        (" * ", True),
        ("abc", False),
        ('"ABC"', False),
        ('"abc-gzip"', False),
        ('w/"abc"', False),
        ('W/ "abc"', False),
        ("", False),
        (",", False),
        ('"x"', False),
    ],
)
def test_if_none_match_is_compared_weakly(if_none_match: str, expected: bool) -> None:
    assert matches(if_none_match, '"abc"') is expected
