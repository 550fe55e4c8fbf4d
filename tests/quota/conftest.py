"""Connections and domains for the tests of the ledgers."""

from __future__ import annotations

import itertools

import pytest

from proxy.core.quota.replicas import ReplicaCount
from proxy.quota.local import MemoryLedger
from proxy.quota.scripts import domain_key
from proxy.quota.shared import RedisLedger
from proxy.redis_client.connection import RedisConnection
from tests.quota.doubles import (
    RATIOS,
    Ageing,
    Copied,
    Ledger,
    ManualClock,
    ModelLedger,
    SwitchedConnection,
    Tally,
    copy_of,
    replace_by,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tally() -> Tally:
    return Tally()


def text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


class Domain:
    """One quota domain in Redis and the replicas in it, each on a connection that can be switched off."""

    def __init__(self, connection: RedisConnection, clock: ManualClock, tally: Tally) -> None:
        self._connection = connection
        self.clock = clock
        self._tally = tally
        self._names = (f"domain-{n}" for n in itertools.count())
        self.key = ""
        self.renew()

    def renew(self) -> None:
        """From now on replicas of a domain that nobody has used."""
        self.key = domain_key("test", "spot", next(self._names))
        self.age = Ageing(self._connection.client, f"{self.key}:block", self.clock)

    def replica(
        self, tally: Tally | None = None, *, replica_count: ReplicaCount | None = None
    ) -> tuple[RedisLedger, SwitchedConnection]:
        switch = self.switched()
        ledger = RedisLedger(
            switch,
            domain_key=self.key,
            clock=self.clock,
            ratios=RATIOS,
            replica_count=replica_count,
            observer=tally or self._tally,
        )
        return ledger, switch

    def switched(self) -> SwitchedConnection:
        """A connection for a replica, in which a block expires by the clock of the tests."""
        return SwitchedConnection(self._connection, self.age)

    async def forget_all(self) -> None:
        """Lose all data."""
        await self._connection.client.flushall()

    async def copy(self) -> Copied:
        """What Redis knows now."""
        return await copy_of(self._connection.client, self.key)

    async def replace_by(self, copy: Copied) -> None:
        """Go back to what Redis knew then."""
        await replace_by(self._connection.client, copy)

    async def stored(self, key: str) -> dict[str, str]:
        """A hash of this domain as redis-cli shows it."""
        raw = await self._connection.client.hgetall(f"{self.key}:{key}")
        return {text(name): text(value) for name, value in raw.items()}

    async def used(self, start: int, window: str = "REQUEST_WEIGHT:1m") -> tuple[int, int]:
        """Used and pending of a counter in Redis."""
        stored = await self.stored(f"{window}:{start}")
        return int(stored.get("used", "0")), int(stored.get("pending", "0"))


@pytest.fixture
def domain(connection: RedisConnection, clock: ManualClock, tally: Tally) -> Domain:
    return Domain(connection, clock, tally)


@pytest.fixture(params=["model", "memory", "redis"])
def ledger(request: pytest.FixtureRequest, clock: ManualClock, tally: Tally) -> Ledger:
    """Each of the three that must behave alike."""
    match request.param:
        case "model":
            return ModelLedger(clock, tally)
        case "memory":
            return MemoryLedger(clock=clock, ratios=RATIOS, observer=tally)
        case _:
            domain: Domain = request.getfixturevalue("domain")
            return domain.replica()[0]
