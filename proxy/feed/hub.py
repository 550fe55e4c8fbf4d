"""The readers of the feed in this process, and the task that brings them what is new.

Owns: the registry of readers, when they are woken, the polls of the source. Must not know: HTTP, Redis.

All readers share one log. A poll a second is enough, because documents are replaced once a minute; without readers
there is none. Whoever stores a document in this process asks for a poll at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.log import ChangeLog, News
from proxy.core.feed.position import FEED_APIS, Mark
from proxy.errors import RedisAway
from proxy.event_log import log

POLL_SECONDS = 1.0
_WOKEN_AT_ONCE = 20
"""Readers that are woken before other tasks run: writing to them takes about a millisecond."""


class Source(Protocol):
    """Where changes come from."""

    async def news(self, known: Mapping[Api, Mark], *, now_ms: int) -> Sequence[News]:
        """What is new since these marks. Raises RedisAway."""


class NullSource:
    """Of a process without Redis: what is new is put into the log by whoever stores a document."""

    async def news(self, known: Mapping[Api, Mark], *, now_ms: int) -> Sequence[News]:
        """Nothing."""
        return ()


class Reader:
    """One reader. `wake` is set when something is new, or when it must end."""

    __slots__ = ("abort", "apis", "has_left", "is_blocked", "wake")

    def __init__(self, apis: Collection[Api], abort: Callable[[], None]) -> None:
        """`apis`: those whose changes it gets. `abort` closes its connection."""
        self.apis = apis
        self.abort = abort
        self.wake = asyncio.Event()
        self.has_left = False
        """Whether the client is gone."""
        self.is_blocked = False
        """Whether a write waits for the client to read."""

    def leave(self) -> None:
        """The client is gone."""
        self.has_left = True
        self.wake.set()


class Hub:
    """The feed of one process."""

    def __init__(self, changes: ChangeLog, source: Source, *, now: Callable[[], float], max_readers: int) -> None:
        """`now`: the origin's clock."""
        self.log = changes
        self.max_readers = max_readers
        self.is_closed = False
        """Whether every reader must end."""
        self._source = source
        self._now = now
        self._readers: set[Reader] = set()
        self._polling = asyncio.Lock()
        self._polls = 0
        """How many polls have begun."""
        self._due = asyncio.Event()
        self._is_current = False
        """Whether the last poll succeeded."""

    @property
    def readers(self) -> int:
        """How many there are."""
        return len(self._readers)

    @property
    def is_full(self) -> bool:
        """Whether no more readers may come."""
        return len(self._readers) >= self.max_readers

    def wanted(self) -> set[Api]:
        """The APIs that somebody reads."""
        return {api for reader in self._readers for api in reader.apis}

    def join(self, reader: Reader) -> None:
        """Register a reader; `leave` must follow."""
        self._readers.add(reader)
        self._due.set()

    def leave(self, reader: Reader) -> None:
        """The reader has ended."""
        self._readers.discard(reader)

    def poll_soon(self) -> None:
        """Something was stored: poll at once, if anybody reads."""
        self._due.set()

    async def sync(self) -> bool:
        """Make the log as new as the source is now. Returns whether that was possible.

        Many may call it at a time: a poll that began after a call serves it.
        """
        begun = self._polls
        async with self._polling:
            if self._polls == begun:
                self._polls += 1
                self._is_current = await self._poll()
            return self._is_current

    async def run(self) -> None:
        """Poll for as long as the process lives."""
        while True:
            await self._due.wait()
            self._due.clear()
            if not self._readers:
                continue
            await self.sync()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._due.wait()
            self._due.set()

    def close(self) -> None:
        """End every reader, and every one that comes."""
        self.is_closed = True
        for reader in tuple(self._readers):
            reader.wake.set()
            if reader.is_blocked:
                reader.abort()

    async def put(self, news: Sequence[News]) -> None:
        """Add to the log, and wake the readers. Changes that cannot be read are as good as lost."""
        try:
            added = self.log.add(news, now=self._now())
        except ValueError:
            log.warning("changes_unreadable", apis=[each.api.value for each in news])
            gaps = [News(each.api, each.mark, is_continued=False) for each in news]
            added = self.log.add(gaps, now=self._now())
        if added:
            await self._wake()

    async def _poll(self) -> bool:
        marks = {api: self.log.mark_of(api) for api in FEED_APIS}
        try:
            news = await self._source.news(marks, now_ms=round(self._now() * 1000))
        except RedisAway:
            return False
        await self.put(news)
        return True

    async def _wake(self) -> None:
        """Wake some readers at a time, so that requests are answered in between."""
        for count, reader in enumerate(tuple(self._readers), 1):
            reader.wake.set()
            if count % _WOKEN_AT_ONCE == 0:
                await asyncio.sleep(0)
