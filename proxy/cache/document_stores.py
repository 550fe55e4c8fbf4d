"""Where documents and their changes are stored: in Redis for all replicas, or in this process.

Owns: both stores. Must not know: how changes are found (`proxy.cache.documents`), how streams work.
"""

from __future__ import annotations

import math

from proxy.cache import entry_codec
from proxy.cache.documents import DocumentToStore
from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.log import News
from proxy.core.feed.position import Mark
from proxy.feed.hub import Hub
from proxy.feed.stream import ChangeStreams, Conflict


class SharedDocuments:
    """In Redis, in one transaction."""

    def __init__(self, streams: ChangeStreams, hub: Hub) -> None:
        self._streams = streams
        self._hub = hub

    async def put(self, document: DocumentToStore) -> int | None:
        """See DocumentStore."""
        entry = document.entry
        result = await self._streams.store(
            document.api,
            entry_codec.encode(entry),
            document.changes,
            base=document.base,
            version=entry.validator,
            expiry_ms=max(1, math.ceil(entry.lifetimes.horizon_seconds * 1000)),
            now_ms=document.now_ms,
        )
        if isinstance(result, Conflict):
            return None
        self._hub.poll_soon()
        return result.told


class LocalDocuments:
    """In the log of this process: there is no other."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._versions: dict[Api, str] = {}

    async def put(self, document: DocumentToStore) -> int | None:
        """See DocumentStore. A document that this process has forgotten cannot be compared: the feed begins anew."""
        api, mark = document.api, self._hub.log.mark_of(document.api)
        before = self._versions.get(api, document.base)
        self._versions[api] = document.entry.validator
        if before != document.base:
            epoch = max(mark.epoch + 1, document.now_ms)
            await self._hub.put([News(api, Mark(epoch, 0), is_continued=False)])
            return 0
        if document.changes:
            last = Mark(mark.epoch, mark.number + len(document.changes))
            await self._hub.put([News(api, last, document.changes)])
        return len(document.changes)
