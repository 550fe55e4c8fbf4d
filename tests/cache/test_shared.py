"""The store and the fill lock on a real server."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from redis import exceptions as redis_errors

from proxy.cache.fill_lock import LOCK_SECONDS, PollSchedule
from proxy.cache.shared import RedisStore
from proxy.core.cache.fill_wait import LockState, WaitEnd
from proxy.core.messages import Entry, Lifetimes
from proxy.errors import RedisAway
from proxy.redis_client.connection import RedisConnection
from tests.cache.entries import entries, entry
from tests.ports import free_ports
from tests.redis_client.fixtures import Opener, StartValkey
from tests.sizes import sized

KEY = "spot:exchangeInfo:symbols=BNBBTC,BTCUSDT"
IN_REDIS = f"test:{KEY}"
LOCK = f"test:lock:{KEY}"


@pytest.fixture
def store(connection: RedisConnection) -> RedisStore:
    return RedisStore(connection)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=sized(quick=15, usual=25, long=50))
@given(entries())
async def test_what_is_put_is_what_others_get(store: RedisStore, one: Entry) -> None:
    await store.put(KEY, one)

    assert await store.get(KEY) == one
    assert await store.peek(KEY) == one.stored_at


async def test_where_nothing_was_put_there_is_nothing(store: RedisStore) -> None:
    assert await store.get(KEY) is None
    assert await store.peek(KEY) is None


async def test_a_full_document_goes_to_redis_and_back(store: RedisStore) -> None:
    one = entry(b'{"symbols":[' + b'{"symbol":"BTCUSDT","filters":[]},' * 500_000 + b"]}")

    await store.put(KEY, one)

    assert await store.get(KEY) == one


async def test_an_entry_expires_in_redis_at_its_horizon(store: RedisStore, connection: RedisConnection) -> None:
    await store.put(KEY, entry(fresh_seconds=60))

    remaining = await connection.client.pttl(IN_REDIS)

    assert 86_460_000 - 60_000 < remaining <= 86_460_000


async def test_an_entry_without_a_future_is_not_put(store: RedisStore, connection: RedisConnection) -> None:
    await store.put(KEY, entry())

    await store.put(KEY, replace(entry(), lifetimes=Lifetimes(fresh_seconds=0.0)))

    assert await store.get(KEY) == entry()


async def test_nothing_of_what_was_there_survives_a_put(store: RedisStore, connection: RedisConnection) -> None:
    await connection.client.hset(IN_REDIS, mapping={"v": "0", "colour": "blue"})

    await store.put(KEY, entry())

    assert await connection.client.hget(IN_REDIS, "colour") is None
    assert await store.get(KEY) == entry()


async def test_a_hash_that_is_not_ours_is_a_miss(store: RedisStore, connection: RedisConnection) -> None:
    await connection.client.hset(IN_REDIS, mapping={"v": "2", "stored_at": "5"})

    assert await store.get(KEY) is None
    assert await store.peek(KEY) is None


async def test_a_key_of_another_type_is_a_miss_and_is_replaced(store: RedisStore, connection: RedisConnection) -> None:
    await connection.client.set(IN_REDIS, "a string")

    assert await store.get(KEY) is None
    assert await store.peek(KEY) is None
    await store.put(KEY, entry())
    assert await store.get(KEY) == entry()


async def test_on_a_full_server_a_put_fails_and_what_is_there_stays(start_valkey: StartValkey, opened: Opener) -> None:
    server = start_valkey("--maxmemory-policy", "noeviction")
    store = RedisStore(opened(server.url))
    await store.put(KEY, entry())
    lock = await store.acquire("other")
    assert lock is not None
    server.admin("CONFIG", "SET", "maxmemory", "1mb")

    with pytest.raises(RedisAway) as caught:
        await store.put(KEY, entry(stored_at=1_700_000_060.0))

    assert isinstance(caught.value.__cause__, redis_errors.OutOfMemoryError)
    assert await store.get(KEY) == entry()
    with pytest.raises(RedisAway):
        await store.acquire(KEY)
    await lock.release(filled=False)
    assert (await store.lock_status("other")).state is LockState.FREE


async def test_a_read_only_server_still_answers(start_valkey: StartValkey, opened: Opener) -> None:
    store = RedisStore(opened(start_valkey("--replicaof", "127.0.0.1 1").url))

    for _ in range(4):
        with pytest.raises(RedisAway):
            await store.put(KEY, entry())

    assert await store.get(KEY) is None


@pytest.mark.no_cover
async def test_on_a_cluster_entries_and_locks_work_as_on_one_server(start_valkey: StartValkey, opened: Opener) -> None:
    port, bus = free_ports(2)
    server = start_valkey("--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus))
    server.admin("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    server.wait_for_cluster()
    store = RedisStore(opened(f"redis+cluster://127.0.0.1:{port}"))

    lock = await store.acquire(KEY)
    assert lock is not None
    await store.put(KEY, entry())

    assert await store.get(KEY) == entry()
    assert await lock.renew()
    await lock.release(filled=True)
    assert (await store.lock_status(KEY)).state is LockState.FREE


async def test_without_redis_every_method_says_so(opened: Opener) -> None:
    store = RedisStore(opened("redis://127.0.0.1:1"))

    for call in (store.get(KEY), store.put(KEY, entry()), store.acquire(KEY), store.peek(KEY)):
        with pytest.raises(RedisAway):
            await call
    assert await store.wait_for_fill(KEY, newer_than=0.0, timeout_seconds=9.0) is WaitEnd.REDIS_AWAY


async def test_one_replica_gets_the_lock_and_the_others_do_not(
    redis_url: str, opened: Opener, connection: RedisConnection
) -> None:
    replicas = [RedisStore(opened(redis_url)) for _ in range(5)]

    locks = await asyncio.gather(*(replica.acquire(KEY, ttl_seconds=2.5) for replica in replicas))

    assert sum(lock is not None for lock in locks) == 1
    assert (await replicas[0].lock_status(KEY)).state is LockState.HELD
    assert 0 < await connection.client.pttl(LOCK) <= 2500


async def test_a_released_lock_is_free_at_once(store: RedisStore) -> None:
    lock = await store.acquire(KEY)
    assert lock is not None

    await lock.release(filled=True)

    assert (await store.lock_status(KEY)).state is LockState.FREE
    assert await store.acquire(KEY) is not None


async def test_after_a_failed_fill_nobody_gets_the_lock_for_a_second(
    store: RedisStore, connection: RedisConnection
) -> None:
    lock = await store.acquire(KEY)
    assert lock is not None

    await lock.release(filled=False)

    assert (await store.lock_status(KEY)).state is LockState.FAILED
    assert await store.acquire(KEY) is None
    assert 0 < await connection.client.pttl(LOCK) <= 1000


async def test_a_lock_is_renewed_by_its_full_lifetime(store: RedisStore, connection: RedisConnection) -> None:
    lock = await store.acquire(KEY, ttl_seconds=60.0)
    assert lock is not None
    await connection.client.pexpire(LOCK, 1000)

    assert await lock.renew()

    assert 1000 < await connection.client.pttl(LOCK) <= 60_000


async def test_when_a_holder_dies_another_takes_over_and_the_first_cannot_disturb_it(
    store: RedisStore, connection: RedisConnection
) -> None:
    first = await store.acquire(KEY, ttl_seconds=0.001)
    assert first is not None
    while await connection.client.exists(LOCK):
        continue

    second = await store.acquire(KEY)

    assert second is not None
    assert not await first.renew()
    await first.release(filled=True)
    await first.release(filled=False)
    assert (await store.lock_status(KEY)).state is LockState.HELD
    assert await second.renew()


async def test_a_lost_lock_can_neither_be_renewed_nor_released(store: RedisStore, connection: RedisConnection) -> None:
    lock = await store.acquire(KEY)
    assert lock is not None
    await connection.client.delete(LOCK)

    assert not await lock.renew()
    await lock.release(filled=False)

    assert (await store.lock_status(KEY)).state is LockState.FREE


async def test_locks_of_different_keys_are_different(store: RedisStore) -> None:
    assert await store.acquire("one") is not None
    assert await store.acquire("two") is not None


async def test_lua_is_loaded_again_after_the_server_forgot_it(store: RedisStore, connection: RedisConnection) -> None:
    lock = await store.acquire(KEY)
    assert lock is not None
    assert await lock.renew()
    await connection.client.script_flush()

    assert await lock.renew()
    await connection.client.script_flush()
    await lock.release(filled=True)

    assert (await store.lock_status(KEY)).state is LockState.FREE


class Turns:
    """A pace by which something happens while the waiter sleeps for the n-th time."""

    def __init__(self, *happenings: object) -> None:
        self.happenings = list(happenings)
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.happenings:
            happening = self.happenings.pop(0)
            if asyncio.iscoroutine(happening):
                await happening

    def schedule(self) -> PollSchedule:
        return PollSchedule(sleep=self.sleep, monotonic=lambda: self.now, chance=lambda: 1.0)


@pytest.mark.parametrize("end", [end for end in WaitEnd if end is not WaitEnd.REDIS_AWAY])
async def test_a_waiter_learns_how_the_holder_ended(connection: RedisConnection, end: WaitEnd) -> None:
    holder = RedisStore(connection)
    await holder.put(KEY, entry(stored_at=100.0))
    lock = await holder.acquire(KEY)
    assert lock is not None
    turns = Turns(None)
    waiter = RedisStore(connection, schedule=turns.schedule())
    match end:
        case WaitEnd.FILLED:
            turns.happenings.append(holder.put(KEY, entry(stored_at=101.0)))
        case WaitEnd.FAILED:
            turns.happenings.append(lock.release(filled=False))
        case WaitEnd.RELEASED:
            turns.happenings.append(lock.release(filled=True))
        case WaitEnd.EXPIRED:
            turns.happenings.append(dies(connection, turns))
        case _:
            pass

    timeout_seconds = 2 * LOCK_SECONDS
    assert await waiter.wait_for_fill(KEY, newer_than=100.0, timeout_seconds=timeout_seconds) is end
    assert (turns.now >= timeout_seconds) is (end is WaitEnd.DEADLINE)


async def dies(connection: RedisConnection, turns: Turns) -> None:
    """A holder that died: its lock lives out its time."""
    turns.now += LOCK_SECONDS
    await connection.client.delete(LOCK)
