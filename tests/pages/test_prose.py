"""Lines of prose are short enough to read and compare. Left out: the README, whose lines are counted, and results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages.markdown import ROOT, pages, prose

MOST_CHARACTERS = 130
"""A little more than where one wraps, so that a word that changes does not move a paragraph."""
PAGES = [page for page in pages() if page != ROOT / "README.md" and page.parent.name != "results"]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def long_lines(page: str) -> list[str]:
    """The lines that are too long, and are neither a row of a table nor code."""
    lines = prose(page).splitlines()
    return [line for line in lines if len(line) > MOST_CHARACTERS and not line.startswith("|")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_line_of_prose_is_too_long(page: Path) -> None:
    assert long_lines(page.read_text()) == []


def test_a_line_that_is_too_long_is_found() -> None:
    long = "word " * 40
    assert long_lines(f"short\n{long}\n| {long} |\n```\n{long}\n```\n") == [long]
