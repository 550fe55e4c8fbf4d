"""Pings Redis once a second, so that we notice when it goes away or comes back even without any request.

Owns: the interval of the pings, and the log lines for a Redis that goes or comes. Must not know: what Redis is used
for.

The ping also asks for two things. The first is the origin's time, if another replica knows it: entries, windows and
blocks depend on it, and the clock of a process that has just started may be wrong. The second is the number of
replicas: while Redis is away they divide the budget. The keys have the hash tag of the ledger's keys, so on a cluster
the ping goes to the node that holds the ledger.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

import structlog

from proxy.core.quota.replicas import ReplicaCount
from proxy.errors import RedisAway
from proxy.ports import Clock
from proxy.redis_client.connection import RedisConnection, RedisOperation

log = structlog.get_logger(__name__)

PING_SECONDS = 1.0
RETRY_SECONDS = 0.25
"""The interval after a ping without an answer. While the breaker is open a ping does no I/O; later it is the probe."""
SILENCE_SECONDS = 30.0
"""A replica that sent no ping for this long is gone."""


class Heartbeat:
    """One in each process. Reads `<domain_key>:clock`, where the ledger stores the origin's clock less Redis' own."""

    def __init__(  # noqa: PLR0913 - the last three for tests
        self,
        connection: RedisConnection,
        clock: Clock,
        replica_count: ReplicaCount,
        *,
        domain_key: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._replica_count = replica_count
        self._keys = [f"{domain_key}:clock", f"{domain_key}:replicas"]
        self._arguments = [secrets.token_hex(8), str(round(SILENCE_SECONDS * 1000))]
        self._sleep = sleep
        self._chance = chance
        self._monotonic = monotonic
        self._script = connection.client.register_script(
            (resources.files("proxy.quota") / "lua" / "heartbeat.lua").read_text(encoding="utf-8")
        )
        self._is_away = False

    async def run(self) -> None:
        """Ping for as long as the process lives."""
        while True:
            pause_seconds = PING_SECONDS if await self.ping() else RETRY_SECONDS
            await self._sleep(pause_seconds * (0.75 + self._chance() / 2))

    async def ping(self) -> bool:
        """Ping once. Returns whether Redis answered; never raises RedisAway."""
        sent_at = self._clock.wall()
        try:
            replicas, origin_time = await self._connection.run(RedisOperation.PING, self._ask)
        except RedisAway as error:
            if not self._is_away:
                log.warning("redis_away", error=error.msg)
            self._is_away = True
            return False
        if self._is_away:
            log.info("redis_back")
        self._is_away = False
        self._replica_count.observe(replicas, self._monotonic())
        if origin_time is not None and not self._clock.is_synchronized():
            self._clock.observe_shared(origin_time, sent_at=sent_at, received_at=self._clock.wall())
        return True

    async def _ask(self) -> tuple[int, float | None]:
        """The number of live replicas, and the origin's time in seconds since the epoch; None if Redis lacks it."""
        row: Any = await self._script(keys=self._keys, args=self._arguments)
        return int(row[0]), float(row[1]) if row[1] else None
