"""Work that goes on for as long as the gateway runs.

Owns: its start and end, the measuring of the event loop's lag, and the watch over the wall clock. Must not know: what
else runs, in which order all of it stops.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from proxy.clock import OriginClock
from proxy.metrics import Metrics

LAG_SECONDS = 0.25
"""How often the event loop's lag is measured."""
WATCH_SECONDS = 1.0
"""How often the wall clock is held against the monotonic one."""


def background(work: Coroutine[Any, Any, None], stack: AsyncExitStack) -> None:
    """Run this until the stack is left."""
    task = asyncio.create_task(work)
    stack.push_async_callback(_cancel, task)


async def measure_lag(metrics: Metrics) -> None:
    """Tell how late the event loop wakes."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(LAG_SECONDS)
        metrics.lagged(max(0.0, time.perf_counter() - before - LAG_SECONDS))


async def watch_clock(clock: OriginClock) -> None:
    """Notice soon when the wall clock was set: until then all ages are wrong."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        clock.sure()


async def _cancel(task: asyncio.Task[None]) -> None:
    """End a task; that we are cancelled meanwhile is not mistaken for its end."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
