"""Charging and settling without waiting: the same as with waiting, or nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.demand import demand_of
from proxy.core.quota.ratios import Purpose
from proxy.core.quota.view import LedgerView
from proxy.errors import Banned, BudgetUsedUp
from proxy.quota.block_file import BlockFile
from proxy.quota.local import MemoryLedger
from tests.quota.doubles import RATIOS, ManualClock, Tally, admitted, headers, settled_now


def reserved(ledger: MemoryLedger, weight: int, *, refundable: bool = False) -> Reservation:
    return ledger.reserve_now(demand_of(weight, Purpose.PUBLIC, refundable, "bot"))


async def test_the_counts_are_those_of_the_calls_that_wait(clock: ManualClock) -> None:
    views: list[LedgerView] = []
    for waits in (True, False):
        tally = Tally()
        ledger = MemoryLedger(clock=clock, ratios=RATIOS, observer=tally)
        for refundable in (True, False):
            if waits:
                reservation = await ledger.reserve(20, client="bot", refundable=refundable)
                await ledger.reconcile(reservation, headers(50), ok=True)
            else:
                reservation = reserved(ledger, 20, refundable=refundable)
                assert settled_now(ledger, reservation, headers(50))
        views.append(ledger.view())
        assert tally.foreign == 50
    assert views[0] == views[1]


def test_a_refusal_is_raised_and_counted(clock: ManualClock) -> None:
    tally = Tally()
    ledger = MemoryLedger(clock=clock, ratios=RATIOS, observer=tally)
    with pytest.raises(BudgetUsedUp):
        reserved(ledger, 5401)
    assert tally.refusals == ["quota"]
    assert ledger.used_weight() == 0


async def test_the_end_of_a_block_is_left_to_the_call_that_waits_for_the_disk(
    clock: ManualClock, tmp_path: Path
) -> None:
    ledger = MemoryLedger(clock=clock, ratios=RATIOS, keeper=BlockFile(tmp_path, "block.json", clock))
    await ledger.block(BlockReason.BAN, None)
    with pytest.raises(Banned):
        reserved(ledger, 1)
    clock.now += 130
    reservation = await admitted(ledger, 1)
    before = ledger.view()
    assert not settled_now(ledger, reservation, headers(1))
    assert ledger.view() == before
    await ledger.reconcile(reservation, headers(1), ok=True)
    assert list(tmp_path.iterdir()) == []
    assert settled_now(ledger, reserved(ledger, 1), headers(2))
