"""The size and shape of the package: lengths, the number of modules at its root, module docstrings, import circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.no_cover  # nothing of the package runs

PACKAGE = Path(__file__).parent.parent / "proxy"
MODULES = {path.relative_to(PACKAGE.parent).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 50
MOST_MODULES_AT_THE_ROOT = 10
HEAD = ("Owns", "Must not know")


@dataclass(frozen=True, slots=True)
class Shape:
    """What the checks ask of a module. Not its tree: hundreds of trees slow each collection of garbage."""

    lines: int
    long_functions: Mapping[str, int]
    """Functions with more lines than they may have, from `def` to their last line."""
    missing_words: Sequence[str]
    """What its docstring does not say."""
    imports: frozenset[str]
    """The modules that it imports when it is loaded; not those that only a function imports."""


@cache
def shape(source: str) -> Shape:
    """The shape of a module, which several tests look at."""
    tree = ast.parse(source)
    return Shape(len(source.splitlines()), long_functions(tree), missing_words(tree), frozenset(imports(tree)))


def long_functions(tree: ast.Module) -> dict[str, int]:
    lines = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    return {name: count for name, count in lines.items() if count > MOST_LINES_OF_A_FUNCTION}


def missing_words(tree: ast.Module) -> list[str]:
    words = " ".join((ast.get_docstring(tree) or "").split())
    return [word for word in HEAD if f"{word}:" not in words]


def imports(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def circle(graph: Mapping[str, Set[str]]) -> list[str]:
    """What remains of a graph when everything without an open import is taken away: empty if there is no circle."""
    left = dict(graph)
    while closed := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in closed:
            del left[name]
    return sorted(left)


def name_of(module: str) -> str:
    return module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def shapes() -> dict[str, Shape]:
    return {module: shape(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}


def test_no_module_and_no_function_is_too_long() -> None:
    assert {module: it.lines for module, it in shapes().items() if it.lines > MOST_LINES} == {}
    assert {module: it.long_functions for module, it in shapes().items() if it.long_functions} == {}


def test_each_module_says_what_it_owns_and_what_it_must_not_know() -> None:
    spoken = {module: it for module, it in shapes().items() if not module.endswith("__init__.py")}
    assert {module: it.missing_words for module, it in spoken.items() if it.missing_words} == {}


def test_the_root_of_the_package_holds_few_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_MODULES_AT_THE_ROOT


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {name_of(module): it.imports - {name_of(module)} for module, it in shapes().items()}
    assert circle(graph) == []


def test_these_checks_can_fail() -> None:
    body = "\n".join("    x = 1" for _ in range(MOST_LINES_OF_A_FUNCTION))
    assert shape("x = 1\n" * 3).lines == 3
    assert shape(f"def short():\n    pass\nasync def long():\n{body}").long_functions == {"long": 51}
    assert shape('"""Owns: a thing. Must not\nknow: another."""').missing_words == []
    assert shape('"""Owns: a thing."""').missing_words == ["Must not know"]
    assert shape("import a.b\nfrom c import d\ndef f():\n    import e").imports == {"a.b", "c", "c.d"}
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
