"""One ledger a pool: what is charged in one leaves the others alone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from proxy.core.endpoints.catalogue import TABLES, Forward
from proxy.core.endpoints.endpoint import Api, CachePolicy, Endpoint, Security
from proxy.core.endpoints.weight_rules import Fixed
from proxy.core.quota.block import BlockReason
from proxy.core.quota.ratios import Purpose
from proxy.core.quota.replicas import ReplicaCount
from proxy.core.quota.windows import RateLimitKind, Window
from proxy.errors import BackedOff, Banned, BudgetUsedUp, ClientShareUsedUp
from proxy.quota.build import build_ledgers, pool_domain
from proxy.quota.pools import PoolLedgers
from proxy.quota.scripts import ScriptRunner, domain_key
from proxy.redis_client.connection import RedisConnection
from proxy.settings import Settings
from tests.environment import settings_of
from tests.quota.doubles import ManualClock, SwitchedConnection, Tally

LINES = {line.name: line for table in TABLES.values() for line in table}
ALL_POOLS = 11


def build(clock: ManualClock, connection: ScriptRunner | None = None, **settings: Any) -> PoolLedgers:
    return build_ledgers(
        settings_of(**settings),
        connection,
        clock=clock,
        replica_count=ReplicaCount(),
        observer_of=lambda _: Tally(),
    )


@pytest.fixture(params=["memory", "redis"])
def ledgers(request: pytest.FixtureRequest, clock: ManualClock, connection: RedisConnection) -> PoolLedgers:
    return build(clock, None if request.param == "memory" else connection)


def weight_limit(limit: int) -> tuple[Window, ...]:
    return (Window(RateLimitKind.REQUEST_WEIGHT, 60, limit),)


def limits_of(ledgers: PoolLedgers, pool: str) -> list[tuple[str, int]]:
    return [(window.name, window.limit) for window in ledgers.by_pool[pool].view().windows]


async def test_usd_and_coin_futures_spend_one_budget(ledgers: PoolLedgers) -> None:
    usd, coin = (ledgers.of(LINES[name]) for name in ("fapi/v1/trades", "dapi/v1/trades"))
    assert usd is coin
    await usd.reserve(2160)  # 0.9 of 2400
    with pytest.raises(BudgetUsedUp):
        await coin.reserve(1)
    await ledgers.spot.reserve(5400)
    await ledgers.of_api(Api.OPTIONS).reserve(360)


async def test_each_ratio_of_the_settings_bounds_what_it_is_for(
    clock: ManualClock, connection: RedisConnection
) -> None:
    switch = SwitchedConnection(connection)
    ratios = {"budget_ratio": 0.6, "refresh_budget_ratio": 0.3, "local_budget_ratio": 0.2, "trading_budget_ratio": 0.8}
    shared, alone = (build(clock, switch, client_ratio=0.25, quota_domain=name, **ratios).spot for name in ("a", "b"))
    await shared.reserve(1, client="another")
    await shared.reserve(899, client="bot")
    await shared.reserve(900, purpose=Purpose.BACKGROUND)
    with pytest.raises(BudgetUsedUp):
        await shared.reserve(1, purpose=Purpose.BACKGROUND)
    await shared.reserve(1, client="bot")
    with pytest.raises(ClientShareUsedUp):
        await shared.reserve(1, client="bot")
    for purpose, left in ((Purpose.PUBLIC, 1799), (Purpose.KEYED, 1200)):
        await shared.reserve(left, purpose=purpose)
        with pytest.raises(BudgetUsedUp):
            await shared.reserve(1, purpose=purpose)
    switch.away = True
    await alone.reserve(1200)
    with pytest.raises(BudgetUsedUp):
        await alone.reserve(1)


@pytest.mark.parametrize("leases", [False, True])
def test_leases_are_taken_where_the_settings_say_so(
    clock: ManualClock, connection: RedisConnection, leases: bool
) -> None:
    assert (build(clock, connection, quota_leases=leases).spot.view().leases is not None) is leases


@pytest.mark.parametrize("is_away", [False, True])
async def test_a_budget_that_is_lowered_by_itself_bounds_refreshes_and_what_is_spent_without_redis(
    clock: ManualClock, connection: RedisConnection, is_away: bool
) -> None:
    switch = SwitchedConnection(connection)
    spot = build(clock, switch, budget_ratio=0.1).spot
    switch.away = is_away
    await spot.reserve(500, purpose=Purpose.BACKGROUND)
    for purpose in (Purpose.BACKGROUND, Purpose.PUBLIC):
        with pytest.raises(BudgetUsedUp):
            await spot.reserve(101, purpose=purpose)


async def test_a_ban_of_one_pool_leaves_the_others_alone(ledgers: PoolLedgers) -> None:
    await ledgers.of(LINES["fapi/v1/trades"]).block(BlockReason.BAN, None)
    for line in (LINES["depth"], LINES["eapi/v1/mark"]):
        await ledgers.raise_if_blocked(line)
        await ledgers.of(line).reserve(5)


async def test_a_pool_of_its_own_obeys_the_block_of_its_api_and_not_the_other_way_round(ledgers: PoolLedgers) -> None:
    own, api = LINES["fapi/v1/fundingRate"], LINES["fapi/v1/trades"]
    await ledgers.of(own).block(BlockReason.BACK_OFF, None)
    await ledgers.of(api).reserve(5)
    await ledgers.raise_if_blocked(own)
    await ledgers.of(api).block(BlockReason.BAN, None)
    with pytest.raises(Banned):
        await ledgers.raise_if_blocked(own)
    await ledgers.raise_if_blocked(LINES["depth"])


async def test_a_pool_of_its_own_obeys_a_block_that_only_another_replica_met(
    clock: ManualClock, connection: RedisConnection
) -> None:
    here, there = build(clock, connection), build(clock, connection)
    await there.of_api(Api.USD_FUTURES).block(BlockReason.BAN, clock.now + 100)
    with pytest.raises(Banned):
        await here.raise_if_blocked(LINES["futures/data/basis"])
    assert here.of_api(Api.COIN_FUTURES).view().block is not None


@pytest.mark.no_cover
async def test_a_pool_of_its_own_counts_requests(ledgers: PoolLedgers) -> None:
    funding = ledgers.of(LINES["fapi/v1/fundingRate"])
    assert funding is ledgers.of(LINES["fapi/v1/fundingInfo"])
    for _ in range(450):  # 0.9 of 500
        await funding.reserve(0)
    with pytest.raises(BudgetUsedUp, match="450 raw requests per 5 MINUTE"):
        await funding.reserve(0)


async def test_the_used_weight_of_the_api_is_not_that_of_a_pool_of_its_own(ledgers: PoolLedgers) -> None:
    own = ledgers.of(LINES["futures/data/basis"])
    await own.reconcile(await own.reserve(0), {"x-mbx-used-weight-1m": "2000"}, ok=True)
    assert own.used_weight() == 0
    assert ledgers.of_api(Api.USD_FUTURES).used_weight() == 0


def sapi_line(pool: str) -> Endpoint:
    """What is known of a path below `/sapi`."""
    return Endpoint(
        name="sapi",
        path="/sapi/v1/x",
        security=Security.SIGNED,
        weight=Fixed(1),
        policy=CachePolicy.FORWARDED,
        pool=pool,
    )


ONE, TWO = sapi_line("sapi-01"), sapi_line("sapi-02")


async def test_a_sapi_path_has_12000_of_its_own_by_its_own_header(ledgers: PoolLedgers) -> None:
    one = ledgers.of(ONE)
    headers = {"x-sapi-used-ip-weight-1m": "10800", "x-sapi-used-uid-weight-1m": "11999", "x-mbx-used-weight-1m": "9"}
    await one.reconcile(await one.reserve(1), headers, ok=True)
    assert one.used_weight() == 10_800
    with pytest.raises(BudgetUsedUp, match="10800 request weight per 1 MINUTE"):
        await one.reserve(1)
    await one.reserve(960, purpose=Purpose.KEYED)  # up to 0.98
    await ledgers.of(TWO).reserve(10_800)
    await ledgers.spot.reserve(5400)
    assert ledgers.spot.used_weight() == 5400


async def test_a_block_of_a_sapi_path_leaves_all_others_alone(ledgers: PoolLedgers) -> None:
    await ledgers.of(ONE).block(BlockReason.BACK_OFF, None)
    with pytest.raises(BackedOff, match="Too much request weight used; current limit is 12000"):
        await ledgers.of(ONE).reserve(1)
    for line in (TWO, LINES["depth"]):
        await ledgers.raise_if_blocked(line)
        await ledgers.of(line).reserve(1)


async def test_all_sapi_paths_are_shown_as_the_fullest_of_them(ledgers: PoolLedgers) -> None:
    assert "sapi" not in dict(ledgers.views())
    await ledgers.of(ONE).reserve(7)
    await ledgers.of(TWO).reserve(5)
    await ledgers.of(TWO).block(BlockReason.BACK_OFF, None)
    pools = [pool for pool, _ in ledgers.views()]
    assert (pools.count("sapi"), len(pools)) == (1, ALL_POOLS + 1)
    shown = dict(ledgers.views())["sapi"]
    assert [(window.used, window.limit) for window in shown.windows] == [(7, 12_000)]
    assert shown.block is not None


async def test_sapi_paths_are_counted_by_all_replicas_together_under_one_label(
    clock: ManualClock, connection: RedisConnection, tmp_path: Path
) -> None:
    here, there = (build(clock, connection, state_dir=tmp_path, quota_domain="sapi-test") for _ in range(2))
    await here.of(ONE).reserve(10_000)
    await there.of(ONE).reserve(800)
    with pytest.raises(BudgetUsedUp):
        await there.of(ONE).reserve(1)
    keys = [key async for key in connection.client.scan_iter(match="*sapi-test/sapi-*")]
    assert keys
    assert {bytes(key).split(b"}")[0] for key in keys} == {b"binance-sidecar:{spot:sapi-test/sapi-01"}
    assert not [file for file in tmp_path.iterdir() if "sapi-0" in file.name]


def test_the_observer_of_every_sapi_pool_has_one_label(clock: ManualClock) -> None:
    labels: list[str] = []

    def observer_of(pool: str) -> Tally:
        labels.append(pool)
        return Tally()

    ledgers = build_ledgers(
        Settings(forward=Forward.GENERAL),
        None,
        clock=clock,
        replica_count=ReplicaCount(),
        observer_of=observer_of,
    )
    for number in range(64):
        ledgers.of(sapi_line(f"sapi-{number:02x}"))
    assert set(labels) == {"spot", "sapi"}


async def test_the_block_of_a_sapi_path_is_followed_in_redis_from_its_first_request_on(
    clock: ManualClock, connection: RedisConnection
) -> None:
    ledgers = build(clock, connection)
    watching = asyncio.create_task(ledgers.watch_blocks())
    for _ in range(4):
        await asyncio.sleep(0)
    before = len(asyncio.all_tasks())
    ledgers.of(ONE)
    ledgers.of(ONE)
    for _ in range(4):  # what has no leases ends at once
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before + 1
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


def test_each_served_pool_is_shown_spot_first(clock: ManualClock) -> None:
    assert [pool for pool, _ in build(clock, forward="general").views()] == ["spot"]
    assert [pool for pool, _ in build(clock, upstreams="http://localhost:1").views()] == ["spot"]
    pools = [pool for pool, _ in build(clock).views()]
    assert pools[:4] == ["spot", "futures", "options", "funding"]
    assert len(pools) == ALL_POOLS


def test_limits_are_learned_for_the_pool_of_the_api(ledgers: PoolLedgers) -> None:
    ledgers.learn(Api.COIN_FUTURES, weight_limit(1200))
    ledgers.learn(Api.COIN_FUTURES, ())
    assert limits_of(ledgers, "futures") == [("REQUEST_WEIGHT:1m", 1200)]
    assert limits_of(ledgers, "spot")[0] == ("REQUEST_WEIGHT:1m", 6000)
    assert limits_of(ledgers, "options") == [("REQUEST_WEIGHT:1m", 400)]


def test_of_two_apis_in_one_pool_the_lower_limit_holds_whoever_comes_last(ledgers: PoolLedgers) -> None:
    for api, limit, holds in [
        (Api.USD_FUTURES, 2400, 2400),
        (Api.COIN_FUTURES, 6000, 2400),
        (Api.USD_FUTURES, 4800, 4800),
        (Api.COIN_FUTURES, 1, 4800),  # not believed
        (Api.COIN_FUTURES, 1200, 1200),
        (Api.USD_FUTURES, 2400, 1200),
    ]:
        ledgers.learn(api, weight_limit(limit))
        assert limits_of(ledgers, "futures") == [("REQUEST_WEIGHT:1m", holds)]


async def test_each_pool_keeps_its_own_block_over_a_restart(clock: ManualClock, tmp_path: Path) -> None:
    before = build(clock, state_dir=tmp_path)
    await before.of_api(Api.OPTIONS).block(BlockReason.BAN, clock.now + 500)
    after = build(clock, state_dir=tmp_path)
    blocked = [pool for pool, view in after.views() if view.block is not None]
    assert blocked == ["options"]


async def test_all_blocks_are_followed_in_redis(clock: ManualClock, connection: RedisConnection) -> None:
    watching = asyncio.create_task(build(clock, connection).watch_blocks())
    await asyncio.sleep(0)
    assert not watching.done()
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    await build(clock).watch_blocks()  # without Redis there is nothing to follow


def test_the_keys_of_spot_stay_and_no_quota_domain_can_be_mistaken_for_a_pool() -> None:
    assert domain_key("p", "spot", pool_domain("default", "spot")) == "p:{spot:default}"
    assert domain_key("p", "spot", pool_domain("default", "futures")) == "p:{spot:default/futures}"
