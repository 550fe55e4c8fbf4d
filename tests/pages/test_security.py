"""SECURITY.md: each test that it names exists, and it says what a reviewer asks."""

from __future__ import annotations

import ast
import re

from tests.pages.markdown import ROOT, rows, section, words

PAGE = (ROOT / "SECURITY.md").read_text()
_TEST = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")
PARTIES = ("client", "origin", "redis", "log", "image")


def missing(page: str) -> list[str]:
    """The tests that a page names and that do not exist."""
    return [word for word in words(page) if (found := _TEST.fullmatch(word)) and found[2] not in functions(found[1])]


def functions(path: str) -> set[str]:
    """The functions of a module; none where there is no module."""
    if not (ROOT / path).exists():
        return set()
    body = ast.parse((ROOT / path).read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_test_that_is_named_exists() -> None:
    assert missing(PAGE) == []


def test_a_test_that_is_not_there_is_missed() -> None:
    page = "`tests/pages/test_security.py::test_nothing` `tests/nowhere.py::test_x` `make test`"
    assert missing(page) == words(page)[:2]


def test_each_party_has_a_table_whose_rows_name_what_shows_them() -> None:
    parts = section(PAGE, "Who is trusted with what").split("\n### ")[1:]
    assert [
        name for name, part in zip(PARTIES, parts, strict=True) if name not in part.partition("\n")[0].lower()
    ] == []
    for part in (*parts, section(PAGE, "What a crash forgets")):
        assert len(rows(part)) >= 4
        for what, shown_by in rows(part):
            assert any(_TEST.fullmatch(word) or word.startswith("make ") for word in words(shown_by)), what
