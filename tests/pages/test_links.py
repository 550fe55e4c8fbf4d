"""Every link leads somewhere, and every path that a page names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.pages.markdown import ROOT, anchors, links, pages, prose, words

_MODULE = re.compile(r"(?:proxy|tests)(?:\.[a-z_]+)+")
_PATH = re.compile(r"(?:proxy|tests|deploy|helm)/[\w./-]+")
PAGES = pages()


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def dead_links(page: Path, text: str) -> list[str]:
    """The relative links of a page with this text that lead nowhere."""
    return [target for target in links(text) if not _resolves(page, text, target)]


def _resolves(page: Path, text: str, target: str) -> bool:
    path, _, anchor = target.partition("#")
    aim = page.parent / path if path else page
    if not aim.exists():
        return False
    return not anchor or anchor in anchors(aim.read_text() if path else text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_resolves(page: Path) -> None:
    assert dead_links(page, page.read_text()) == []


@pytest.mark.parametrize(
    "target", ["NOWHERE.md", "#nowhere", "README.md#nowhere", "deploy/RUNBOOK.md#nowhere", "deploy/nowhere/"]
)
def test_a_dead_link_is_found(target: str) -> None:
    assert dead_links(ROOT / "README.md", f"# Title\n[text]({target}) [text](#title) [text](LICENSE)\n") == [target]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_every_path_that_is_named_exists(page: Path) -> None:
    named = {word for word in words(prose(page.read_text())) if _PATH.fullmatch(word)}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def named_in(source: str) -> set[str]:
    """The paths and modules of ours between backticks in the docstrings of a source, as paths."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings = (ast.get_docstring(node) or "" for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))
    named = {word for docstring in docstrings for word in words(docstring)}
    return {word for word in named if _PATH.fullmatch(word) or _MODULE.fullmatch(word)}


def test_every_path_that_a_docstring_names_exists() -> None:
    sources = [path for folder in ("proxy", "tests") for path in (ROOT / folder).rglob("*.py")]
    named = {path: named_in(path.read_text()) for path in sources}
    assert sum(map(len, named.values())) > 10
    missing = {(name_of(path), word) for path, some in named.items() for word in some if not _is_there(word)}
    assert missing == set()


def _is_there(word: str) -> bool:
    """A path as it is written; what is written with dots is a module or a package."""
    if not _MODULE.fullmatch(word):
        return (ROOT / word).exists()
    path = ROOT / word.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def test_a_path_in_a_docstring_is_found() -> None:
    source = '"""`proxy/nowhere.py`, `proxy.nowhere`, `proxy.core`, `other/file.py`."""\nx = "`proxy/a.py`"\n'
    assert {word for word in named_in(source) if not _is_there(word)} == {"proxy/nowhere.py", "proxy.nowhere"}


def test_the_pages_that_readers_look_for_are_there() -> None:
    assert {name_of(page) for page in PAGES} >= {
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "README.md",
        "SECURITY.md",
        "deploy/CLIENTS.md",
        "deploy/METRICS.md",
        "deploy/RUNBOOK.md",
        "deploy/SETTINGS.md",
        "helm/binance-sidecar/README.md",
    }
