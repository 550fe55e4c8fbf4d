"""The store of a gateway without Redis: it keeps nothing, and everybody may fill.

Owns: `NoStore`. Must not know: anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.core.cache.fill_wait import WaitEnd
from proxy.core.messages import Entry


@dataclass(frozen=True, slots=True)
class NullStore:
    """Has the methods of RedisStore, and never raises."""

    async def get(self, key: str) -> Entry | None:
        """None."""

    async def peek(self, key: str) -> float | None:
        """None."""
        return None

    async def put(self, key: str, entry: Entry) -> None:
        """Do nothing: L1 has it."""

    async def acquire(self, key: str, *, ttl_seconds: float = 0.0) -> NoLock:
        """Always granted: within one process, the single flight keeps fills apart."""
        return NoLock()

    async def wait_for_fill(self, key: str, *, newer_than: float, timeout_seconds: float) -> WaitEnd:
        """EXPIRED: there is no holder to wait for."""
        return WaitEnd.EXPIRED


@dataclass(frozen=True, slots=True)
class NoLock:
    """A FillLock that is never lost."""

    async def renew(self) -> bool:
        """True."""
        return True

    async def release(self, *, filled: bool) -> None:
        """Do nothing."""
