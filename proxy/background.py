"""Work that goes on for as long as the gateway runs.

Owns: its start and end, the measuring of the event loop's lag, and the watch over the wall clock. Must not know: what
else runs, in which order all of it stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any


def background(work: Coroutine[Any, Any, None], stack: AsyncExitStack) -> None:
    """Run this until the stack is left."""
    task = asyncio.create_task(work)
    stack.push_async_callback(_cancel, task)


async def _cancel(task: asyncio.Task[None]) -> None:
    """End a task; that we are cancelled meanwhile is not mistaken for its end."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
