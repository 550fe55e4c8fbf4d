"""The size and shape of the package: lengths, the number of modules at its root, module docstrings, import circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "proxy"
MODULES = {path.relative_to(PACKAGE.parent).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 50
MOST_MODULES_AT_THE_ROOT = 10
HEAD = ("Owns", "Must not know")


@cache
def parsed(source: str) -> ast.Module:
    """The tree of a module, which several tests look at."""
    return ast.parse(source)


def long_functions(source: str) -> dict[str, int]:
    """Functions with more lines than they may have, from `def` to their last line."""
    lines = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    return {name: count for name, count in lines.items() if count > MOST_LINES_OF_A_FUNCTION}


def missing_words(source: str) -> list[str]:
    """What the docstring of a module does not say."""
    words = " ".join((ast.get_docstring(parsed(source)) or "").split())
    return [word for word in HEAD if f"{word}:" not in words]


def imports(source: str) -> Iterator[str]:
    """The modules that a module imports when it is loaded; not those that only a function imports."""
    for node in parsed(source).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """What remains of a graph when everything without an open import is taken away: empty if there is no circle."""
    left = dict(graph)
    while closed := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in closed:
            del left[name]
    return sorted(left)


def name_of(module: str) -> str:
    return module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@pytest.mark.parametrize("module", MODULES)
def test_no_module_and_no_function_is_too_long(module: str) -> None:
    source = MODULES[module].read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_LINES
    assert long_functions(source) == {}


@pytest.mark.parametrize("module", [module for module in MODULES if not module.endswith("__init__.py")])
def test_each_module_says_what_it_owns_and_what_it_must_not_know(module: str) -> None:
    assert missing_words(MODULES[module].read_text(encoding="utf-8")) == []


def test_the_root_of_the_package_holds_few_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_MODULES_AT_THE_ROOT


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {
        name_of(module): set(imports(path.read_text(encoding="utf-8"))) - {name_of(module)}
        for module, path in MODULES.items()
    }
    assert circle(graph) == []


def test_these_checks_can_fail() -> None:
    body = "\n".join("    x = 1" for _ in range(MOST_LINES_OF_A_FUNCTION))
    assert long_functions(f"def short():\n    pass\nasync def long():\n{body}") == {"long": 51}
    assert missing_words('"""Owns: a thing. Must not\nknow: another."""') == []
    assert missing_words('"""Owns: a thing."""') == ["Must not know"]
    assert set(imports("import a.b\nfrom c import d\ndef f():\n    import e")) == {"a.b", "c", "c.d"}
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
