"""The heartbeat: what it says of Redis, and how a clock that knows nothing learns the origin's time from it."""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy.cache.probe import EntryProbe
from proxy.core.quota.replicas import ReplicaCount
from proxy.errors import RedisAway
from proxy.quota.heartbeat import PING_SECONDS, RETRY_SECONDS, SILENCE_SECONDS, Heartbeat, Try
from proxy.redis_client.connection import RedisConnection, RedisOperation
from tests.events import capture_logs
from tests.quota.doubles import ManualClock
from tests.redis_client.fixtures import Opener, StartValkey, ping

DOMAIN = "test:{spot:default}"
KEY = f"{DOMAIN}:clock"


class Clock(ManualClock):
    """Learns once."""

    def __init__(self) -> None:
        super().__init__(now=5.0)
        self.learned: list[float] = []

    def is_synchronized(self) -> bool:
        return bool(self.learned)

    def observe_shared(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        assert sent_at == received_at == 5.0
        self.learned.append(origin_time)


class Counted:
    """Remembers the operations."""

    def __init__(self) -> None:
        self.operations: list[RedisOperation] = []

    def operation(self, operation: RedisOperation, *, seconds: float, ok: bool) -> None:
        assert seconds >= 0
        assert ok
        self.operations.append(operation)


def beating(
    connection: RedisConnection,
    clock: Clock | None = None,
    replica_count: ReplicaCount | None = None,
    write_entry: Try | None = None,
) -> Heartbeat:
    count = replica_count or ReplicaCount()
    return Heartbeat(connection, clock or Clock(), count, domain_key=DOMAIN, write_entry=write_entry)


async def test_the_origins_time_is_learned_from_redis_and_only_once(connection: RedisConnection) -> None:
    clock = Clock()
    heartbeat = beating(connection, clock)
    assert await heartbeat.ping()
    assert clock.learned == [], "nobody knows it yet"

    await connection.client.set(KEY, "-3600.25")
    assert await heartbeat.ping()
    assert await heartbeat.ping()

    assert clock.learned == [pytest.approx(time.time() - 3600.25, abs=5.0)]


async def test_a_number_that_is_none_is_not_learned(connection: RedisConnection) -> None:
    clock = Clock()
    await connection.client.set(KEY, "soon")
    assert await beating(connection, clock).ping()
    assert clock.learned == []


async def test_each_replica_counts_all_that_live(start_valkey: StartValkey, opened: Opener) -> None:
    server, counts = start_valkey(), [ReplicaCount() for _ in range(3)]
    hearts = [beating(opened(server.url), replica_count=replica_count) for replica_count in counts]
    for heart in [*hearts, *hearts]:
        assert await heart.ping()
    assert [replica_count.replicas for replica_count in counts] == [3, 3, 3]
    server.kill()
    assert not await hearts[0].ping()
    assert counts[0].replicas == 3, "still, and for as long as Redis is away"


async def test_a_replica_that_is_silent_for_long_is_gone(connection: RedisConnection) -> None:
    now, replica_count = 0.0, ReplicaCount()
    heart = Heartbeat(connection, Clock(), replica_count, domain_key=DOMAIN, monotonic=lambda: now)
    seconds, _ = await connection.client.time()
    ago = (int(seconds) - SILENCE_SECONDS) * 1000
    await connection.client.zadd(f"{DOMAIN}:replicas", {"gone": ago - 2000, "quiet": ago + 10_000})
    assert await heart.ping()
    assert replica_count.replicas == 2
    assert 0 < await connection.client.pttl(f"{DOMAIN}:replicas") <= SILENCE_SECONDS * 1000


async def test_redis_going_and_coming_is_one_line_each(start_valkey: StartValkey, opened: Opener) -> None:
    server = start_valkey()
    heartbeat = beating(opened(server.url, deadline_seconds=0.1))
    with capture_logs() as logs:
        assert await heartbeat.ping()
        server.freeze()
        assert [await heartbeat.ping() for _ in range(6)] == [False] * 6
        server.thaw()
        async with asyncio.timeout(20):
            while not await heartbeat.ping():  # noqa: ASYNC110 - seen from outside there is no event
                await asyncio.sleep(0.05)
    assert [line["event"] for line in logs] == ["redis_away", "redis_back"]
    assert logs[0]["error"].startswith("TimeoutError")


async def test_a_line_tells_the_cause_also_while_nothing_is_tried_and_again_when_it_changes(
    start_valkey: StartValkey, opened: Opener
) -> None:
    server = start_valkey("--requirepass", "right")
    now = 0.0
    connection = opened(f"{server.url}?password=wrong", monotonic=lambda: now)
    heartbeat = beating(connection)
    with capture_logs() as logs:
        assert [await heartbeat.ping() for _ in range(5)] == [False] * 5, "the last ones are not tried"
        with pytest.raises(
            RedisAway, match="not tried, because Redis did not answer recently: ConnectionError: invalid"
        ):
            await ping(connection)
        server.kill()
        now = 1.0
        assert [await heartbeat.ping() for _ in range(3)] == [False] * 3
    assert [line["event"] for line in logs] == ["redis_away", "redis_away"]
    assert logs[0]["error"].startswith("ConnectionError: invalid username-password pair")
    assert "connecting to" in logs[1]["error"]


async def test_what_redis_refuses_is_told_once_and_again_when_the_cause_changes(
    start_valkey: StartValkey, opened: Opener
) -> None:
    server = start_valkey()
    connection = opened(server.url)
    heartbeat = beating(connection, write_entry=EntryProbe(connection).write)
    with capture_logs() as logs:
        for command in (
            ("CONFIG", "SET", "maxmemory", "1mb"),
            ("REPLICAOF", "127.0.0.1", "1"),
            ("REPLICAOF", "NO", "ONE"),
        ):
            server.admin(*command)
            assert [await heartbeat.ping() for _ in range(3)] == [True] * 3
        server.admin("CONFIG", "SET", "maxmemory", "0")
        assert await heartbeat.ping()
    told = [(line["event"], line["part"], line.get("command")) for line in logs]
    assert told == [
        ("redis_refuses", "cache", "HSET"),
        ("redis_refuses", "quota", "EVALSHA"),
        ("redis_refuses", "cache", "DEL"),
        ("redis_refuses", "quota", "EVALSHA"),
        ("redis_refuses", "cache", "HSET"),
        ("redis_refuses", "quota", "EVALSHA"),
        ("redis_serves", "cache", None),
        ("redis_serves", "quota", None),
    ]
    words = ["maxmemory", "maxmemory", "read only replica", "read only replica", "maxmemory", "maxmemory"]
    assert all(word in line["error"] for word, line in zip(words, logs, strict=False))


async def test_the_heartbeat_is_the_probe_that_closes_the_breaker(start_valkey: StartValkey, opened: Opener) -> None:
    server, now = start_valkey(), 0.0
    connection = opened(server.url, monotonic=lambda: now)
    heartbeat = beating(connection)
    server.kill()
    for _ in range(3):
        assert not await heartbeat.ping()
    assert not connection.up
    server.start()
    assert not await heartbeat.ping(), "the breaker is open: nothing is tried"

    now = 1.0
    assert await heartbeat.ping()

    assert connection.up


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
async def test_it_beats_once_a_second_and_faster_while_redis_is_away(
    start_valkey: StartValkey, opened: Opener, chance: float, factor: float
) -> None:
    server = start_valkey()
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        server.kill()
        if len(pauses) == 2:
            raise asyncio.CancelledError

    heartbeat = Heartbeat(
        opened(server.url), Clock(), ReplicaCount(), domain_key=DOMAIN, sleep=sleep, chance=lambda: chance
    )
    with pytest.raises(asyncio.CancelledError):
        await heartbeat.run()

    assert pauses == [factor * PING_SECONDS, factor * RETRY_SECONDS]


async def test_a_server_that_refuses_writes_still_has_a_pulse(start_valkey: StartValkey, opened: Opener) -> None:
    server = start_valkey("--maxmemory-policy", "noeviction")
    heartbeat = beating(opened(server.url))
    server.admin("SET", KEY, "1")
    server.admin("CONFIG", "SET", "maxmemory", "1mb")
    assert await heartbeat.ping()
    server.admin("CONFIG", "SET", "maxmemory", "0")
    server.admin("REPLICAOF", "127.0.0.1", "1")
    assert await heartbeat.ping()


async def test_a_beat_costs_two_operations_once_all_was_tried(start_valkey: StartValkey, opened: Opener) -> None:
    server, counted = start_valkey(), Counted()
    connection = opened(server.url, observer=counted)
    heartbeat = beating(connection, write_entry=EntryProbe(connection).write)
    for _ in range(3):
        assert await heartbeat.ping()
    ping, probe = RedisOperation.PING, RedisOperation.PROBE
    assert counted.operations == [ping, probe, probe, probe, probe, ping, probe, ping, probe]
    assert len(list(str(server.admin("KEYS", "*probe*")).split(","))) == 4
    assert all(0 < int(str(server.admin("PTTL", f"test:probe:{{{tag}}}"))) <= 60_000 for tag in range(4))
