"""One ledger a pool: what is charged in one leaves the others alone."""

from __future__ import annotations

import pytest

from proxy.core.endpoints.catalogue import TABLES
from proxy.core.quota.block import BlockReason
from proxy.core.quota.pools import default_windows
from proxy.errors import Banned, BudgetUsedUp
from proxy.quota.local import MemoryLedger
from proxy.quota.pools import PoolLedgers, pool_domain
from proxy.quota.scripts import domain_key
from tests.quota.doubles import RATIOS, ManualClock

LINES = {line.name: line for table in TABLES.values() for line in table}


@pytest.fixture
def ledgers(clock: ManualClock) -> PoolLedgers:
    return PoolLedgers(lambda pool: MemoryLedger(clock=clock, ratios=RATIOS, windows=default_windows(pool)))


async def test_usd_and_coin_futures_spend_one_budget(ledgers: PoolLedgers) -> None:
    usd, coin = (ledgers.of(LINES[name]) for name in ("fapi/v1/trades", "dapi/v1/trades"))
    assert usd is coin
    await usd.reserve(2160)  # 0.9 of 2400
    with pytest.raises(BudgetUsedUp):
        await coin.reserve(1)


async def test_a_ban_of_one_pool_leaves_the_others_alone(ledgers: PoolLedgers) -> None:
    await ledgers.of(LINES["fapi/v1/trades"]).block(BlockReason.BAN, None)
    with pytest.raises(Banned):
        await ledgers.of_api(LINES["fapi/v1/fundingRate"]).reserve(0)
    await ledgers.of(LINES["depth"]).reserve(5)
    await ledgers.of(LINES["eapi/v1/mark"]).reserve(5)


async def test_a_pool_of_its_own_counts_requests(ledgers: PoolLedgers) -> None:
    funding = ledgers.of(LINES["fapi/v1/fundingRate"])
    assert funding is ledgers.of(LINES["fapi/v1/fundingInfo"])
    for _ in range(450):  # 0.9 of 500
        await funding.reserve(0)
    with pytest.raises(BudgetUsedUp, match="450 raw requests per 5 MINUTE"):
        await funding.reserve(0)


def test_only_pools_that_were_used_are_shown(ledgers: PoolLedgers) -> None:
    assert [pool for pool, _ in ledgers.views()] == ["spot"]
    ledgers.of(LINES["eapi/v1/mark"])
    assert [pool for pool, _ in ledgers.views()] == ["spot", "options"]


def test_limits_are_learned_for_the_pool_of_the_api(ledgers: PoolLedgers) -> None:
    told = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1200}]
    ledgers.learn(LINES["dapi/v1/exchangeInfo"], told)
    ledgers.learn(LINES["dapi/v1/exchangeInfo"], [])
    (window,) = ledgers.of(LINES["fapi/v1/trades"]).view().windows
    assert (window.name, window.limit, window.budget) == ("REQUEST_WEIGHT:1m", 1200, 1080)
    assert ledgers.spot.view().windows[0].limit == 6000


def test_the_keys_of_spot_stay_and_no_quota_domain_can_be_mistaken_for_a_pool() -> None:
    assert domain_key("p", "spot", pool_domain("default", "spot")) == "p:{spot:default}"
    assert domain_key("p", "spot", pool_domain("default", "futures")) == "p:{spot:default/futures}"
