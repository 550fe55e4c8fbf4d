"""Tasks that run for as long as the gateway does.

Owns: the start and the end of each, and when those that look at something from time to time wake. Must not know: what
else runs, in which order everything stops.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

_PHASE_SECONDS = random.random()
"""Processes tick at different moments, so that they do not all ask Redis at once."""
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
    await asyncio.sleep(until_tick(seconds))


async def _cancel(task: asyncio.Task[None]) -> None:
    """End a task and raise its error, if it failed."""
    task.cancel()
    await asyncio.wait([task])  # unlike awaiting the task, this tells its cancellation from our own
    if not task.cancelled():
        task.result()
