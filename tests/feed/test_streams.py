"""The streams in Redis: each change once, whatever a replica knows of the document that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from proxy.cache.documents import DocumentToStore, HeldDocument, Publisher
from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.log import Bounds, News
from proxy.core.feed.position import Mark
from proxy.core.feed.record import StoredChange
from proxy.core.messages import Entry, Lifetimes
from proxy.feed.stream import ChangeStreams, Conflict, Stored
from proxy.redis_client.connection import RedisConnection

NOW_MS = 1_785_050_100_000
KEYS = {Api.SPOT: "spot:exchangeInfo:all"}


def change(symbol: str) -> StoredChange:
    data = {"symbol": symbol, "old": "TRADING", "new": "BREAK", "api": "spot", "time": NOW_MS}
    return StoredChange("status", orjson.dumps(data))


async def store(
    streams: ChangeStreams, version: str, *symbols: str, base: str = "", now_ms: int = NOW_MS
) -> Stored | Conflict:
    return await streams.store(
        Api.SPOT,
        {"etag": f"{version}.1785050100000".encode()},
        [change(symbol) for symbol in symbols],
        base=base,
        version=version,
        expiry_ms=60_000,
        now_ms=now_ms,
    )


async def news(streams: ChangeStreams, known: Mapping[Api, Mark] | None = None, *, now_ms: int = NOW_MS) -> News | None:
    found = await streams.news(known or {}, now_ms=now_ms)
    return found[0] if found else None


def symbols(told: News | None) -> list[str]:
    return [] if told is None else [orjson.loads(each.data)["symbol"] for each in told.changes]


async def test_changes_must_begin_at_the_stored_document_and_come_once(connection: RedisConnection) -> None:
    one, other = (ChangeStreams(connection, KEYS, Bounds()) for _ in range(2))
    assert await store(one, "v1", "X") == Stored(0), "the first document changes nothing"
    begun = await news(other)
    assert begun is not None
    assert (symbols(begun), begun.is_continued) == ([], False)
    assert await store(one, "v2", "A", "B", base="v1") == Stored(2)
    assert await store(other, "v3", "A", "B", "C", base="v1") == Conflict()
    assert await store(other, "v2", "A", "B", base="v1") == Stored(0), "the same document again"
    assert await store(other, "v3", "C", base="v2") == Stored(1)
    told = await news(other, {Api.SPOT: begun.mark})
    assert told is not None
    assert (symbols(told), told.is_continued, told.mark) == (["A", "B", "C"], True, Mark(begun.mark.epoch, 3))
    assert await news(other, {Api.SPOT: told.mark}) is None


@pytest.mark.parametrize("lost", ["changes", "entry", "feed", "replaced"])
async def test_whatever_was_lost_a_new_epoch_begins(connection: RedisConnection, lost: str) -> None:
    streams = ChangeStreams(connection, KEYS, Bounds())
    await store(streams, "v1")
    await store(streams, "v2", "A", base="v1")
    first = await news(streams)
    assert first is not None
    key, client = f"test:{KEYS[Api.SPOT]}", connection.client
    if lost == "changes":
        await client.delete(f"test:changes:{{{key}}}")
    elif lost == "entry":
        await client.delete(key)
    elif lost == "feed":
        await client.hdel(key, "feed")  # as a version without the feed leaves it
    else:
        await client.set(key, "something else")
    assert await store(streams, "v3", "B", base="v2", now_ms=NOW_MS + 1) == Stored(0)
    again = await news(streams, {Api.SPOT: first.mark})
    assert again is not None
    assert (symbols(again), again.is_continued) == ([], False)
    assert again.mark.epoch > first.mark.epoch


async def test_what_is_beyond_the_bounds_is_forgotten_and_a_gap_is_noticed(connection: RedisConnection) -> None:
    streams = ChangeStreams(connection, KEYS, Bounds(changes=3, seconds=100.0))
    await store(streams, "v1")
    known = await news(streams)
    assert known is not None
    await store(streams, "v2", *"ABCDE", base="v1")
    told = await news(streams, {Api.SPOT: known.mark})
    assert told is not None
    assert (symbols(told), told.mark.number, told.is_continued) == (["C", "D", "E"], 5, False)
    await store(streams, "v3", "F", base="v2", now_ms=NOW_MS + 101_000)
    assert symbols(await news(ChangeStreams(connection, KEYS, Bounds()), now_ms=NOW_MS + 101_000)) == ["F"]


def held(version: str, **statuses: str) -> HeldDocument:
    rows = [{"symbol": name, "status": status} for name, status in statuses.items()]
    body = orjson.dumps({"serverTime": NOW_MS, "rateLimits": [], "symbols": rows})
    entry = Entry(
        status=200,
        content_type="application/json",
        body=body,
        gzip=None,
        etag=version,
        stored_at=NOW_MS / 1000,
        lifetimes=Lifetimes(fresh_seconds=60.0),
    )
    return HeldDocument(entry)


class OneOfMany:
    """A store in which another replica has stored a newer document."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.stored: list[DocumentToStore] = []

    async def put(self, document: DocumentToStore) -> int | None:
        if document.base != self._version:
            return None
        self.stored.append(document)
        return len(document.changes)


class Counted:
    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []

    def told(self, api: str, kind: str) -> None:
        self.changes.append((api, kind))


async def test_who_compared_with_an_old_document_compares_again_with_the_stored_one() -> None:
    there, counted = held("v2", A="BREAK", B="TRADING"), Counted()
    store = OneOfMany("v2")

    async def read_stored() -> Entry | None:
        return there.entry

    old, new = held("v1", A="TRADING", B="TRADING"), held("v3", A="BREAK", B="HALT")
    assert await Publisher(store, counted).publish(Api.SPOT, new, old, read_stored=read_stored)
    (document,) = store.stored
    told: list[Any] = [orjson.loads(each.data) for each in document.changes]
    assert [(each["symbol"], each["old"], each["new"]) for each in told] == [("B", "TRADING", "HALT")]
    assert counted.changes == [("spot", "status")]


async def test_where_others_are_always_faster_the_document_is_stored_without_changes() -> None:
    async def read_stored() -> Entry | None:
        return held("v1", A="TRADING").entry

    publisher = Publisher(OneOfMany("never"), Counted())
    assert not await publisher.publish(Api.SPOT, held("v3", A="BREAK"), None, read_stored=read_stored)
