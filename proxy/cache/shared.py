"""L2: the entries in Redis, which all replicas share, and the fill lock.

Owns: the keys, their expiry, the commands. Must not know: when an entry may be used, who fills it.

    <prefix>:<key>         hash, see entry_codec.py; expires at the entry's horizon
    <prefix>:lock:<key>    the fill lock: the holder's token, or `failed` for a second after a failed fill

Every operation uses one key, so it runs on Redis Cluster without a hash tag.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from importlib import resources
from itertools import chain
from typing import Any, cast

from msgspec import Struct
from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

from proxy.cache import entry_codec
from proxy.cache.fill_lock import LOCK_SECONDS, PollSchedule, wait_for_fill
from proxy.core.cache.fill_wait import LockState, LockStatus, WaitEnd
from proxy.core.messages import Entry
from proxy.redis_client.clients import Client
from proxy.redis_client.connection import RedisConnection, RedisOperation
from proxy.redis_client.pool import transact

_FAILED = b"failed"
_FAILED_SECONDS = 1.0


class RedisStore:
    """The store on one Redis. Every method raises RedisAway."""

    __slots__ = ("_connection", "_max_body_bytes", "_release", "_renew", "_schedule")

    def __init__(
        self, connection: RedisConnection, *, max_body_bytes: int = 64 << 20, schedule: PollSchedule | None = None
    ) -> None:
        self._connection = connection
        self._max_body_bytes = max_body_bytes
        self._schedule = schedule or PollSchedule()
        self._renew = connection.client.register_script(_lua("renew_lock"))
        self._release = connection.client.register_script(_lua("release_lock"))

    async def get(self, key: str) -> Entry | None:
        """The entry, or None if there is no valid one. Decompresses large bodies in a thread."""
        values = await self._fields(key, entry_codec.FIELDS)
        return await entry_codec.decode(values, max_body_bytes=self._max_body_bytes)

    async def peek(self, key: str) -> float | None:
        """`stored_at` of the entry, without its body; None if there is no valid one."""
        return entry_codec.decode_stored_at(await self._fields(key, entry_codec.PEEK_FIELDS))

    async def put(self, key: str, entry: Entry) -> None:
        """Replace the entry of `key`, until its horizon.

        The expiry is a duration, so that a difference between Redis' clock and ours does not matter.
        """
        expiry_ms = math.ceil(entry.lifetimes.horizon_seconds * 1000)
        if expiry_ms > 0:
            client, name, fields = self._connection.client, self._name(key), entry_codec.encode(entry)
            await self._connection.run(RedisOperation.PUT, lambda: replace(client, name, fields, expiry_ms=expiry_ms))

    async def acquire(self, key: str, *, ttl_seconds: float = LOCK_SECONDS) -> RedisFillLock | None:
        """The right to fill `key`, or None while another replica has it or its fill has just failed."""
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
        """Whether a replica fills `key`, and how long its lock will live unless it is renewed."""
        status, _ = await self._look(key)
        return status

    async def wait_for_fill(self, key: str, *, newer_than: float, timeout_seconds: float) -> WaitEnd:
        """Wait for another replica's fill. Never raises RedisAway: WaitEnd.REDIS_AWAY says it."""
        return await wait_for_fill(
            self, key, newer_than=newer_than, timeout_seconds=timeout_seconds, schedule=self._schedule
        )

    async def failure(self, key: str) -> bytes:
        """What the last holder left about its failure; empty if the key is gone."""
        status, value = await self._look(key)
        return value.removeprefix(_FAILED) if status.state is LockState.FAILED else b""

    async def _look(self, key: str) -> tuple[LockStatus, bytes]:
        return await self._connection.run(RedisOperation.GET, lambda: self._read_lock(self._lock_name(key)))

    async def _read_lock(self, name: str) -> tuple[LockStatus, bytes]:
        """The lock, and the value of its key."""
        async with self._connection.client.pipeline(transaction=False) as pipeline:
            pipeline.get(name)
            pipeline.pttl(name)
            value, left_ms = await pipeline.execute()
        if value is None:
            return LockStatus(LockState.FREE), b""
        left_seconds = max(0, int(left_ms)) / 1000
        state = LockState.FAILED if value.startswith(_FAILED) else LockState.HELD
        return LockStatus(state, left_seconds), value

    async def _fields(self, key: str, fields: tuple[str, ...]) -> list[bytes | None]:
        client = self._connection.client

        async def read() -> list[bytes | None]:
            try:
                values = list(await client.hmget(self._name(key), list(fields)))
            except ResponseError as error:
                if str(error).startswith("WRONGTYPE"):  # not our key: the next put replaces it
                    return [None] * len(fields)
                raise
            if len(values) != len(fields):
                raise ValueError(f"{len(values)} values for {len(fields)} fields")
            return cast("list[bytes | None]", values)

        return await self._connection.run(RedisOperation.GET, read)

    def _name(self, key: str) -> str:
        return f"{self._connection.prefix}:{key}"

    def _lock_name(self, key: str) -> str:
        return f"{self._connection.prefix}:lock:{key}"


class RedisFillLock(Struct, frozen=True, kw_only=True):
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

    async def release(self, *, filled: bool, failure: bytes = b"") -> None:
        """Release it; with `filled=False` the key says `failed` for a second, and why. See FillLock."""
        arguments: list[str | bytes | int] = [
            self.token,
            b"" if filled else _FAILED + failure,
            _milliseconds(_FAILED_SECONDS),
        ]
        await self.connection.run(RedisOperation.UNLOCK, lambda: self.release_script([self.name], arguments))


async def replace(client: Client, name: str, fields: Mapping[Any, bytes], *, expiry_ms: int) -> None:
    """Store a hash in the place of what is there, as one transaction."""
    await transact(
        client,
        ("DEL", name),  # so that no field of another version survives
        ("HSET", name, *chain.from_iterable(fields.items())),
        ("PEXPIRE", name, expiry_ms),
    )


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))


def _lua(name: str) -> str:
    return (resources.files("proxy.cache") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
