"""When an error answer may replace a good entry, and what is said about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.cache.refusal import is_good, may_replace, refusal_of
from proxy.core.messages import Entry, Lifetimes

NOW = 1_800_000_000.0
GOOD = Entry(
    status=200,
    content_type="application/json",
    body=b"{}",
    gzip=None,
    etag="e",
    stored_at=NOW,
    lifetimes=Lifetimes(fresh_seconds=60, stale_if_error_seconds=600),
)


def error(status: int = 400, body: bytes = b'{"code":-1121,"msg":"Invalid symbol."}') -> Entry:
    return replace(GOOD, status=status, body=body)


@pytest.mark.parametrize(
    ("held", "newer", "names_symbols", "after_seconds", "expected"),
    [
        (GOOD, GOOD, False, 0, True),
        (None, error(), False, 0, True),
        (error(), error(), False, 0, True),
        (GOOD, error(), False, 0, False),
        (GOOD, error(), False, 659, False),
        (GOOD, error(), False, 660, True),
        (GOOD, error(), True, 0, True),
        (GOOD, error(404), True, 0, True),
        (GOOD, error(400, b'{"code":-1102,"msg":"m"}'), True, 0, False),
        (GOOD, error(404, b""), True, 0, False),
        (GOOD, error(404, b"<html>"), True, 0, False),
        (GOOD, error(400, b"\xff\x00"), True, 0, False),
    ],
)
def test_an_error_replaces_a_good_entry_only_if_it_is_news_about_the_query(
    held: Entry | None, newer: Entry, names_symbols: bool, after_seconds: float, expected: bool
) -> None:
    assert may_replace(held, newer, NOW + after_seconds, names_symbols=names_symbols) is expected


@pytest.mark.parametrize(("entry", "expected"), [(None, False), (GOOD, True), (error(), False), (error(404), False)])
def test_only_a_200_is_good(entry: Entry | None, expected: bool) -> None:
    assert is_good(entry) is expected


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (error(), "The origin answered 400 with code -1121: Invalid symbol."),
        (error(404, b""), "The origin answered 404."),
        (error(404, b"<html>"), "The origin answered 404."),
        (error(400, b'{"code":-1,"msg":"a\\r\\nb"}'), "The origin answered 400 with code -1: a??b"),
        (error(400, b'{"code":-1,"msg":"' + b"x" * 5000 + b'"}'), "The origin answered 400 with code -1: " + "x" * 200),
    ],
)
def test_the_error_tells_status_code_and_words(entry: Entry, words: str) -> None:
    refusal = refusal_of(entry)
    assert (refusal.msg, refusal.reason) == (words, "origin-refused")
