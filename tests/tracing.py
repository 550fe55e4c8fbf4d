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
    """End the measurement whose data nobody saves."""
    measured = Coverage.current()
    if measured is not None and _is_worker(config):
        measured.stop()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Import the package under the tracer, which then rests: for good where no test runs."""
    measured = Coverage.current()
    if measured is None:
        return (yield)
    if not _is_worker(session.config):
        import_all()
    measured.stop()
    try:
        return (yield)
    finally:
        if _is_worker(session.config) or not session.config.getoption("numprocesses", None):
            measured.start()


def import_all() -> None:
    """Import every module of the package: the lines that this runs need be seen in one process only."""
    for module in pkgutil.walk_packages(proxy.__path__, f"{proxy.__name__}."):
        importlib.import_module(module.name)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
