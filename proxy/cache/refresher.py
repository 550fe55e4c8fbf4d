"""Keeps the full document fresh in the background, so that no client waits for the origin.

Owns: the first warm-up and the refresh loop. Must not know: how a fill works, HTTP, when a refresh is due
(`proxy.core.cache.refresh_schedule` decides that).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from proxy.background import tick
from proxy.core.cache.refresh_schedule import RefreshDecision, RefreshState, decide_refresh
from proxy.core.messages import Entry
from proxy.errors import SendingRefused, SidecarError
from proxy.event_log import log
from proxy.settings import KeepWarm

TICK_SECONDS = 0.5
"""The longest pause between two decisions. A decision compares a few numbers."""
_TICKS_A_LIFETIME = 20
_SHORTEST_TICK_SECONDS = 0.05
LOAD_SECONDS = 0.1
"""How long the start waits for the document from Redis."""


class Source(Protocol):
    """Where a newer document comes from: `proxy.cache.fills.Fills`."""

    async def warm(self) -> bool:
        """Load the document from Redis. Returns whether it is fresh."""

    async def refresh(self) -> None:
        """Replace the document by a newer one. Raises a SidecarError."""

    def failures(self) -> tuple[int, float]:
        """How often the document could not be filled in a row, for whomever, and when last, by the origin's clock."""


class Local(Protocol):
    """The entries in this process: `proxy.cache.local.LocalCache`."""

    @property
    def asked_at(self) -> float:
        """When a client last wanted the full document or a part of it, by the origin's clock."""

    def document(self) -> Entry | None:
        """The full document, of whatever age."""


class Refresher:
    """One task in each process. The fill lock lets one replica refresh for all."""

    def __init__(  # noqa: PLR0913 - the last three for tests
        self,
        source: Source,
        local: Local,
        *,
        keep_warm: KeepWarm,
        fresh_seconds: float,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = tick,
    ) -> None:
        self._source = source
        self._local = local
        self._keep_warm = keep_warm
        self._fresh_seconds = fresh_seconds
        self._wall = wall
        self._jitter = jitter
        self._sleep = sleep
        self._tick_seconds = min(TICK_SECONDS, max(_SHORTEST_TICK_SECONDS, fresh_seconds / _TICKS_A_LIFETIME))
        self._drawn = jitter()
        self._failures = 0
        self._failed_at = float("-inf")
        self._hold_until = float("-inf")
        self._loading: asyncio.Task[bool] | None = None
        self.started = asyncio.Event()
        """Set when the first warm-up has ended, even if it failed."""

    async def load(self) -> None:
        """Begin to load the document from Redis, and wait a moment for it: the first client would wait anyway."""
        self._loading = asyncio.create_task(self._source.warm())
        await asyncio.wait([self._loading], timeout=LOAD_SECONDS)

    async def run(self) -> None:
        """Warm up, then refresh for as long as the process lives."""
        try:
            await self._attempt(self._warm_up)
        finally:
            self.started.set()
        while self._keep_warm is not KeepWarm.NEVER:
            await self._sleep(self._tick_seconds)
            await self.tick()

    async def _warm_up(self) -> None:
        """Load the document from Redis; ask the origin only if that one is not fresh."""
        if await (self._loading or self._source.warm()):
            log.info("warm_from_redis")
        elif self._keep_warm is not KeepWarm.NEVER:
            await self._source.refresh()

    async def tick(self) -> RefreshDecision:
        """Decide once, and refresh if it is due."""
        entry = self._local.document()
        failures, failed_at = self._source.failures()
        state = RefreshState(
            stored_at=entry.stored_at if entry is not None else None,
            fresh_seconds=self._fresh_seconds,
            wanted_at=self._local.asked_at,
            always=self._keep_warm is KeepWarm.ALWAYS,
            failures=max(self._failures, failures),
            failed_at=max(self._failed_at, failed_at),
            hold_until=self._hold_until,
        )
        decision = decide_refresh(state, self._wall(), jitter=self._drawn)
        if decision is RefreshDecision.NOW:
            await self._attempt(self._source.refresh)
        return decision

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work, and remember whether it failed. Not even a bug of ours may end the loop."""
        self._drawn = self._jitter()

        try:
            await work()
        except SidecarError as error:
            self._failed()
            if isinstance(error, SendingRefused) and error.retry_after_seconds is not None:
                self._hold_until = self._wall() + error.retry_after_seconds
            log.warning("refresh_failed", reason=error.reason, error=error.msg, failures=self._failures)
        except Exception:
            self._failed()
            log.exception("unexpected_error", failures=self._failures)
        else:
            self._failures, self._failed_at = 0, float("-inf")

    def _failed(self) -> None:
        self._failures += 1
        self._failed_at = self._wall()
