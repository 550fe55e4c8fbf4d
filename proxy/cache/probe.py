"""Tries whether Redis takes entries, by writing a small one as a fill does.

Owns: the keys of the small entries, and which of them is written next. Must not know: how often it is asked, what is
done when Redis refuses.
"""

from __future__ import annotations

from proxy.cache.shared import replace
from proxy.redis_client.connection import RedisConnection, RedisOperation

_TAGS = ("0", "1", "2", "3")
"""Hash tags in the slots 13907, 9842, 5649 and 1584 of a cluster. A client of one server that is really one node of a
cluster can write some keys and not others: one in each quarter of the slots tells."""
_EXPIRY_MS = 60_000


class EntryProbe:
    """Writes one key at each call, in turn; all of them until all were written once without a refusal."""

    __slots__ = ("_connection", "_next", "_passed")

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._next = 0
        self._passed = False

    async def write(self) -> None:
        """Write. Raises RedisAway, and begins with the same key the next time."""
        count = 1 if self._passed else len(_TAGS)
        self._passed = False
        for _ in range(count):
            await self._connection.run(RedisOperation.PROBE, self._write_next)
            self._next = (self._next + 1) % len(_TAGS)
        self._passed = True

    async def _write_next(self) -> None:
        name = f"{self._connection.prefix}:probe:{{{_TAGS[self._next]}}}"
        await replace(self._connection.client, name, {"v": b"probe"}, expiry_ms=_EXPIRY_MS)
