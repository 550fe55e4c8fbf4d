"""CONTRIBUTING.md: each command exists, and what a newcomer looks for is where the page says."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.pages.markdown import ROOT, prose, rows, section, words

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
PLACES = [(what, *words(path), *words(symbol)) for what, path, symbol in rows(section(PAGE, "Where is…"))]


def targets() -> set[str]:
    """What `make help` lists."""
    listed = subprocess.run(("make", "--no-print-directory", "help"), cwd=ROOT, check=True, capture_output=True)
    return set(re.findall(r"^ *make ([\w-]+)", listed.stdout.decode(), re.MULTILINE))


def test_every_command_of_the_pages_exists() -> None:
    existing = targets()
    for name in ("CONTRIBUTING.md", "README.md", "deploy/CLIENTS.md", "helm/binance-sidecar/README.md"):
        page = (ROOT / name).read_text()
        named = re.findall(r"(?:`|^)make ([\w-]+)", page, re.MULTILINE)
        assert set(named) <= existing | {"help"}, name
    assert "test" in {words(row[0])[0].removeprefix("make ") for row in rows(section(PAGE, "Commands"))}


def test_every_module_that_is_run_by_hand_exists_and_runs_in_the_environment() -> None:
    """The Python of the path has nothing of what a lock installs."""
    named = re.findall(r"(\S*)python -m ([\w.]+)", PAGE)
    assert {module for _, module in named} >= {"tests.simulator", "tests.fuzz.parsers"}
    assert {start.lstrip("`") for start, _ in named} == {".venv/bin/"}
    assert [module for _, module in named if find_spec(module) is None] == []


def test_every_constant_that_is_named_exists() -> None:
    named = {word for word in words(prose(PAGE)) if re.fullmatch(r"[A-Z][A-Z_]+", word)}
    files = (path for folder in ("proxy", "tests") for path in (ROOT / folder).rglob("*.py"))
    existing = {symbol for path in files for symbol in _symbols(path)}
    assert "TABLE" in named
    assert named - {"HSET"} <= existing


def test_every_folder_of_tests_is_a_room_of_the_package_or_described() -> None:
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
    rooms = {path.parent.name for path in (ROOT / "proxy").glob("*/__init__.py")}
    described = [folder for row in rows(section(PAGE, "The tests")) for folder in words(row[0])]
    assert described
    assert {f"tests/{name}/" for name in folders - rooms} == set(described)


def test_there_are_six_places() -> None:
    assert len(PLACES) == 6
    assert all(len(place) == 3 for place in PLACES)


@pytest.mark.parametrize(("what", "path", "symbol"), PLACES)
def test_what_a_newcomer_looks_for_is_there(what: str, path: str, symbol: str) -> None:
    file = ROOT / path
    if file.suffix == ".lua":
        assert f"'{symbol}'" in file.read_text(), what
    else:
        assert symbol in set(_symbols(file)), what


def _symbols(file: Path) -> Iterator[str]:
    """Every constant, function and class of a module, and every method as `Class.method`."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            methods = (inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef))
            yield from (f"{node.name}.{method.name}" for method in methods)
