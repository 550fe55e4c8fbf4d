"""L2: entries that all replicas share, and the fill lock.

Owns: the keys, the physical expiry, the commands. Must not know: when an entry may be used, who fills it.

    <prefix>:<key>         hash, see envelope.py; expires at the entry's horizon
    <prefix>:lock:<key>    the fill lock: the holder's token, or `failed` for a second after it failed

Every operation touches one key, so it runs on Redis Cluster without a hash tag.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from importlib import resources
from typing import Any

from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

from proxy.cache import entry_codec as envelope
from proxy.cache.fill_lock import PollSchedule, wait_for_fill
from proxy.core.cache.fill_wait import LockState, LockStatus, WaitEnd
from proxy.core.messages import Entry
from proxy.redis_client.connection import RedisConnection, RedisOperation

LOCK_SECONDS = 5.0
_FAILED = b"failed"
_FAILED_SECONDS = 1.0


class RedisStore:
    """The store on one Redis. Every method raises RedisAway."""

    __slots__ = ("_connection", "_max_body_bytes", "_pace", "_release", "_renew")

    def __init__(
        self, connection: RedisConnection, *, max_body_bytes: int = 64 << 20, schedule: PollSchedule | None = None
    ) -> None:
        self._connection = connection
        self._max_body_bytes = max_body_bytes
        self._pace = schedule or PollSchedule()
        self._renew = connection.client.register_script(_lua("renew_lock"))
        self._release = connection.client.register_script(_lua("release_lock"))

    async def get(self, key: str) -> Entry | None:
        """The entry, or None where there is none that can be read. Large ones unpack in a thread."""
        values = await self._fields(key, envelope.FIELDS)
        return await envelope.decode(values, max_body_bytes=self._max_body_bytes)

    async def peek(self, key: str) -> float | None:
        """`stored_at` of the entry, without its body."""
        return envelope.decode_stored_at(await self._fields(key, envelope.PEEK_FIELDS))

    async def put(self, key: str, entry: Entry) -> None:
        """Replace what is under `key`, until the entry's horizon.

        Redis is told the expiry as a length of time, so that a difference between the clocks does not matter.
        """
        expiry_ms = math.ceil(entry.lifetimes.horizon_seconds * 1000)
        if expiry_ms > 0:
            await self._connection.run(RedisOperation.PUT, lambda: self._put(self._name(key), entry, expiry_ms))

    async def acquire(self, key: str, *, ttl_seconds: float = LOCK_SECONDS) -> RedisFillLock | None:
        """The right to fill `key`, or None while another replica has it or has just failed."""
        lock = RedisFillLock(
            connection=self._connection,
            name=self._lock_name(key),
            token=secrets.token_hex(16),
            ttl_ms=_milliseconds(ttl_seconds),
            renew_script=self._renew,
            release_script=self._release,
        )
        client = self._connection.client
        taken = await self._connection.run(
            RedisOperation.LOCK, lambda: client.set(lock.name, lock.token, nx=True, px=lock.ttl_ms)
        )
        return lock if taken else None

    async def lock_status(self, key: str) -> LockStatus:
        """Whether somebody fills `key`, and how long the lock will live unless it is renewed."""
        value, left_ms = await self._connection.run(
            RedisOperation.GET, lambda: self._look_at_lock(self._lock_name(key))
        )
        if value is None:
            return LockStatus(LockState.FREE)
        left_seconds = max(0, left_ms) / 1000
        return LockStatus(LockState.FAILED if value == _FAILED else LockState.HELD, left_seconds)

    async def wait_for_fill(self, key: str, *, newer_than: float, timeout_seconds: float) -> WaitEnd:
        """Wait for another replica's fill. Never raises RedisAway: that is one of the ends."""
        return await wait_for_fill(
            self, key, newer_than=newer_than, timeout_seconds=timeout_seconds, schedule=self._pace
        )

    async def _put(self, name: str, entry: Entry, expiry_ms: int) -> None:
        async with self._connection.client.pipeline(transaction=True) as transaction:
            transaction.delete(name)  # so that no field of another version survives
            transaction.hset(name, mapping=envelope.encode(entry))
            transaction.pexpire(name, expiry_ms)
            await transaction.execute()

    async def _look_at_lock(self, name: str) -> tuple[bytes | None, int]:
        async with self._connection.client.pipeline(transaction=False) as pipeline:
            pipeline.get(name)
            pipeline.pttl(name)
            value, left_ms = await pipeline.execute()
        return value, left_ms

    async def _fields(self, key: str, fields: tuple[str, ...]) -> list[bytes | None]:
        client = self._connection.client

        async def read() -> Any:
            try:
                return await client.hmget(self._name(key), list(fields))
            except ResponseError as error:
                if str(error).startswith("WRONGTYPE"):  # not ours: the next put replaces it
                    return [None] * len(fields)
                raise

        values: list[bytes | None] = await self._connection.run(RedisOperation.GET, read)
        return values

    def _name(self, key: str) -> str:
        return f"{self._connection.prefix}:{key}"

    def _lock_name(self, key: str) -> str:
        return f"{self._connection.prefix}:lock:{key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFillLock:
    """A FillLock that expires in Redis `ttl_ms` milliseconds after it was taken or renewed."""

    connection: RedisConnection
    name: str
    token: str
    ttl_ms: int
    renew_script: AsyncScript
    release_script: AsyncScript

    async def renew(self) -> bool:
        """Prolong it by its full lifetime. False: it was lost."""
        return bool(
            await self.connection.run(
                RedisOperation.RENEW, lambda: self.renew_script([self.name], [self.token, self.ttl_ms])
            )
        )

    async def release(self, *, filled: bool) -> None:
        """Let go; `filled=False` leaves word that the fill failed. See FillLock."""
        arguments: list[str | bytes | int] = [
            self.token,
            b"" if filled else _FAILED,
            _milliseconds(_FAILED_SECONDS),
        ]
        await self.connection.run(RedisOperation.UNLOCK, lambda: self.release_script([self.name], arguments))


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))


def _lua(name: str) -> str:
    return (resources.files("proxy.cache") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
