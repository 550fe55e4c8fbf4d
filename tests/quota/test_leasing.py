"""Leases on a real Valkey, in real time: requests without a round trip, and what stops them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from proxy.background import background
from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.demand import demand_of
from proxy.core.quota.ratios import Purpose
from proxy.core.quota.view import LeaseState
from proxy.errors import SendingRefused
from proxy.quota import sync_script
from proxy.quota.scripts import domain_key
from proxy.quota.shared import RedisLedger
from proxy.redis_client.connection import RedisOperation, connect
from tests.events import capture_logs
from tests.quota.doubles import HOUR, RATIOS, ManualClock, headers, settled_now
from tests.redis_client.valkey import Valkey

pytestmark = pytest.mark.realtime

DOMAIN = domain_key("test", "spot", "leases")
PROOF_SECONDS = 0.3


class Counted:
    """Counts the operations."""

    def __init__(self) -> None:
        self.operations: Counter[RedisOperation] = Counter()

    def operation(self, operation: RedisOperation, *, seconds: float, ok: bool) -> None:
        self.operations[operation] += 1


@dataclass(frozen=True)
class Replica:
    ledger: RedisLedger
    counted: Counted

    def now(
        self, weight: int = 1, *, purpose: Purpose = Purpose.PUBLIC, refundable: bool = False
    ) -> Reservation | None:
        return self.ledger.reserve_now(demand_of(weight, purpose, refundable, "bot"))

    async def leased(self) -> Reservation:
        """Ask until a request needs no round trip."""
        async with asyncio.timeout(10):
            while True:
                reservation = self.now()
                if reservation is not None:
                    return reservation
                asked = await self.ledger.reserve(1, client="bot")
                if not settled_now(self.ledger, asked, {}):  # Redis was away
                    await self.ledger.reconcile(asked, {}, ok=True)
                await asyncio.sleep(0.02)

    async def until(self, holds: Callable[[], bool]) -> float:
        """Wait until something holds. Returns how long that took."""
        started = time.monotonic()
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.002)
        return time.monotonic() - started


@pytest.fixture
def valkey(monkeypatch: pytest.MonkeyPatch) -> Valkey:
    monkeypatch.setattr(sync_script, "GRACE_SECONDS", 0.0)
    return Valkey()


@asynccontextmanager
async def fleet(valkey: Valkey, count: int, *options: str, user: str = "") -> AsyncIterator[list[Replica]]:
    valkey.start(*options)
    try:
        async with AsyncExitStack() as stack:
            replicas = []
            for _ in range(count):
                counted = Counted()
                connection = connect(valkey.url + user, prefix="test", deadline_seconds=0.25, observer=counted)
                stack.push_async_callback(connection.close)
                clock = ManualClock(HOUR + 10.0)
                ledger = RedisLedger(connection, domain_key=DOMAIN, clock=clock, ratios=RATIOS, leases=True)
                background(ledger.run_leases(), stack)
                replicas.append(Replica(ledger, counted))
            yield replicas
    finally:
        valkey.remove()


async def test_a_request_needs_no_round_trip_and_used_is_what_was_spent(valkey: Valkey) -> None:
    async with fleet(valkey, 1) as (replica,):
        await replica.leased()
        await replica.until(lambda: replica.ledger.view().windows[0].leased >= 5)
        before = replica.ledger.view().windows[0]
        for _ in range(5):
            reservation = replica.now()
            assert reservation is not None
            assert reservation.covers(HOUR + 10.0)
            assert settled_now(replica.ledger, reservation, headers(before.used))
        after = replica.ledger.view().windows[0]
        assert (after.used, after.used + after.leased) == (before.used + 5, before.used + before.leased)
        assert replica.ledger.used_weight() == after.used
        assert replica.ledger.view().leases is LeaseState.ON
        raw = replica.ledger.view().windows[1]
        assert (raw.used, raw.leased) == (after.used, 0)


async def test_the_version_of_the_usage_grows_with_what_is_spent_and_with_nothing_else(valkey: Valkey) -> None:
    async with fleet(valkey, 1) as (replica,):
        await replica.leased()
        await replica.until(lambda: replica.ledger.view().windows[0].leased >= 5)
        version = replica.ledger.local_view.version
        reservation = replica.now(refundable=True)
        assert reservation is not None
        assert replica.ledger.local_view.version > version
        used, version = replica.ledger.used_weight(), replica.ledger.local_view.version
        assert settled_now(replica.ledger, reservation, {})
        assert replica.ledger.used_weight() < used
        assert replica.ledger.local_view.version > version

        calls = replica.counted.operations.total()
        await replica.until(lambda: replica.counted.operations.total() > calls + 5)
        told, calls = replica.ledger.local_view.version, replica.counted.operations.total()
        await replica.until(lambda: replica.counted.operations.total() > calls + 5)
        assert replica.ledger.local_view.version == told


async def test_a_new_redis_grants_no_lease_and_refuses_nothing(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_script, "GRACE_SECONDS", 60.0)
    async with fleet(valkey, 2) as replicas:
        for number in range(40):
            replica = replicas[number % 2]
            assert replica.now() is None
            reservation = await replica.ledger.reserve(1, client="bot")
            assert not reservation.leased
            assert not reservation.local
            assert settled_now(replica.ledger, reservation, {})
        await replicas[0].until(lambda: replicas[0].ledger.view().leases is LeaseState.ON)
        window = replicas[1].ledger.view().windows[0]
        assert (window.used, window.leased) == (40, 0)


async def test_a_replica_that_ends_gives_back(valkey: Valkey) -> None:
    async with fleet(valkey, 1) as (other,):
        async with AsyncExitStack() as stack:
            connection = connect(valkey.url, prefix="test", deadline_seconds=0.25, observer=Counted())
            stack.push_async_callback(connection.close)
            clock = ManualClock(HOUR + 10.0)
            ledger = RedisLedger(connection, domain_key=DOMAIN, clock=clock, ratios=RATIOS, leases=True)
            background(ledger.run_leases(), stack)
            replica = Replica(ledger, Counted())
            await replica.leased()
            await replica.until(lambda: ledger.view().windows[0].leased > 0)
            used = ledger.view().windows[0].used
        reserved = await other.ledger.reserve(1, client="bot")
        window = other.ledger.view().windows[0]
        assert (window.used, window.leased) == (used + 1, 0)
        await other.ledger.release(reserved)


async def test_a_block_stops_every_replica_within_its_proof(valkey: Valkey) -> None:
    async with fleet(valkey, 3) as replicas:
        reserved = [await replica.leased() for replica in replicas]
        stored_at = time.monotonic()
        await replicas[0].ledger.block(BlockReason.BAN, None)
        for replica, reservation in zip(replicas[1:], reserved[1:], strict=True):
            await replica.until(lambda one=replica: one.ledger.held_block() is not None)  # type: ignore[misc]
            with pytest.raises(SendingRefused):
                replica.now()
            assert reservation.leased
        assert time.monotonic() - stored_at < PROOF_SECONDS


async def test_nothing_is_sent_from_leases_when_the_server_stands_still(valkey: Valkey) -> None:
    async with fleet(valkey, 1) as (replica,):
        reservation = await replica.leased()
        valkey.freeze()
        try:
            seconds = await replica.until(lambda: not reservation.covers(HOUR + 10.0))
            assert seconds < PROOF_SECONDS + 0.05
            assert replica.now() is None
            assert replica.ledger.view().leases is LeaseState.NO_PUSH
        finally:
            valkey.thaw()
        await replica.leased()


@pytest.mark.parametrize("right", ["subscribe", "publish"])
async def test_without_the_right_to_subscribe_or_publish_each_request_is_reserved_by_itself(
    valkey: Valkey, right: str
) -> None:
    with capture_logs() as logs:
        async with fleet(valkey, 1) as (replica,):
            valkey.admin("ACL", "SETUSER", "default", f"-{right}")
            for _ in range(20):
                assert replica.now() is None
                reservation = await replica.ledger.reserve(1, client="bot")
                assert settled_now(replica.ledger, reservation, {})
                await asyncio.sleep(0.02)
            assert replica.ledger.view().leases is LeaseState.REFUSED
            assert replica.ledger.view().windows[0].leased == 0
            assert replica.ledger.view().windows[0].used == 20
    assert sum(line["event"] == "push_channel_refused" for line in logs) == (right == "subscribe")


async def test_lost_data_ends_all_leases(valkey: Valkey) -> None:
    async with fleet(valkey, 2) as replicas:
        for replica in replicas:
            await replica.leased()
        used = max(replica.ledger.view().windows[0].used for replica in replicas)
        valkey.admin("FLUSHALL")
        for replica in replicas:
            await replica.until(lambda one=replica: one.ledger.view().windows[0].used > used + 500)  # type: ignore[misc]
            assert replica.now() is None
        reserved = await replicas[0].ledger.reserve(1, client="bot")
        window = replicas[0].ledger.view().windows[0]
        assert window.leased == 0
        assert window.used > used + (5400 - used) // 8
        await replicas[0].ledger.release(reserved)


async def test_a_subscription_that_is_gone_is_made_again(valkey: Valkey) -> None:
    async with fleet(valkey, 1) as (replica,):
        reservation = await replica.leased()
        valkey.admin("CLIENT", "KILL", "TYPE", "pubsub")
        valkey.admin("CLIENT", "PAUSE", "400", "ALL")
        await replica.until(lambda: not reservation.covers(HOUR + 10.0))
        await replica.leased()


async def test_redis_is_asked_seldom(valkey: Valkey) -> None:
    async with fleet(valkey, 1) as (replica,):
        await replica.leased()
        replica.counted.operations.clear()
        waited = 0
        for _ in range(200):
            reservation = replica.now()
            if reservation is None:
                waited += 1
                reservation = await replica.ledger.reserve(1, client="bot")
            assert settled_now(replica.ledger, reservation, {})
            await asyncio.sleep(0.001)
        assert waited <= 20
        assert replica.counted.operations[RedisOperation.RESERVE] == waited
        assert replica.counted.operations[RedisOperation.RECONCILE] == 0
