"""Pings Redis once a second, so that we notice when it goes away or comes back even without any request.

Owns: the interval of the pings, and the log lines for a Redis that goes, refuses or comes. Must not know: how an entry
is written.

A ping proves that Redis does what the gateways need: its script writes as a reservation does, and after it a small
entry is written as a fill does. A server that answers and refuses one of them does not share it.

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

from redis.exceptions import ResponseError

from proxy.core.quota.replicas import ReplicaCount
from proxy.errors import RedisAway
from proxy.event_log import log
from proxy.ports import Clock
from proxy.redis_client.connection import RedisConnection, RedisOperation
from proxy.redis_client.refusals import Part, Refusal

Try = Callable[[], Awaitable[None]]
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
        write_entry: Try | None = None,
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
        self._write_entry = write_entry
        self._fault: str | None = None
        self._refused: dict[Part, Refusal] = {}

    async def run(self) -> None:
        """Ping for as long as the process lives."""
        while True:
            pause_seconds = PING_SECONDS if await self.ping() else RETRY_SECONDS
            await self._sleep(pause_seconds * (0.75 + self._chance() / 2))

    async def ping(self) -> bool:
        """Ping once. Returns whether Redis answered, also by a refusal; never raises RedisAway."""
        fault = await self._try(lambda: self._connection.run(RedisOperation.PING, self._beat))
        if fault is None and self._write_entry is not None:
            fault = await self._try(self._write_entry)
        self._tell_away(fault)
        if fault is None and (self._refused or self._connection.refuses):
            for part in Part:
                self._tell_refused(part, self._connection.refusal(part))
        return fault is None

    async def _try(self, call: Try) -> str | None:
        """Why there was no answer; None: there was one."""
        try:
            await call()
        except RedisAway as error:
            return None if error.is_refusal else self._connection.fault or error.msg
        return None

    async def _beat(self) -> None:
        sent_at = self._clock.wall()
        row: Any = await self._script(keys=self._keys, args=self._arguments)
        replicas, origin_time, refusal = int(row[0]), float(row[1]) if row[1] else None, bytes(row[2]).decode()
        self._replica_count.observe(replicas, self._monotonic())
        if origin_time is not None and not self._clock.is_synchronized():
            self._clock.observe_shared(origin_time, sent_at=sent_at, received_at=self._clock.wall())
        if refusal:
            raise ResponseError(refusal)

    def _tell_away(self, fault: str | None) -> None:
        """Log when Redis goes, when the reason changes, and when it is back."""
        before, self._fault = self._fault, fault
        if fault is None and before is not None:
            log.info("redis_back")
        elif fault is not None and (before is None or _reason(fault) != _reason(before)):
            log.warning("redis_away", error=fault)

    def _tell_refused(self, part: Part, refusal: Refusal | None) -> None:
        """Log when Redis begins to refuse a part, when the reason changes, and when it does it again."""
        before = self._refused.pop(part, None)
        if refusal is not None:
            self._refused[part] = refusal
        if refusal == before:
            return
        if refusal is None:
            log.info("redis_serves", part=part.value)
        else:
            log.warning("redis_refuses", part=part.value, command=refusal.command, error=refusal.words)


def _reason(fault: str) -> str:
    """What is the same while the reason is the same: a server that hangs is noticed now here, now there."""
    return "TimeoutError" if fault.startswith("TimeoutError") else fault
