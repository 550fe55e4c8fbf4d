"""Asks Redis once a second: that it goes and comes is known though no client's request touched it.

Owns: the beat, and when it is worth a line in the log. Must not know: what Redis is used for.

It asks for what a process that just started lacks: the origin's time, as far as another replica knows it. Entries,
windows and blocks all go by that, and our own clock may be wrong. And it counts the replicas, which must share the
budget without Redis when that goes away. The keys have the hash tag of the ledger's keys, so that the beat feels the
pulse of that node of a cluster which the ledger needs.
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

BEAT_SECONDS = 1.0
RETRY_SECONDS = 0.25
"""After a beat without an answer. While the breaker is open such a beat costs nothing, and then it is the probe."""
SILENCE_SECONDS = 30.0
"""A replica that was not heard of for so long is gone."""


class Heartbeat:
    """One a process. Under `<domain_key>:clock` the ledger keeps what the origin's clock is ahead of Redis' own."""

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
        """Beat for as long as the process lives."""
        while True:
            pause_seconds = BEAT_SECONDS if await self.beat() else RETRY_SECONDS
            await self._sleep(pause_seconds * (0.75 + self._chance() / 2))

    async def beat(self) -> bool:
        """Ask once. Whether Redis answered; never raises RedisAway."""
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
        """The replicas that live, and the origin's time, if Redis knows it, in seconds since the epoch."""
        answer: Any = await self._script(keys=self._keys, args=self._arguments)
        return int(answer[0]), float(answer[1]) if answer[1] else None
