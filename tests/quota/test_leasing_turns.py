"""When the leases are looked after: at once when somebody asks, also in the middle of a call."""

from __future__ import annotations

import asyncio

import pytest

from proxy.background import Alarm
from proxy.quota.leasing import IDLE_TICK_SECONDS
from proxy.quota.shared import RedisLedger
from tests.quota.doubles import HOUR, RATIOS, ManualClock
from tests.redis_client.fixtures import Opener


class Noted(Alarm):
    """Notes for how long it is waited for, and ends that."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    async def wait(self, seconds: float | None = None) -> None:
        self.seconds.append(seconds)
        raise asyncio.CancelledError


@pytest.mark.parametrize("comes", [False, True])
async def test_a_request_after_a_while_that_comes_during_a_turn_is_not_overlooked(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, comes: bool
) -> None:
    connection = opened("redis://127.0.0.1:1")
    ledger = RedisLedger(connection, domain_key="d", clock=ManualClock(HOUR), ratios=RATIOS, leases=True)
    leasing = ledger._leasing
    assert leasing is not None

    async def turn(now: float, *, is_active: bool) -> None:
        assert not is_active
        if comes:
            leasing.demand(1, now)

    monkeypatch.setattr(leasing, "turn", turn)
    leasing._wake = noted = Noted()
    with pytest.raises(asyncio.CancelledError):
        await leasing._work()
    (seconds,) = noted.seconds
    assert seconds is not None
    assert (seconds < IDLE_TICK_SECONDS) == comes
