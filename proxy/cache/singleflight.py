"""One task at a time for each key, which all callers share.

Owns: `SingleFlight`, the tasks and their end. Must not know: what a task does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Protocol, TypeVar

from proxy.errors import UpstreamFailed

T = TypeVar("T")

_CANCEL_SECONDS = 1.0


class Flight(Protocol):
    """Work that is done elsewhere. It gets a future only when somebody joins it, which is seldom."""

    joined: asyncio.Future[Any] | None
    """What its callers wait for, once there is one."""


class SingleFlight:
    """Each key's work runs in a task of its own, which no caller can cancel."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Future[Any] | Flight] = {}

    async def do(
        self, key: Hashable, work: Callable[[], Awaitable[T]], *, timeout_seconds: float | None = None
    ) -> tuple[T, bool]:
        """The result of `work`, and whether an earlier caller started it (collapsed).

        Raises what the work raises; TimeoutError once this caller waited `timeout_seconds`; UpstreamFailed
        when `drain` cancelled the work. The work goes on when a caller is cancelled or times out.
        """
        task = self._under_way(key)
        collapsed = task is not None
        if task is None:
            task = self._start(key, work)
        await _wait(task, timeout_seconds)
        if not task.done():
            raise TimeoutError
        if task.cancelled():
            raise UpstreamFailed("The request was given up because the gateway is shutting down.")
        return task.result(), collapsed

    def lead(self, key: Hashable, flight: Flight) -> bool:
        """Whether this flight is this key's work from now on, until it lands; False: such work is under way."""
        other = self._tasks.setdefault(key, flight)
        if other is flight:
            return True
        if self._under_way(key) is not None:
            return False
        self._tasks[key] = flight
        return True

    def elsewhere(self, key: Hashable) -> Flight | None:
        """The work under way for this key, if it is done elsewhere."""
        work = self._tasks.get(key)
        if work is None or isinstance(work, asyncio.Future):
            return None
        return None if work.joined is not None and work.joined.done() else work

    def land(self, key: Hashable, flight: Flight) -> asyncio.Future[Any] | None:
        """No caller joins any more. Returns what those wait for that have joined: `give` them the outcome."""
        tasks = self._tasks
        if tasks.get(key) is flight:
            del tasks[key]
        return flight.joined

    def spawn(self, key: Hashable, work: Callable[[], Awaitable[Any]]) -> bool:
        """Start `work` in the background; False if this key's work is under way. Its errors are dropped."""
        if self._under_way(key) is not None:
            return False
        self._start(key, work)
        return True

    def is_under_way(self, key: Hashable) -> bool:
        """Whether this key's work is under way."""
        return self._under_way(key) is not None

    def running(self) -> int:
        """The number of keys with work under way."""
        return len(self._tasks)

    async def drain(self, timeout_seconds: float) -> int:
        """Wait for all work, then cancel the rest; returns how much that was. The caller must start no more work."""
        if self._tasks:
            await asyncio.wait(map(_joined, self._tasks.values()), timeout=timeout_seconds)
        left = list(map(_joined, self._tasks.values()))
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_CANCEL_SECONDS)
        return len(left)

    def _under_way(self, key: Hashable) -> asyncio.Future[Any] | None:
        work = self._tasks.get(key)
        task = None if work is None else _joined(work)
        return None if task is None or task.done() else task

    def _start(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        task = asyncio.create_task(_run(work))
        self._tasks[key] = task
        # The task's first callback: it removes the key before any waiter continues.
        task.add_done_callback(lambda ended: self._ended(key, ended))
        return task

    def _ended(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            task.exception()  # marks it as retrieved, or asyncio logs it when nobody waits any more


def _joined(work: asyncio.Future[Any] | Flight) -> asyncio.Future[Any]:
    """What callers of this work wait for."""
    if isinstance(work, asyncio.Future):
        return work
    if work.joined is None:
        work.joined = asyncio.get_running_loop().create_future()
    return work.joined


def give(joined: asyncio.Future[Any], outcome: object) -> None:
    """Give all that share a flight its outcome; an exception is raised there."""
    if joined.done():
        return
    if isinstance(outcome, BaseException):
        joined.set_exception(outcome)
        joined.exception()  # marks it as retrieved
    else:
        joined.set_result(outcome)


async def _wait(task: asyncio.Future[Any], timeout_seconds: float | None) -> None:
    """Return when the task has ended or the time is over.

    Cancelling this wait does not cancel the task. With `asyncio.shield` the caller could not tell its own
    cancellation from the task's; `asyncio.wait` works too, but costs several times as much.
    """
    loop = asyncio.get_running_loop()
    waker = loop.create_future()

    def wake(_: object = None) -> None:
        if not waker.done():
            waker.set_result(None)

    task.add_done_callback(wake)
    timer = loop.call_later(timeout_seconds, wake) if timeout_seconds is not None else None
    try:
        await waker
    finally:
        task.remove_done_callback(wake)
        if timer is not None:
            timer.cancel()


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
