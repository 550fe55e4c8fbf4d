"""The store of a gateway without Redis: it stores nothing, and every fill gets the lock.

Owns: `NullStore`. Must not know: any other store.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.core.cache.fill_wait import WaitEnd
from proxy.core.messages import Entry


class NullStore(Struct, frozen=True):
    """Has the methods of RedisStore. Never raises."""

    async def get(self, key: str) -> Entry | None:
        """None."""

    async def peek(self, key: str) -> float | None:
        """None."""
        return None

    async def put(self, key: str, entry: Entry) -> None:
        """Do nothing: L1 has it."""

    async def acquire(self, key: str, *, ttl_seconds: float = 0.0) -> NoLock:
        """A lock, always: within one process, single flight keeps fills apart."""
        return NoLock()

    async def wait_for_fill(self, key: str, *, newer_than: float, timeout_seconds: float) -> WaitEnd:
        """EXPIRED: there is no holder to wait for."""
        return WaitEnd.EXPIRED

    async def failure(self, key: str) -> bytes:
        """Empty."""
        return b""


class NoLock(Struct, frozen=True):
    """A FillLock that is never lost."""

    async def renew(self) -> bool:
        """True."""
        return True

    async def release(self, *, filled: bool, failure: bytes = b"") -> None:
        """Do nothing."""
