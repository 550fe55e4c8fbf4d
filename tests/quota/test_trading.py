"""Requests with a key in the ledgers: they come first, and orders cost nothing when they succeed."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.quota.budget import Reservation
from proxy.core.quota.ratios import Purpose
from tests.quota.conftest import Domain
from tests.quota.doubles import HOUR, Ledger, admitted, ask, headers

BUDGET, TRADING = 5400, 5880
LOCAL_TRADING = 1633
"""0.25 * 0.98 / 0.9 of 6000."""


async def order(ledger: Ledger, weight: int = 1, *, client: str | None = "trader") -> Reservation:
    outcome = await ask(ledger, weight, purpose=Purpose.KEYED, refundable=True, client=client)
    assert isinstance(outcome, Reservation), outcome
    return outcome


async def test_an_order_passes_when_all_others_have_used_up_the_budget(ledger: Ledger) -> None:
    await admitted(ledger, BUDGET)
    assert await ask(ledger, 1) == ("quota", 31.0)
    keyed = {"purpose": Purpose.KEYED, "client": "trader"}
    assert isinstance(await ask(ledger, TRADING - BUDGET, **keyed), Reservation)  # type: ignore[arg-type]
    assert await ask(ledger, 1, **keyed) == ("quota", 31.0)  # type: ignore[arg-type]


async def test_no_share_holds_a_client_that_trades_and_what_it_uses_counts(ledger: Ledger) -> None:
    await admitted(ledger, BUDGET // 2)
    assert isinstance(await ask(ledger, TRADING // 4 + 1, purpose=Purpose.KEYED, client="trader"), Reservation)
    assert await ask(ledger, 1, client="trader") == ("client-share", 31.0)
    await admitted(ledger, 1, client="other")


async def test_orders_that_succeed_count_neither_as_used_nor_towards_the_share(ledger: Ledger) -> None:
    for _ in range(3):
        await ledger.reconcile(await order(ledger, BUDGET // 2), headers(0), ok=True)
    assert ledger.used_weight() == 0
    assert ledger.view().windows[1].used == 3
    await admitted(ledger, BUDGET // 2)
    await admitted(ledger, BUDGET // 4, client="trader")


async def test_an_order_that_fails_or_is_not_answered_stays_charged(ledger: Ledger) -> None:
    await ledger.reconcile(await order(ledger), headers(1), ok=False)
    await order(ledger)
    assert ledger.used_weight() == 2


async def test_the_origins_count_holds_after_a_refund(ledger: Ledger) -> None:
    await ledger.reconcile(await order(ledger), headers(500), ok=True)
    assert ledger.used_weight() == 500


async def test_a_replica_that_saw_the_budget_used_up_sends_again_after_anothers_refund(domain: Domain) -> None:
    (trader, _), (poller, _) = domain.replica(), domain.replica()
    open_order = await order(trader, 100)
    await admitted(poller, BUDGET - 100)
    assert await ask(poller, 1) == ("quota", 31.0)
    await trader.reconcile(open_order, {}, ok=True)
    await admitted(poller, 100)
    assert await ask(poller, 1) == ("quota", 31.0)
    assert await domain.used(HOUR) == (BUDGET, BUDGET)


async def test_no_replica_undoes_the_refund_of_another(domain: Domain) -> None:
    (trader, _), (poller, _) = domain.replica(), domain.replica()
    open_order = await order(trader, 100)
    await admitted(poller, 10)
    await trader.reconcile(open_order, {}, ok=True)
    await poller.reconcile(await admitted(poller, 1), {}, ok=True)
    assert (await domain.used(HOUR))[0] == 11
    assert poller.used_weight() == 11


async def test_a_redis_that_lost_an_order_refunds_nothing(domain: Domain) -> None:
    trader, _ = domain.replica()
    await admitted(trader, 10)
    open_order = await order(trader, 5)
    await domain.switched().client.flushall()
    await admitted(trader, 1)
    await trader.reconcile(open_order, {}, ok=True)
    assert (await domain.used(HOUR))[0] == 11


async def test_while_redis_is_away_trading_keeps_its_lead_and_nothing_is_taken_back(domain: Domain) -> None:
    trader, switch = domain.replica()
    switch.away = True
    await admitted(trader, 1500)
    assert await ask(trader, 1) == ("quota", 31.0)
    last = await order(trader, LOCAL_TRADING - 1500)
    assert await ask(trader, 1, purpose=Purpose.KEYED, refundable=True) == ("quota", 31.0)
    await trader.reconcile(last, {}, ok=True)
    assert await ask(trader, 1, purpose=Purpose.KEYED, refundable=True) == ("quota", 31.0)
    switch.away = False
    await admitted(trader, 1)
    assert (await domain.used(HOUR))[0] == LOCAL_TRADING + 1


@pytest.mark.no_cover
async def test_every_order_passes_while_three_replicas_poll_all_that_they_may(domain: Domain) -> None:
    replicas = [domain.replica()[0] for _ in range(3)]
    orders = 0

    async def poll(ledger: Ledger) -> None:
        for _ in range(120):
            outcome = await ask(ledger, 20)
            if isinstance(outcome, Reservation):
                await ledger.reconcile(outcome, {}, ok=True)

    async def trade(ledger: Ledger) -> None:
        nonlocal orders
        for _ in range(40):
            await ledger.reconcile(await order(ledger), {}, ok=True)
            orders += 1

    await asyncio.gather(*(poll(ledger) for ledger in replicas), *(trade(ledger) for ledger in replicas for _ in "12"))
    assert orders == 240
    used, pending = await domain.used(HOUR)
    assert pending == 0
    assert BUDGET - 20 <= used <= BUDGET
    assert (await domain.stored(f"REQUEST_WEIGHT:1m:{HOUR}"))["refundable"] == "0"
