"""When tasks that look at something from time to time wake, and that they end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.background import background, until_tick

STARTS = st.floats(min_value=0, max_value=1e7)
PERIODS = st.sampled_from([0.05, 0.25, 0.5, 1.0, 2.0])
EARLY = st.sampled_from([0.0, 0.0005])
"""How long before its time a timer fires."""


class Loop:
    """A loop whose clock only the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with pytest.MonkeyPatch.context() as patch:
        made = Loop()
        patch.setattr(asyncio, "get_running_loop", lambda: made)
        yield made


@given(start=STARTS, period=PERIODS, early=EARLY)
def test_a_tick_comes_once_a_period(loop: Loop, start: float, period: float, early: float) -> None:
    loop.seconds = start
    first = until_tick(period)
    assert 0 < first <= period + 0.001
    loop.seconds += first - early
    assert until_tick(period) == pytest.approx(period + early, abs=1e-6)


@given(start=STARTS, before=st.floats(min_value=0, max_value=3))
def test_tasks_of_several_periods_wake_together(loop: Loop, start: float, before: float) -> None:
    loop.seconds = start
    due = start + until_tick(2.0)
    for period in (0.25, 0.5, 1.0):
        loop.seconds = due - before
        apart = (due - loop.seconds - until_tick(period)) / period
        assert apart == pytest.approx(round(apart), abs=1e-3)


async def test_a_task_whose_cancellation_is_swallowed_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.background.INSIST_SECONDS", 0.01)
    cancelled = 0

    async def work() -> None:
        nonlocal cancelled
        while cancelled < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1

    async with asyncio.timeout(10.0), AsyncExitStack() as stack:
        background(work(), stack)
        await asyncio.sleep(0)
    assert cancelled == 2
