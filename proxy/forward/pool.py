"""The connections that are kept between requests.

Owns: which connection is free, until when, and their end. Must not know: how they are made, what is sent on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.forward.connection import Connection

IDLE_SECONDS = 30.0
"""A connection is kept this long without a request, or as long as the origin announces if that is shorter."""
_CLOSE_SECONDS = 1.0


class Pool:
    """Free connections by base URL. The one that was used last is taken first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._free: dict[str, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._all_gone = asyncio.Event()
        self._is_closed = False
        self._sweep: asyncio.TimerHandle | None = None

    def take(self, key: str, now: float) -> Connection | None:
        """A connection on which a request may be sent at once; None if there is none. `now`: the monotonic clock."""
        free = self._free.get(key)
        while free:
            connection = free.pop()
            if connection.is_usable(now):
                return connection
            connection.abort()
        return None

    def give(self, key: str, connection: Connection, now: float) -> None:
        """Keep a connection for the next request, or close it if it cannot be used again."""
        free, stays = self._free.get(key), connection.stays_seconds
        if free is None:
            free = self._make_room(key)
        if stays and free is not None:
            connection.expires_at = now + (stays if stays < IDLE_SECONDS else IDLE_SECONDS)  # noqa: FURB136 - a call
            free.append(connection)
        else:
            connection.abort()

    def _make_room(self, key: str) -> list[Connection] | None:
        """Room for the first of the connections to one base URL; None when the pool is closed."""
        if self._is_closed:
            return None
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.sweep)
        free = self._free[key] = []
        return free

    def add(self, connection: Connection) -> None:
        """A connection was made."""
        self._open.add(connection)
        if self._is_closed:
            connection.abort()

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if not self._open:
            self._all_gone.set()

    def sweep(self) -> None:
        """Close what nobody took in time."""
        now = self._monotonic()
        for key, free in list(self._free.items()):
            for connection in free:
                if connection.expires_at <= now:
                    connection.abort()
            kept = [connection for connection in free if connection.expires_at]
            if kept:
                self._free[key] = kept
            else:
                del self._free[key]
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(IDLE_SECONDS, self.sweep) if self._free else None

    async def close(self) -> None:
        """Close every connection, also those in use, and wait until they are gone."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._free.clear()
        self._all_gone.clear()
        for connection in list(self._open):
            connection.abort()
        if self._open:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._all_gone.wait()
            except TimeoutError:
                return
