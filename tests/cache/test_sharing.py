"""What becomes of an entry once a process holds it: the bound of history in Redis."""

from __future__ import annotations

from dataclasses import replace

from proxy.cache.documents import DocumentToStore, Publisher
from proxy.cache.local import LocalCache
from proxy.cache.lru import MemoryStore
from proxy.cache.null import NullStore
from proxy.cache.sharing import Sharing
from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.messages import Entry, Lifetimes
from proxy.core.query.canonical import CanonicalQuery
from tests.cache.entries import entry
from tests.core.query.test_market import query

HISTORY = Lifetimes(fresh_seconds=600.0)
CANDLES = query("klines", "symbol=BTCUSDT&interval=1m&endTime=1500000000000")


class Nowhere:
    """Stores no document and counts no change."""

    async def put(self, document: DocumentToStore) -> int | None:
        return 0

    def told(self, api: str, kind: str) -> None:
        pass

    def adopted(self, changes: object) -> None:
        pass

    def quarantined(self, reason: str) -> None:
        pass


class Keys(NullStore, frozen=True):
    """Remembers the keys under which something was stored."""

    put_keys: list[str]

    async def put(self, key: str, entry: Entry) -> None:
        self.put_keys.append(key)


async def test_history_beyond_its_bound_stays_in_this_process() -> None:
    nowhere = Nowhere()
    document = CanonicalQuery(endpoint=ENDPOINTS["/api/v3/exchangeInfo"])
    local = LocalCache(MemoryStore(1 << 20), document=document, use_snapshot=True, observer=nowhere)
    store, answer = Keys([]), replace(entry(), lifetimes=HISTORY)
    sharing = Sharing(store, Publisher(nowhere, nowhere), history=HISTORY, history_bytes=2 * answer.size_bytes)
    for key in ("first", "second", "third"):
        await sharing.share(CANDLES, key, answer, before=None, local=local)
    await sharing.share(CANDLES, "no history", entry(), before=None, local=local)
    assert store.put_keys == ["first", "second", "no history"]
