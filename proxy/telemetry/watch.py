"""Notices what changed in the state of this gateway, and tells the journal.

Owns: what counts as a change, and how often it is looked for. Must not know: the sentences, who reads them. A look
only reads what this process knows. So it also notices a block that another replica met, and the end of a block, which
nobody announces.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping

from msgspec import Struct, field

from proxy.background import tick
from proxy.core.document.changes import ChangedSymbols
from proxy.core.endpoints.endpoint import Api
from proxy.core.quota.block import Block
from proxy.origin.client import Upstream
from proxy.quota.pools import PoolLedgers
from proxy.redis_client.connection import RedisConnection
from proxy.redis_client.refusals import Part
from proxy.telemetry.events import (
    Event,
    Journal,
    blocked,
    document_events,
    lifted,
    limits_changed,
    origin_changed,
    redis_changed,
)
from proxy.telemetry.metrics import Metrics

LOOK_SECONDS = 1.0
SAME_END_SECONDS = 2.0
"""Ends of one block that differ less are the same: Redis counts it down by its own clock."""


class State(Struct, frozen=True):
    """What is compared from one look to the next. The default: nothing is known, all is well."""

    blocks: Mapping[str, Block] = field(default_factory=dict)
    """By pool."""
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By pool and window."""
    cache_shared: bool = True
    quota_shared: bool = True
    lost_apis: frozenset[str] = frozenset()
    """The APIs of which no host answers."""


def differences(before: State, after: State) -> Iterator[Event]:
    """The events between two looks."""
    for pool, block in after.blocks.items():
        old = before.blocks.get(pool)
        if old is None or old.reason is not block.reason or abs(old.until - block.until) > SAME_END_SECONDS:
            yield blocked(pool, block)
    for pool, block in before.blocks.items():
        if pool not in after.blocks:
            yield lifted(pool, block)
    for pool, limits in after.limits.items():
        if pool in before.limits and before.limits[pool] != limits:
            yield limits_changed(pool, before.limits[pool], limits)
    if (before.cache_shared, before.quota_shared) != (after.cache_shared, after.quota_shared):
        yield redis_changed(cache=after.cache_shared, quota=after.quota_shared)
    for api in sorted(before.lost_apis ^ after.lost_apis):
        yield origin_changed(api, is_reached=api in before.lost_apis)


class Watch:
    """Looks at the parts, and tells what changed since the last look."""

    def __init__(
        self,
        journal: Journal,
        *,
        ledgers: PoolLedgers,
        upstreams: Mapping[Api, Upstream],
        connection: RedisConnection | None,
        sleep: Callable[[float], Awaitable[None]] = tick,
    ) -> None:
        self._journal = journal
        self._ledgers = ledgers
        self._upstreams = upstreams
        self._connection = connection
        self._sleep = sleep
        self._seen = State()

    async def run(self) -> None:
        """Look once a second, for as long as the process lives."""
        while True:
            self.look()
            await self._sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Tell what changed since the last look."""
        before, self._seen = self._seen, self._state()
        for event in differences(before, self._seen):
            self._journal.tell(event)

    def _state(self) -> State:
        views = dict(self._ledgers.views())
        return State(
            blocks={pool: view.block for pool, view in views.items() if view.block is not None},
            limits={pool: {window.name: window.limit for window in view.windows} for pool, view in views.items()},
            cache_shared=self._connection is None or self._connection.shares(Part.CACHE),
            quota_shared=self._connection is None or self._connection.shares(Part.QUOTA),
            lost_apis=frozenset(api.value for api, upstream in self._upstreams.items() if _is_lost(upstream)),
        )


def _is_lost(upstream: Upstream) -> bool:
    health = upstream.health()
    return bool(health) and not any(health.values())


class DocumentObserver(Struct, frozen=True):
    """Counts the full documents, and tells the journal what each changed."""

    metrics: Metrics
    journal: Journal
    api: str

    def adopted(self, changes: ChangedSymbols | None) -> None:
        """A new full document is in use. None: there was no document before it."""
        self.metrics.adopted(changes)
        if changes is not None:
            for event in document_events(changes, api=self.api):
                self.journal.tell(event)

    def quarantined(self, reason: str) -> None:
        """A full document is suspicious."""
        self.metrics.quarantined(reason)
