"""Keeps the documents new that readers of the feed wait for.

Owns: which documents are wanted because somebody reads the feed. Must not know: how a fill works, HTTP.

The document of spot is refreshed by the refresher, as for a client that asks for it. Nobody refreshes those of the
futures: they are filled here when they are stale, for all replicas together.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.background import tick
from proxy.cache.documents import DOCUMENTS
from proxy.cache.fills import Fills
from proxy.cache.local import LocalCache
from proxy.core.cache.freshness import Freshness, decide
from proxy.core.endpoints.endpoint import Api
from proxy.feed.hub import Hub
from proxy.ports import Clock

LOOK_SECONDS = 2.0


class FeedDemand:
    """One task in each process."""

    def __init__(self, hub: Hub, fills: Fills, local: LocalCache, clock: Clock, *, apis: Iterable[Api]) -> None:
        """`apis`: those whose documents may be asked for."""
        self._hub = hub
        self._fills = fills
        self._local = local
        self._clock = clock
        self._apis = frozenset(apis)

    async def run(self) -> None:
        """Look for as long as the process lives."""
        while True:
            await tick(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Ask for what is wanted."""
        for api in self._hub.wanted() & self._apis:
            if api is Api.SPOT:
                self._local.asked_at = self._clock.origin()
                continue
            query = DOCUMENTS[api]
            entry = self._local.get(query)
            if entry is None or decide(entry, self._clock.origin()) is not Freshness.FRESH:
                self._fills.fill_in_background(query, short_lived=False)
