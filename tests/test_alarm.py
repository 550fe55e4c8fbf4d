"""An alarm wakes one task, once."""

from __future__ import annotations

import asyncio

from proxy.background import Alarm


async def test_an_alarm_that_has_rung_does_not_wait() -> None:
    alarm = Alarm()
    alarm.set()
    await alarm.wait()
    assert alarm.is_set()
    alarm.clear()
    await alarm.wait(0.0)
    assert not alarm.is_set()


async def test_an_alarm_wakes_whoever_waits() -> None:
    alarm = Alarm()
    waiting = asyncio.create_task(alarm.wait(3600.0))
    await asyncio.sleep(0)
    alarm.set()
    alarm.set()
    await waiting
    waiting = asyncio.create_task(alarm.wait())
    await waiting
    alarm.clear()
    waiting = asyncio.create_task(alarm.wait(3600.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    alarm.set()
    assert waiting.cancelled()
