"""Tasks that run for as long as the gateway does.

Owns: the start and the end of each. Must not know: what else runs, in which order everything stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any


def background(work: Coroutine[Any, Any, None], stack: AsyncExitStack) -> None:
    """Run a coroutine until the stack is left."""
    task = asyncio.create_task(work)
    stack.push_async_callback(_cancel, task)


async def _cancel(task: asyncio.Task[None]) -> None:
    """End a task and raise its error, if it failed."""
    task.cancel()
    await asyncio.wait([task])  # unlike awaiting the task, this tells its cancellation from our own
    if not task.cancelled():
        task.result()
