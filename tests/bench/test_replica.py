"""The simulated replica asks Redis for the same operations in the same order as the real gateway."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Protocol, TypeVar, cast

import orjson
import pytest

from proxy.cache.document_stores import SharedDocuments
from proxy.cache.documents import Publisher
from proxy.cache.fill import Filler
from proxy.cache.fill_lock import PollSchedule
from proxy.cache.fills import Fills
from proxy.cache.lifetimes import NOTHING, Policy
from proxy.cache.local import LocalCache
from proxy.cache.lru import MemoryStore
from proxy.cache.shared import RedisFillLock, RedisStore
from proxy.cache.sharing import Sharing
from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.endpoints.endpoint import Api, Endpoint
from proxy.core.feed.log import Bounds, ChangeLog
from proxy.core.messages import ClientRequest, OriginResponse
from proxy.core.query.canonical import CanonicalQuery, canonicalize
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import RedisAway, SidecarError
from proxy.feed.hub import Hub
from proxy.feed.stream import ChangeStreams
from proxy.origin.origins import Origins
from proxy.ports import Outbound
from proxy.quota.pools import PoolLedgers
from proxy.quota.scripts import domain_key
from proxy.quota.shared import RedisLedger
from proxy.redis_client.connection import RedisConnection, RedisOperation
from proxy.telemetry.metrics import Metrics
from tests.bench import virtual
from tests.bench.replica import LIFETIMES, RATIOS, Fleet, Replica
from tests.cache.entries import entry
from tests.quota.doubles import ManualClock
from tests.redis_client.fixtures import Opener

T = TypeVar("T")
BODY = orjson.dumps(
    {
        "timezone": "UTC",
        "serverTime": 1_785_024_000_000,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [{"symbol": "BTCUSDT", "status": "TRADING"}],
    }
)


def query(path: str) -> CanonicalQuery:
    canonical = canonicalize(ENDPOINTS[path], ClientRequest(method="GET", path=path))
    assert isinstance(canonical, CanonicalQuery)
    return canonical


INFO, TIME = query("/api/v3/exchangeInfo"), query("/api/v3/time")


class Side(Protocol):
    """A gateway that a scenario drives, real or simulated."""

    operations: list[str]

    def wait(self, seconds: float) -> None: ...

    def use_up_the_limit(self) -> None: ...

    def switch_redis(self, *, away: bool) -> None: ...

    async def refresh(self) -> None: ...

    async def call(self) -> None: ...

    async def fill_elsewhere(self) -> None: ...

    async def refresh_during_another_fill(self) -> None: ...


@dataclass
class Recorded:
    """A connection that writes down what it is asked, and can be away."""

    connection: RedisConnection
    operations: list[str] = field(default_factory=list)
    away: bool = False

    @property
    def client(self) -> Any:
        return self.connection.client

    @property
    def prefix(self) -> str:
        return self.connection.prefix

    async def run(self, operation: RedisOperation, call: Callable[[], Awaitable[T]]) -> T:
        self.operations.append(operation.value)
        if self.away:
            raise RedisAway("away")
        return await self.connection.run(operation, call)


class Real:
    """The gateway's own fills, origin and ledger, with an upstream that answers at once."""

    def __init__(self, connection: RedisConnection) -> None:
        self._recorded = Recorded(connection)
        self.operations = self._recorded.operations
        recorded, self._clock, self._used_weight = cast(RedisConnection, self._recorded), ManualClock(), 0
        metrics, clock = Metrics(), self._clock
        ledger = RedisLedger(recorded, domain_key=domain_key("test", "spot", "bench"), clock=clock, ratios=RATIOS)
        local = LocalCache(MemoryStore(1 << 20), document=INFO, use_snapshot=True, observer=metrics)
        ledgers = PoolLedgers(lambda _: ledger)
        self._origin = Origins(
            {Api.SPOT: self}, ledgers, clock, observer=metrics, refusals_of=metrics.of_pool, total_seconds=10.0
        )
        store = RedisStore(recorded, schedule=PollSchedule(sleep=self._end_other_fill))
        streams = ChangeStreams(recorded, {Api.SPOT: f"spot:{INFO.key}"}, Bounds())
        hub = Hub(ChangeLog(Bounds()), streams, now=clock.origin, max_readers=0)
        filler = Filler(
            self._origin,
            local,
            store,
            learn=self._origin.learn,
            venue="spot",
            policy=Policy(positive=LIFETIMES, negative=LIFETIMES),
            clock=clock,
            observer=metrics,
            wait_seconds=10.0,
            sharing=Sharing(store, Publisher(SharedDocuments(streams, hub), metrics), history=NOTHING),
        )
        self._fills = Fills(filler, local, clock, timeout_seconds=10.0)
        self._other, self._key = RedisStore(connection), f"spot:{INFO.key}"
        self._lock: RedisFillLock | None = None

    def candidates(self, endpoint: Endpoint) -> tuple[str, ...]:
        return ("http://origin",)

    def begin(self, base_url: str, query: UpstreamQuery, *, flight: Outbound, seconds: float) -> bool:
        return False

    async def send(
        self, base_url: str, query: UpstreamQuery, *, check: Callable[[], None], seconds: float
    ) -> OriginResponse:
        check()
        self._used_weight += query.weight
        now = self._clock.now
        headers = {
            "content-type": "application/json",
            "date": formatdate(now, usegmt=True),
            "x-mbx-used-weight-1m": str(self._used_weight),
        }
        status = 200 if self._used_weight <= virtual.LIMIT else 429
        body = BODY if query == INFO else orjson.dumps({"serverTime": int(now * 1000)})
        return OriginResponse(status=status, headers=headers, body=body, gzip=None, sent_at=now, received_at=now)

    def wait(self, seconds: float) -> None:
        self._clock.now += seconds

    def use_up_the_limit(self) -> None:
        self._used_weight = virtual.LIMIT

    def switch_redis(self, *, away: bool) -> None:
        self._recorded.away = away

    async def refresh(self) -> None:
        with suppress(SidecarError):
            await self._fills.refresh()

    async def call(self) -> None:
        with suppress(SidecarError):
            await self._origin.ask(TIME)

    async def fill_elsewhere(self) -> None:
        await self._other.put(self._key, entry(BODY, stored_at=self._clock.now))

    async def refresh_during_another_fill(self) -> None:
        self._lock = await self._other.acquire(self._key)
        await self.refresh()

    async def _end_other_fill(self, _: float) -> None:
        assert self._lock is not None
        await self.fill_elsewhere()
        await self._lock.release(filled=True)


