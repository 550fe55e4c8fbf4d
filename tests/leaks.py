"""Nothing stays open after a test: a plugin of pytest that fails the test that left something behind.

Owns: collecting garbage after each test that opened a socket, a pipe, a file or a process, and judging what the
interpreter and asyncio report meanwhile. Must not know: what is tested.

Without it whatever a test forgot is collected at some later moment, and a test that is not at fault fails.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import warnings
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio

_OPENING = frozenset({"socket.__new__", "subprocess.Popen", "os.posix_spawn", "open", "os.fork"})
_TURNS = 10
"""Turns of the event loop that a task which was cancelled gets to end."""


class Leaks(pytest.PytestWarning):
    """Something was left open, or went wrong unseen."""


class _Openings:
    """Whether anything was opened since the last look: an audit hook, which stays for the life of the process."""

    def __init__(self) -> None:
        self._any = False
        sys.addaudithook(self._heard)

    def taken(self) -> bool:
        """Whether something was opened; forgets it."""
        heard, self._any = self._any, False
        return heard

    def _heard(self, event: str, _: tuple[object, ...]) -> None:
        if event in _OPENING:
            self._any = True


class _Ears(logging.Handler):
    """Hears what asyncio can only log: tasks destroyed while pending, errors that nobody retrieved."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._found.append(record.getMessage() + (f" ({error!r})" if error else ""))


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What is reported in the meantime: warnings and errors of finalizers, and errors in asyncio's log."""
    found: list[str] = []
    before, ears, log = sys.unraisablehook, _Ears(found), logging.getLogger("asyncio")

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        found.append(f"{unraisable.exc_value!r} in {unraisable.object!r}")

    sys.unraisablehook = hook
    log.addHandler(ears)
    try:
        # Recorded, never raised: uvloop hangs in `close` when its warning of an open server becomes an error.
        with warnings.catch_warnings(record=True) as recorded:
            warnings.simplefilter("always", ResourceWarning)
            yield found
        found.extend(f"{warning.category.__name__}: {warning.message}" for warning in recorded)
    finally:
        sys.unraisablehook = before
        log.removeHandler(ears)


class Watch:
    """The hooks. A hook and not a fixture: it comes after the last fixture, whatever its scope, and the event loop."""

    def __init__(self) -> None:
        self._openings = _Openings()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Keep the tests out of collections of garbage: each then takes milliseconds, not a third of a second."""
        gc.disable()
        try:
            return (yield)
        finally:
            gc.collect()
            gc.freeze()
            gc.enable()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Fail the test that left something open."""
        with _heard() as found:
            result = yield
            is_last = nextitem is None or nextitem.path != item.path
            if self._openings.taken() or is_last:
                _forget(item)
                _collect()
            if is_last:  # the module's own fixtures are gone: what is alive now is cached or belongs to the session
                gc.freeze()
        if found:
            pytest.fail("left open:\n" + "\n".join(found), pytrace=False)
        return result


def _collect() -> None:
    """Finalize the older before the younger.

    A whole collection takes the youngest generation before the middle one. Then the future of a connection that broke
    may be finalized before its `asyncio.StreamReaderProtocol`, whose finalizer would have retrieved the error.
    """
    gc.collect(1)
    gc.collect()


def _forget(item: pytest.Item) -> None:
    """Drop what pytest itself still holds of a test that is over: its fixtures' values, and the locals of a failure."""
    if isinstance(item, pytest.Function):
        item.funcargs.clear()
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)


def pytest_configure(config: pytest.Config) -> None:
    """Watch from now on."""
    config.pluginmanager.register(Watch(), "leaks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let `no_task_left` begin before the other fixtures of an asynchronous test, and so end after them."""
    for item in items:
        if isinstance(item, pytest.Function) and pytest_asyncio.is_async_test(item):
            item.fixturenames.insert(0, "no_task_left")


@pytest_asyncio.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Fail a test whose tasks run on after it; closing the event loop would cancel them silently."""
    yield
    own = asyncio.current_task()
    for _ in range(_TURNS):
        if asyncio.all_tasks() == {own}:
            return
        await asyncio.sleep(0)
    names = sorted(repr(task) for task in asyncio.all_tasks() - {own})
    pytest.fail("left running:\n" + "\n".join(names), pytrace=False)
