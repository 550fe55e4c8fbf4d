"""When coverage is measured: a plugin of pytest, for the tracer of coverage doubles the time of whatever it looks at.

Owns: that it looks at what tests run, and at each import of the package once. Must not know: what is tested.

The tracer rests while tests are collected, in the process that only hands them out, and in tests with the mark
`no_cover`. That mark is pytest-cov's, but without this plugin it does nothing in the processes of pytest-xdist: each
begins with a measurement whose data nobody saves, and when a test pauses its own, the one below it resumes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Generator

import pytest
from coverage import Coverage

import proxy


def pytest_configure(config: pytest.Config) -> None:
    """Import the package under the tracer, and end a measurement that sees nothing more."""
    measured = Coverage.current()
    if measured is None:
        return
    is_worker = hasattr(config, "workerinput")
    if not is_worker:
        import_all()
    if is_worker or config.getoption("numprocesses", None):
        measured.stop()


def import_all() -> None:
    """Import every module of the package: the lines that this runs need be seen in one process only."""
    for module in pkgutil.walk_packages(proxy.__path__, f"{proxy.__name__}."):
        importlib.import_module(module.name)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the tracer rest meanwhile."""
    measured = Coverage.current()
    if measured is None:
        return (yield)
    measured.stop()
    try:
        return (yield)
    finally:
        measured.start()
