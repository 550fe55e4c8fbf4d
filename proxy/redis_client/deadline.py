"""The end of the time that an operation has.

Owns: one timer, and what becomes of the cancellation that ends an operation. Must not know: Redis, what is done.

It does what `asyncio.timeout` does, with fewer steps: every operation has one.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """`with Deadline(seconds):` raises TimeoutError if the block runs longer, and CancelledError if it was cancelled.

    The latter also where the block has swallowed its cancellation, or raised another error instead. redis-py sends
    long commands within asyncio.wait_for, which swallows a cancellation that comes just as it ends (CPython issue
    86296, mended in 3.12). Whoever cancelled us would then wait for us in vain.
    """

    __slots__ = ("_before", "_is_over", "_seconds", "_task", "_timer")

    _task: asyncio.Task[object]
    _timer: asyncio.TimerHandle

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_over = False

    def end(self) -> None:
        """The time is over."""
        if not self._is_over:
            self._is_over = True
            self._task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is for a task")
        self._task, self._before = task, task.cancelling()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self.end)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        is_cancelled = (self._task.uncancel() if self._is_over else self._task.cancelling()) > self._before
        if is_cancelled:
            if kind is None or issubclass(kind, Exception):
                raise asyncio.CancelledError from error
        elif self._is_over and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error
