"""Tasks that run for as long as the gateway does.

Owns: the start and the end of each, what wakes those that look at something from time to time, and how long work lets
others run. Must not know: what else runs, in which order everything stops.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Generator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

T = TypeVar("T")

_PHASE_SECONDS = random.random()
"""Processes tick at different moments, so that they do not all ask Redis at once."""
INSIST_SECONDS = 5.0
"""How long a task has to end before it is cancelled once more: longer than all that is awaited at the end of one."""
_EARLY_SECONDS = 0.001
"""A timer may fire so early, by the clock of the loop. That is no reason to tick twice."""


def background(work: Coroutine[Any, Any, None], stack: AsyncExitStack) -> None:
    """Run a coroutine until the stack is left."""
    task = asyncio.create_task(work)
    stack.push_async_callback(_cancel, task)


def until_tick(seconds: float) -> float:
    """In how many seconds the next tick is.

    All ticks of one period fall together, and with those of each period that it divides. A process that rests is then
    woken by its fastest task alone: a wake-up costs more than what most of its tasks do.
    """
    passed_seconds = asyncio.get_running_loop().time() - _PHASE_SECONDS + _EARLY_SECONDS
    return seconds - passed_seconds % seconds + _EARLY_SECONDS


async def tick(seconds: float) -> None:
    """Sleep until the next tick of this period."""
    loop = asyncio.get_running_loop()
    waiting = loop.create_future()
    timer = loop.call_later(until_tick(seconds), _wake, waiting)
    try:
        await waiting
    finally:
        timer.cancel()


async def in_slices(work: Generator[None, None, T]) -> T:
    """The result of the work. Other tasks run between its slices."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)


class Alarm:
    """Wakes one task when something happens, or after a while: with fewer steps than an event and a time limit."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: asyncio.Future[None] | None = None

    def is_set(self) -> bool:
        """Whether it happened since the last `clear`."""
        return self._is_set

    def set(self) -> None:
        """It happened."""
        self._is_set = True
        if self._waiting is not None:
            _wake(self._waiting)

    def clear(self) -> None:
        """Wait for it once more."""
        self._is_set = False

    async def wait(self, seconds: float | None = None) -> None:
        """Return when it has happened, or after so many seconds. One task waits at a time."""
        if self._is_set:
            return
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, _wake, waiting)
        try:
            await waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def _cancel(task: asyncio.Task[None]) -> None:
    """End a task and raise its error, if it failed. A library may have swallowed its cancellation: then once more."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=INSIST_SECONDS)  # not `await task`: this tells its cancellation from our own
    if not task.cancelled():
        task.result()