@dataclass
class RecordedRedis(virtual.Redis):
    """A simulated Redis that writes down what it is asked."""

    sequence: list[str] = field(default_factory=list)

    def call(self, operation: str, act: Callable[[], T]) -> virtual.Process[T]:
        self.sequence.append(operation)
        return super().call(operation, act)


class Simulated:
    """A replica of the simulated fleet."""

    def __init__(self) -> None:
        self._world = virtual.World(1)
        self._redis = RecordedRedis(self._world)
        self._origin = virtual.Origin(self._world)
        self._replica = Replica(Fleet(self._world, self._redis, self._origin, replicas=1))
        self.operations = self._redis.sequence
        self._other_fills = False

    def wait(self, seconds: float) -> None:
        self._world.now += seconds

    def use_up_the_limit(self) -> None:
        self._origin.counted[self._world.minute] = virtual.LIMIT

    def switch_redis(self, *, away: bool) -> None:
        self._redis.away = away

    async def refresh(self) -> None:
        await self._finish(self._replica._refresh())

    async def call(self) -> None:
        await self._finish(self._replica._call("time", TIME.weight))

    async def fill_elsewhere(self) -> None:
        self._redis.document = entry(BODY, stored_at=self._world.now)

    async def refresh_during_another_fill(self) -> None:
        self._redis.lock_until, self._other_fills = math.inf, True
        await self.refresh()

    async def _finish(self, process: virtual.Process[Any]) -> None:
        for pause_seconds in process:
            self._world.now += pause_seconds
            if self._other_fills and pause_seconds > 0.005:  # longer than a call to Redis takes
                await self.fill_elsewhere()
                self._redis.lock_until, self._other_fills = -math.inf, False


async def cold(side: Side) -> None:
    await side.refresh()


async def stale(side: Side) -> None:
    await side.refresh()
    side.wait(61.0)
    await side.refresh()


async def filled_elsewhere(side: Side) -> None:
    await side.fill_elsewhere()
    await side.refresh()
    side.wait(61.0)
    await side.fill_elsewhere()
    await side.refresh()


async def joined(side: Side) -> None:
    await side.refresh_during_another_fill()


async def called(side: Side) -> None:
    await side.call()
    await side.call()


async def blocked(side: Side) -> None:
    side.use_up_the_limit()
    await side.call()
    await side.call()


async def away(side: Side) -> None:
    side.switch_redis(away=True)
    await side.call()
    await side.refresh()
    side.switch_redis(away=False)
    await side.call()


RESERVED = ["reserve", "reconcile"]
COLD = ["lock", "get", *RESERVED, "store", "unlock"]


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (cold, COLD),
        (stale, COLD * 2),
        (filled_elsewhere, ["lock", "get", "unlock", "lock", "get", "get", "unlock"]),
        (joined, ["lock", "get", "get", "get", "get", "get"]),
        (called, RESERVED * 2),
        (blocked, ["reserve", "block", "reconcile"]),
        (away, ["reserve", "reconcile", "lock", "reconcile", "reconcile", "store", "reconcile", *RESERVED]),
    ],
)
async def test_both_ask_redis_the_same(
    scenario: Callable[[Side], Awaitable[None]], expected: list[str], opened: Opener, redis_url: str
) -> None:
    real, simulated = Real(opened(redis_url)), Simulated()
    await scenario(real)
    await scenario(simulated)

    assert real.operations == expected
    assert simulated.operations == expected
