"""What only the ledger in Redis does: sharing, what it keeps there, and life while Redis is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.charges import WindowKey, WindowUsage
from proxy.core.quota.client_share import Address, share_of
from proxy.core.quota.ratios import Purpose
from proxy.core.quota.replicas import ReplicaCount
from proxy.core.quota.unsynced_usage import Total
from proxy.core.quota.windows import RateLimitKind, Window
from proxy.quota.scripts import Scripts, domain_key
from proxy.quota.shared import RedisLedger
from proxy.redis_client.connection import RedisConnection, RedisOperation, connect
from tests.ports import free_ports
from tests.quota.conftest import Domain, text
from tests.quota.doubles import HOUR, RATIOS, ManualClock, SwitchedConnection, Tally, admitted, ask, headers
from tests.redis_client.fixtures import NullRedisObserver
from tests.redis_client.valkey import Valkey
from tests.sizes import sized

RESERVE, RECONCILE, RELEASE, BLOCK = (
    RedisOperation.RESERVE,
    RedisOperation.RECONCILE,
    RedisOperation.RELEASE,
    RedisOperation.BLOCK,
)
BUDGET, LOCAL_BUDGET = 5400, 1500
"""A quarter of 6000."""


# Sharing.


@pytest.mark.no_cover
async def test_four_hundred_at_once_in_three_replicas_and_exactly_the_budget_passes(domain: Domain) -> None:
    replicas = [domain.replica()[0] for _ in range(3)]
    outcomes = await asyncio.gather(*(ask(replicas[i % 3], 20) for i in range(400)))

    assert sum(isinstance(outcome, Reservation) for outcome in outcomes) == 270
    assert await domain.used(HOUR) == (5400, 5400)


async def test_a_replica_follows_what_the_others_spend(domain: Domain) -> None:
    (first, _), (second, _) = domain.replica(), domain.replica()
    await admitted(first, 1000)
    await admitted(second, 20)

    assert second.used_weight() == 1020


async def test_two_domains_do_not_touch_each_other(domain: Domain) -> None:
    here, _ = domain.replica()
    domain.renew()
    there, _ = domain.replica()
    await admitted(here, 5400)
    await here.block(BlockReason.BAN, None)

    await admitted(there, 5400)
    assert there.view().block is None


async def test_a_block_holds_for_all_replicas_and_after_a_restart(domain: Domain, clock: ManualClock) -> None:
    (first, _), (second, _) = domain.replica(), domain.replica()
    await admitted(second, 20)
    await first.block(BlockReason.BAN, clock.now + 500)
    restarted, _ = domain.replica()

    assert await ask(second, 1) == ("ban", 500.0)
    assert await ask(restarted, 1) == ("ban", 500.0)
    block = restarted.view().block
    assert block is not None
    assert block.until == clock.now + 500


async def test_strikes_survive_a_restart(domain: Domain, clock: ManualClock) -> None:
    await domain.replica()[0].block(BlockReason.BAN, None)
    clock.now += 120
    await domain.replica()[0].block(BlockReason.BAN, None)

    assert await ask(domain.replica()[0], 1) == ("ban", 240.0)


async def test_a_good_answer_to_one_replica_ends_the_strikes_of_all(domain: Domain, clock: ManualClock) -> None:
    (first, _), (second, _) = domain.replica(), domain.replica()
    await first.block(BlockReason.BAN, None)
    clock.now += 120
    await second.reconcile(await admitted(second, 1), {}, ok=True)
    await first.block(BlockReason.BAN, None)

    assert await ask(first, 1) == ("ban", 120.0)


async def test_of_several_windows_in_the_way_the_last_to_end_is_told(domain: Domain) -> None:
    (first, _), (second, _) = domain.replica(), domain.replica()
    for ledger in (first, second):
        ledger.learn((Window(RateLimitKind.RAW_REQUESTS, 300, 2), Window(RateLimitKind.REQUEST_WEIGHT, 60, 25)))
    await admitted(first, 20)

    assert await ask(second, 20) == ("quota", 271.0)


# What Redis holds.


async def test_a_person_can_read_it(domain: Domain, connection: RedisConnection, clock: ManualClock) -> None:
    ledger, _ = domain.replica()
    await ledger.reconcile(await admitted(ledger, 20), headers(50), ok=True)
    await admitted(ledger, 20)
    await ledger.block(BlockReason.BACK_OFF, clock.now + 1.5)

    assert await domain.stored(f"REQUEST_WEIGHT:1m:{HOUR}") == {"used": "70", "pending": "20"}
    assert await domain.stored(f"RAW_REQUESTS:5m:{HOUR}") == {"used": "2", "pending": "1"}
    assert await domain.stored("block") == {
        "reason": "back-off",
        "until": f"{HOUR + 31}.500",
        "strikes": "0",
    }
    ahead = float(text(await connection.client.get(f"{domain.key}:clock") or ""))
    assert ahead == pytest.approx(clock.now - time.time(), abs=60)
    assert len(await connection.client.keys("*")) == 4


async def test_every_key_expires_after_its_use(domain: Domain, connection: RedisConnection) -> None:
    ledger, _ = domain.replica()
    await ledger.reconcile(await admitted(ledger, 20), {}, ok=True)
    await ledger.block(BlockReason.BAN, None)
    lives = {
        key: await connection.client.pttl(f"{domain.key}:{key}") / 1000
        for key in (f"REQUEST_WEIGHT:1m:{HOUR}", f"RAW_REQUESTS:5m:{HOUR}", "block", "clock")
    }

    assert lives == {
        f"REQUEST_WEIGHT:1m:{HOUR}": pytest.approx(60 + 120, abs=5),
        f"RAW_REQUESTS:5m:{HOUR}": pytest.approx(300 + 120, abs=5),
        "block": pytest.approx(120 + 86_400, abs=5),
        "clock": pytest.approx(4 * 86_400, abs=5),
    }


async def test_a_key_that_local_weight_was_added_to_expires_too(domain: Domain, connection: RedisConnection) -> None:
    ledger, switch = domain.replica()
    switch.away = True
    local = await admitted(ledger, 20)
    switch.away = False
    await ledger.reconcile(local, {}, ok=True)
    lives = await connection.client.pttl(f"{domain.key}:REQUEST_WEIGHT:1m:{HOUR}")

    assert lives / 1000 == pytest.approx(60 + 120, abs=5)


async def test_of_clients_it_holds_short_names_and_what_they_used(domain: Domain) -> None:
    (ledger, _), (other, _) = domain.replica(), domain.replica()
    for replica, client in ((ledger, "bot"), (other, "bot"), (other, "10.0.0.1")):
        assert isinstance(await ask(replica, 20, client=client), Reservation)
    bot, address = share_of("bot", 1.0), share_of(Address("10.0.0.1"), 1.0)
    assert bot is not None
    assert address is not None

    assert await domain.stored(f"REQUEST_WEIGHT:1m:{HOUR}") == {
        "used": "60",
        "pending": "60",
        "clients": "2",
        bot.field: "40",
        address.field: "20",
    }


def test_all_keys_of_a_domain_share_one_hash_tag() -> None:
    assert domain_key("binance-sidecar", "spot", "default") == "binance-sidecar:{spot:default}"


@pytest.fixture
def cluster() -> Iterator[Valkey]:
    """One node that has every slot."""
    port, bus = free_ports(2)
    node = Valkey("--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus))
    try:
        node.start()
        node.admin("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        node.wait_for_cluster()
        node.url = f"redis+cluster://127.0.0.1:{port}"
        yield node
    finally:
        node.remove()


@pytest.mark.no_cover
async def test_the_scripts_run_on_a_cluster(cluster: Valkey, clock: ManualClock, tally: Tally) -> None:
    connection = connect(cluster.url, prefix="t", deadline_seconds=10.0, observer=NullRedisObserver())
    switch = SwitchedConnection(connection)
    try:
        ledger = RedisLedger(
            switch, domain_key=domain_key("t", "spot", "d"), clock=clock, ratios=RATIOS, observer=tally
        )
        switch.away = True
        local = await admitted(ledger, 20)
        switch.away = False
        shared = await admitted(ledger, 20)
        for reservation in (local, shared):
            await ledger.reconcile(reservation, headers(40), ok=True)
        await ledger.block(BlockReason.BAN, None)

        assert not ledger.view().local
        assert ledger.used_weight() == 60
    finally:
        await connection.close()


# What needs no round trip.


async def test_one_round_trip_a_call(domain: Domain, clock: ManualClock) -> None:
    ledger, switch = domain.replica()
    first, second = await admitted(ledger, 20), await admitted(ledger, 20)
    await ledger.reconcile(first, headers(20), ok=True)
    await ledger.release(second)
    await ledger.block(BlockReason.BACK_OFF, None)

    assert switch.operations == [RESERVE, RESERVE, RECONCILE, RELEASE, BLOCK]


async def test_a_known_refusal_is_repeated_without_asking(domain: Domain, clock: ManualClock) -> None:
    ledger, switch = domain.replica()
    await admitted(ledger, 5395)
    assert await ask(ledger, 6) == ("quota", 31.0)
    switch.operations.clear()

    assert await ask(ledger, 6) == ("quota", 31.0)
    assert await ask(ledger, 20) == ("quota", 31.0)
    assert await ask(ledger, 1, purpose=Purpose.BACKGROUND) == ("quota", 31.0)
    assert switch.operations == []
    await admitted(ledger, 5)
    clock.now += 31
    await admitted(ledger, 20)
    assert switch.operations == [RESERVE, RESERVE]


async def test_the_refusal_of_a_client_is_repeated_without_asking_and_refuses_no_other(domain: Domain) -> None:
    ledger, switch = domain.replica()
    assert isinstance(await ask(ledger, 2700, client="greedy"), Reservation)
    assert await ask(ledger, 20, client="greedy") == ("client-share", 31.0)
    switch.operations.clear()

    assert await ask(ledger, 1, client="greedy") == ("client-share", 31.0)
    assert switch.operations == []
    assert isinstance(await ask(ledger, 20, client="modest"), Reservation)
    assert isinstance(await ask(ledger, 20), Reservation)
    assert switch.operations == [RESERVE, RESERVE]


async def test_an_address_alone_on_all_replicas_has_the_whole_budget(domain: Domain) -> None:
    replicas = [domain.replica()[0] for _ in range(3)]
    alone = Address("10.0.0.1")
    for number in range(27):
        await admitted(replicas[number % 3], 100, client=alone)
    await admitted(replicas[0], 2600)  # in the background: no client
    await admitted(replicas[1], 90, client=alone)

    assert await ask(replicas[0], 20, client=alone) == ("quota", 31.0)


async def test_an_address_is_held_to_its_share_by_a_client_of_another_replica(domain: Domain) -> None:
    (ledger, switch), (other, _) = domain.replica(), domain.replica()
    alone = Address("10.0.0.1")
    await admitted(ledger, 3000, client=alone)
    await admitted(other, 20, client=Address("10.0.0.2"))
    assert await ask(ledger, 20, client=alone) == ("client-share", 31.0)
    switch.operations.clear()

    assert await ask(ledger, 20, client=alone) == ("client-share", 31.0)
    assert switch.operations == []
    assert isinstance(await ask(ledger, 20, client=Address("10.0.0.3")), Reservation)


async def test_a_redis_that_forgot_is_told_that_an_address_is_not_alone(
    domain: Domain, connection: RedisConnection
) -> None:
    (ledger, _), (other, _) = domain.replica(), domain.replica()
    await admitted(ledger, 20, client="bot")
    await admitted(ledger, 1340, client=Address("10.0.0.1"))
    await connection.client.flushall()
    await admitted(other, 3000)

    assert await ask(ledger, 20, client=Address("10.0.0.1")) == ("client-share", 31.0)


async def test_what_a_client_spent_without_redis_still_counts_against_it(domain: Domain) -> None:
    (ledger, switch), (other, _) = domain.replica(), domain.replica()
    switch.away = True
    assert isinstance(await ask(ledger, 700, client="greedy"), Reservation)
    assert await ask(ledger, 100, client="greedy") == ("client-share", 31.0)
    assert isinstance(await ask(ledger, 100, client="modest"), Reservation)
    switch.away = False
    assert isinstance(await ask(ledger, 1300, client="greedy"), Reservation)

    await admitted(other, 1000)
    assert await ask(other, 1, client="greedy") == ("client-share", 31.0)
    assert isinstance(await ask(other, 1, client="modest"), Reservation)


async def test_what_a_client_used_is_told_again_to_a_redis_that_forgot(
    domain: Domain, connection: RedisConnection
) -> None:
    (ledger, _), (other, _) = domain.replica(), domain.replica()
    assert isinstance(await ask(ledger, 2000, client="greedy"), Reservation)
    for before in ([], [other]):
        await connection.client.flushall()
        for replica in (*before, ledger):
            assert isinstance(await ask(replica, 1, client="greedy"), Reservation)
    await admitted(other, 1000)

    assert await ask(domain.replica()[0], 1, client="greedy") == ("client-share", 31.0)


async def test_a_known_block_is_repeated_without_asking_until_it_ends(domain: Domain, clock: ManualClock) -> None:
    ledger, switch = domain.replica()
    await ledger.block(BlockReason.BAN, clock.now + 100)
    switch.operations.clear()

    assert await ask(ledger, 1) == ("ban", 100.0)
    assert switch.operations == []
    clock.now += 100
    await admitted(ledger, 1)


async def test_a_raised_limit_is_not_hidden_by_an_earlier_refusal(domain: Domain) -> None:
    ledger, _ = domain.replica()
    await admitted(ledger, 5400)
    assert await ask(ledger, 20) == ("quota", 31.0)
    ledger.learn((Window(RateLimitKind.REQUEST_WEIGHT, 60, 12_000),))

    await admitted(ledger, 20)


async def test_a_block_learned_while_redis_answers_stops_the_request(domain: Domain, tally: Tally) -> None:
    ledger, switch = domain.replica()
    switch.before_answer = lambda: ledger.block(BlockReason.BAN, None)

    assert await ask(ledger, 20) == ("ban", 120.0)
    assert await domain.used(HOUR) == (20, 0)
    assert tally.refusals == ["ban"]


async def test_counters_that_have_expired_are_not_kept_in_this_process(domain: Domain, clock: ManualClock) -> None:
    ledger, _ = domain.replica()
    await admitted(ledger, 20)
    clock.now += 1000
    await admitted(ledger, 20)

    assert ledger.local_view.usage(WindowKey("REQUEST_WEIGHT:1m", 60, HOUR)) == WindowUsage()
    assert all(key.start > HOUR for key in ledger._seen.floors)


# While Redis is away.


async def test_without_redis_a_smaller_share_is_spent(domain: Domain, tally: Tally) -> None:
    ledger, switch = domain.replica()
    switch.away = True
    outcomes = [await ask(ledger, 20) for _ in range(100)]

    assert sum(isinstance(outcome, Reservation) for outcome in outcomes) == LOCAL_BUDGET // 20
    assert outcomes[-1] == ("quota", 31.0)
    assert ledger.view().local
    assert ledger.view().windows[0].budget == LOCAL_BUDGET


async def test_without_redis_background_fills_keep_their_part(domain: Domain) -> None:
    ledger, switch = domain.replica()
    switch.away = True
    await admitted(ledger, 833)

    assert await ask(ledger, 1, purpose=Purpose.BACKGROUND) == ("quota", 31.0)


@pytest.mark.no_cover
@pytest.mark.parametrize("replicas", [1, 3, 4, 9, 100, 1000])
async def test_without_redis_all_replicas_together_stay_within_the_budget(domain: Domain, replicas: int) -> None:
    replica_count = ReplicaCount()
    replica_count.observe(replicas, 0.0)
    before = 1000
    ledger, switch = domain.replica(replica_count=replica_count)
    await admitted(ledger, before)
    switch.away = True
    granted = 0
    while isinstance(outcome := await ask(ledger, 1), Reservation):
        granted += 1
    assert outcome[0] == "quota"
    assert granted == min(LOCAL_BUDGET - before, (BUDGET - before) // replicas)
    assert (await ask(ledger, 1, purpose=Purpose.BACKGROUND)) == outcome


async def test_without_redis_what_was_spent_before_still_counts(domain: Domain) -> None:
    ledger, switch = domain.replica()
    await admitted(ledger, LOCAL_BUDGET - 20)
    switch.away = True
    await admitted(ledger, 20)

    assert await ask(ledger, 1) == ("quota", 31.0)


async def test_without_redis_the_headers_are_followed(domain: Domain, tally: Tally) -> None:
    ledger, switch = domain.replica()
    switch.away = True
    await ledger.reconcile(await admitted(ledger, 20), headers(LOCAL_BUDGET), ok=True)

    assert ledger.used_weight() == LOCAL_BUDGET
    assert tally.foreign == LOCAL_BUDGET - 20
    assert await ask(ledger, 1) == ("quota", 31.0)


async def test_without_redis_a_known_block_holds(domain: Domain, clock: ManualClock) -> None:
    (first, _), (second, switch) = domain.replica(), domain.replica()
    await first.block(BlockReason.BAN, clock.now + 500)
    assert await ask(second, 1) == ("ban", 500.0)
    switch.away = True
    clock.now += 499

    assert await ask(second, 1) == ("ban", 1.0)


async def test_when_redis_is_back_local_weight_is_added_once(domain: Domain) -> None:
    (ledger, switch), (other, _) = domain.replica(), domain.replica()
    await admitted(ledger, 100)
    switch.away = True
    for _ in range(5):
        await admitted(ledger, 20)
    await admitted(other, 1000)
    switch.away = False
    switch.operations.clear()
    await admitted(ledger, 20)
    await admitted(ledger, 20)

    assert await domain.used(HOUR) == (1240, 1240)
    assert await domain.used(HOUR, "RAW_REQUESTS:5m") == (9, 9)
    assert ledger.used_weight() == 1240
    assert not ledger.view().local
    assert switch.operations == [RECONCILE, RESERVE, RESERVE]


async def test_two_absences_are_added_once_each(domain: Domain) -> None:
    ledger, switch = domain.replica()
    for _ in range(2):
        switch.away = True
        await admitted(ledger, 20)
        switch.away = False
        await admitted(ledger, 20)

    assert await domain.used(HOUR) == (80, 80)


async def test_many_tasks_that_find_redis_back_add_local_weight_once(domain: Domain) -> None:
    ledger, switch = domain.replica()
    switch.away = True
    for _ in range(10):
        await admitted(ledger, 20)
    switch.away = False
    await asyncio.gather(*(admitted(ledger, 1) for _ in range(50)))

    assert await domain.used(HOUR) == (250, 250)


async def test_local_weight_whose_transfer_was_not_confirmed_is_added_once(domain: Domain) -> None:
    ledger, switch = domain.replica()
    switch.away = True
    local = await admitted(ledger, 20)
    switch.away, switch.loses_answers = False, True
    await ledger.reconcile(local, headers(20), ok=True)
    assert await domain.used(HOUR) == (20, 0)
    switch.loses_answers = False
    await ledger.release(await admitted(ledger, 1))

    assert await domain.used(HOUR) == (21, 0)


async def test_a_local_reservation_reconciled_in_redis_leaves_nothing_pending(domain: Domain, tally: Tally) -> None:
    (ledger, switch), (other, _) = domain.replica(), domain.replica()
    await admitted(other, 500)
    switch.away = True
    local = await admitted(ledger, 20)
    switch.away = False
    await ledger.reconcile(local, headers(1000), ok=True)

    # The other's request may be missing in the header.
    assert await domain.used(HOUR) == (1500, 500)
    assert ledger.used_weight() == 1500


async def test_a_local_reservation_released_after_the_return_leaves_nothing_pending(domain: Domain) -> None:
    ledger, switch = domain.replica()
    switch.away = True
    local = await admitted(ledger, 20)
    switch.away = False
    await admitted(ledger, 20)
    assert await domain.used(HOUR) == (40, 40)
    await ledger.release(local)
    await admitted(ledger, 20)

    assert await domain.used(HOUR) == (60, 40)


@pytest.mark.parametrize(("end", "used"), [("answered", 60), ("released", 40)])
async def test_a_shared_reservation_that_ends_without_redis_stays_pending_there(
    domain: Domain, end: str, used: int
) -> None:
    ledger, switch = domain.replica()
    shared = await admitted(ledger, 20)
    switch.away = True
    if end == "answered":
        await ledger.reconcile(shared, headers(20), ok=True)
    else:
        await ledger.release(shared)
    assert ledger.view().windows[0].pending == 0
    switch.away = False
    await admitted(ledger, 20)

    # Answered: the header may not hold what is pending, so that the first request counts twice.
    assert await domain.used(HOUR) == (used, 40)


async def test_what_the_origin_told_meanwhile_is_known_to_all_afterwards(domain: Domain) -> None:
    (ledger, switch), (other, _) = domain.replica(), domain.replica()
    await admitted(other, 500)
    switch.away = True
    await ledger.reconcile(await admitted(ledger, 20), headers(4000), ok=True)
    switch.away = False
    await admitted(ledger, 20)

    assert await domain.used(HOUR) == (4520, 520)


async def test_a_block_learned_meanwhile_is_published(domain: Domain, clock: ManualClock) -> None:
    (ledger, switch), (other, _) = domain.replica(), domain.replica()
    switch.away = True
    await ledger.block(BlockReason.BAN, clock.now + 500)
    assert await ask(ledger, 1) == ("ban", 500.0)
    await admitted(other, 1)
    switch.away = False
    assert await ask(ledger, 1) == ("ban", 500.0)

    assert await ask(other, 1) == ("ban", 500.0)
    switch.operations.clear()
    assert await ask(ledger, 1) == ("ban", 500.0)
    assert switch.operations == []


async def test_a_good_answer_ends_the_strikes_that_this_process_knows(domain: Domain, clock: ManualClock) -> None:
    ledger, switch = domain.replica()
    await ledger.block(BlockReason.BAN, None)
    clock.now += 120
    await ledger.reconcile(await admitted(ledger, 1), {}, ok=True)
    switch.away = True
    await ledger.block(BlockReason.BAN, None)

    assert await ask(ledger, 1) == ("ban", 120.0)


async def test_a_block_that_ended_meanwhile_is_not_published(domain: Domain, clock: ManualClock) -> None:
    ledger, switch = domain.replica()
    switch.away = True
    await ledger.block(BlockReason.BAN, clock.now + 5)
    clock.now += 10
    switch.away = False
    await admitted(ledger, 1)

    assert await domain.stored("block") == {}


async def test_what_was_counted_in_past_windows_is_not_carried(domain: Domain, clock: ManualClock) -> None:
    ledger, switch = domain.replica()
    switch.away = True
    local = await admitted(ledger, 20)
    clock.now += 1000
    switch.away = False
    await ledger.reconcile(local, {}, ok=False)
    await admitted(ledger, 20)

    assert await domain.used(HOUR) == (0, 0)
    assert RECONCILE in switch.operations
    assert switch.operations.count(RECONCILE) == 1


async def test_a_redis_that_forgot_is_reminded(domain: Domain, connection: RedisConnection) -> None:
    ledger, switch = domain.replica()
    await admitted(ledger, 3000)
    await connection.client.flushall()
    await admitted(ledger, 20)
    assert await domain.used(HOUR) == (3020, 20)
    switch.away = True
    await ledger.block(BlockReason.BACK_OFF, HOUR + 31.0)
    await connection.client.flushall()
    switch.away = False
    assert await ask(ledger, 20) == ("back-off", 1.0)

    assert (await domain.stored("block"))["reason"] == "back-off"


async def test_what_it_forgot_while_away_is_not_lost(domain: Domain, connection: RedisConnection) -> None:
    ledger, switch = domain.replica()
    await admitted(ledger, 1000)
    switch.away = True
    await admitted(ledger, 20)
    await connection.client.flushall()
    switch.away = False
    await admitted(ledger, 20)

    assert await domain.used(HOUR) == (1040, 40)


async def test_a_block_that_it_forgot_holds_and_is_told_again(
    domain: Domain, connection: RedisConnection, clock: ManualClock
) -> None:
    ledger, _ = domain.replica()
    await ledger.block(BlockReason.BAN, clock.now + 1000)
    await connection.client.flushall()
    await ledger.block(BlockReason.BACK_OFF, clock.now + 10)
    assert await ask(ledger, 1) == ("ban", 1000.0)

    assert await ask(domain.replica()[0], 1) == ("ban", 1000.0)


async def test_what_is_not_yet_transferred_is_not_overwritten(domain: Domain) -> None:
    (ledger, switch), (other, _) = domain.replica(), domain.replica()
    shared = await admitted(ledger, 100)
    switch.away = True
    await admitted(ledger, 20)
    switch.away = False
    await admitted(other, 500)
    await ledger.release(shared)
    weight = ledger.view().windows[0]

    assert (weight.used, weight.pending) == (620, 520)


async def test_a_transfer_that_was_overtaken_changes_nothing(domain: Domain, clock: ManualClock) -> None:
    _, switch = domain.replica()
    scripts = Scripts(switch, domain.key)
    window_key = WindowKey("REQUEST_WEIGHT:1m", 60, HOUR)
    for state, total in ((2, Total(40, 20)), (1, Total(20, 20)), (2, Total(40, 20))):
        counters = await scripts.merge_unsynced("p", state, {window_key: total}, floors={})
        assert counters == {window_key: WindowUsage(40, 20)}


async def test_an_absence_long_ago_costs_no_round_trips_now(domain: Domain, clock: ManualClock) -> None:
    ledger, switch = domain.replica()
    for _ in range(2):
        switch.away = True
        await admitted(ledger, 20)
        switch.away = False
        await admitted(ledger, 20)
        clock.now += 1000
    switch.operations.clear()
    await admitted(ledger, 20)

    assert switch.operations == [RESERVE]


async def test_an_absence_after_another_is_transferred_once(domain: Domain, clock: ManualClock) -> None:
    ledger, switch = domain.replica()
    for _ in range(2):
        clock.now += 1000
        switch.away = True
        await admitted(ledger, 20)
        switch.away = False
        await admitted(ledger, 20)
    switch.operations.clear()
    await admitted(ledger, 20)

    assert switch.operations == [RESERVE]


async def test_a_header_reminds_it_too(domain: Domain, connection: RedisConnection, tally: Tally) -> None:
    ledger, _ = domain.replica()
    reservation = await admitted(ledger, 3000)
    await connection.client.flushall()
    await ledger.reconcile(reservation, headers(3000), ok=True)

    assert await domain.used(HOUR) == (3000, 0)
    assert tally.foreign == 0


absences = st.lists(
    st.tuples(
        st.sampled_from(["here", "away", "lost"]),
        st.sampled_from(["send", "answer", "release"]),
        st.integers(0, 2),
        st.integers(1, 40),
    ),
    min_size=5,
    max_size=40,
)


@pytest.mark.no_cover
@given(absences)
@settings(max_examples=sized(quick=15, usual=25, long=150), suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_however_redis_comes_and_goes_nothing_sent_is_forgotten(
    domain: Domain, plan: list[tuple[str, str, int, int]]
) -> None:
    domain.renew()
    replicas = [domain.replica(Tally()) for _ in range(3)]
    sent, under_way, lost = 0, 0, False
    open_: list[tuple[RedisLedger, Reservation, int]] = []
    for state, act, which, weight in plan:
        ledger, switch = replicas[which]
        switch.away, switch.loses_answers = state == "away", state == "lost"
        lost = lost or state == "lost"
        if act == "send":
            sent, under_way = sent + weight, under_way + weight
            open_.append((ledger, await admitted(ledger, weight), weight))
        elif open_:
            owner, reservation, own = open_.pop(which % len(open_))
            under_way -= own
            if act == "answer":
                # The worst case: the origin has counted nothing of what is under way.
                await owner.reconcile(reservation, headers(max(0, sent - under_way)), ok=True)
            else:
                await owner.release(reservation)
    for ledger, switch in replicas:
        switch.away = switch.loses_answers = False
        await ledger.release(await admitted(ledger, 1))
    used, pending = await domain.used(HOUR)

    assert used >= sent + 3
    assert pending >= under_way
    # Nothing is doubled: with every answer of Redis received, and none of the origin's, it is exact.
    if not lost and all(act != "answer" for _, act, _, _ in plan):
        assert used == sent + 3


# A Redis that really goes.


@pytest.fixture
def server() -> Iterator[Valkey]:
    server = Valkey().start()
    yield server
    server.remove()


@pytest.mark.parametrize("goes", [Valkey.freeze, Valkey.kill])
async def test_a_redis_that_hangs_or_dies_is_left_and_joined_again(
    server: Valkey, clock: ManualClock, goes: Callable[[Valkey], None]
) -> None:
    monotonic = ManualClock()
    connection = connect(
        server.url, prefix="t", deadline_seconds=0.2, observer=NullRedisObserver(), monotonic=monotonic
    )
    ledger = RedisLedger(connection, domain_key="t:{d}", clock=clock, ratios=RATIOS)
    try:
        shared = await admitted(ledger, 100)
        goes(server)
        for _ in range(5):
            await admitted(ledger, 20)
        assert ledger.view().local
        await ledger.reconcile(shared, headers(100), ok=True)
        assert ledger.used_weight() >= 200
        server.thaw() if goes is Valkey.freeze else server.start()
        monotonic.now += 60
        await admitted(ledger, 20)

        assert not ledger.view().local
        # A thawed server may carry out what nobody waits for any more: more is counted, never less.
        told = server.admin("HGET", f"t:{{d}}:REQUEST_WEIGHT:1m:{HOUR}", "used")
        assert isinstance(told, bytes)
        assert int(told) >= 220
    finally:
        await connection.close()
