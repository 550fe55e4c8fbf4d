"""A deadline ends what runs too long, and keeps apart what others cancel."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from proxy.redis_client.deadline import Deadline

LONG = 3600.0


async def test_what_ends_in_time_is_left_alone() -> None:
    with Deadline(LONG):
        await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_what_runs_too_long_ends_with_a_timeout_and_the_task_goes_on() -> None:
    with pytest.raises(TimeoutError), Deadline(0.0):
        await asyncio.sleep(LONG)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_it_may_be_ended_early() -> None:
    deadline = Deadline(LONG)
    asyncio.get_running_loop().call_soon(deadline.end)
    with pytest.raises(TimeoutError), deadline:
        await asyncio.sleep(LONG)


async def test_an_error_at_the_end_stays_that_error() -> None:
    deadline = Deadline(LONG)

    async def work() -> None:
        with deadline:
            deadline.end()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(LONG)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await work()
    await asyncio.sleep(0)


@pytest.mark.parametrize("instead", ["cancellation", "nothing", "error"])
@pytest.mark.parametrize("is_over", [False, True])
async def test_whoever_is_cancelled_by_another_ends_cancelled(instead: str, is_over: bool) -> None:
    deadline = Deadline(LONG)

    async def work() -> None:
        with deadline:
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                if instead == "error":
                    raise ValueError from None
                if instead == "cancellation":
                    raise

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    if is_over:
        deadline.end()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_outside_of_a_task_there_is_none() -> None:
    def enter() -> None:
        with Deadline(LONG):
            raise AssertionError("there is no task")

    raised: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: raised.append(context))
    loop.call_soon(enter)
    await asyncio.sleep(0)
    assert isinstance(raised[0]["exception"], RuntimeError)
