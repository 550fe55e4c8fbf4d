"""The selections that are made before a new document is used."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field, replace

import orjson
import pytest

from proxy.bodies import COMPRESS_BYTES, compress, entity_tag, pack
from proxy.cache.local import SELECTION, LocalCache
from proxy.cache.selections import MAX_RECENT, RecentSelections, SmallSelection
from proxy.core.document.parsed import server_time_of
from proxy.core.query.canonical import CanonicalQuery
from tests.cache.test_local import BARE, ONE, Counted, document, entry_of, make, query

WITHOUT_SETS = query("showPermissionSets=false")
UNKNOWN = query("symbol=UNKNOWN")


def one(number: int) -> CanonicalQuery:
    return query(f"symbol=S{number}")


@dataclass(slots=True)
class Work:
    """The bodies that were compressed."""

    bodies: list[bytes] = field(default_factory=list)

    async def compress(self, body: bytes) -> bytes | None:
        self.bodies.append(body)
        return await compress(body)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    counted = Work()
    monkeypatch.setattr("proxy.cache.selections.compress", counted.compress)
    return counted


def kept(local: LocalCache) -> list[str]:
    return [key.removeprefix(SELECTION) for key, _ in local.memory.items() if key.startswith(SELECTION)]


async def test_those_asked_before_need_no_work_after_a_new_document(work: Work) -> None:
    local = make(Counted())
    await local.put(BARE, await document(50))
    asked = (ONE, WITHOUT_SETS, query("permissions=SPOT"), query("symbolStatus=TRADING", time_unit="MICROSECOND"))
    for each in asked:
        await local.select(each)
    await local.put(BARE, await document(51))
    work.bodies.clear()
    for each in asked:
        entry = await local.select(each)
        assert entry is not None
        assert len(orjson.loads(entry.body)["symbols"]) == (1 if each is ONE else 51)
    assert work.bodies == []
    assert local.loaded is not None
    assert await local.select(query("permissions=SPOT")) is local.loaded.entry


async def test_a_document_whose_time_alone_changed_is_served_with_its_own_time(work: Work) -> None:
    local = make(Counted())
    old = await document(5)
    await local.put(BARE, old)
    before = await local.select(ONE)
    body = old.body.replace(b"1800000000000", b"1800000060000")
    await local.put(BARE, replace(await entry_of(body), stored_at=old.stored_at + 60))
    work.bodies.clear()
    after = await local.select(ONE)
    assert before is not None
    assert after is not None
    assert (after.validator, after.etag != before.etag) == (before.validator, True)
    assert (orjson.loads(after.body)["serverTime"], after.stored_at) == (1_800_000_060_000, old.stored_at + 60)
    assert work.bodies == []


async def test_hits_go_on_with_the_old_document_until_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    local = make(Counted())
    old = await document(50)
    await local.put(BARE, old)
    before = await local.select(WITHOUT_SETS)
    making, go_on = asyncio.Event(), asyncio.Event()

    async def slow(body: bytes) -> bytes | None:
        making.set()
        await go_on.wait()
        return await compress(body)

    monkeypatch.setattr("proxy.cache.selections.compress", slow)
    adoption = asyncio.create_task(local.put(BARE, await document(51)))
    async with asyncio.timeout(5.0):
        await making.wait()
    assert (local.document(), await local.select(WITHOUT_SETS)) == (old, before)
    go_on.set()
    await adoption
    assert await local.select(WITHOUT_SETS) is not before


async def test_the_last_hundred_are_made_and_the_last_one_is_dropped_last(work: Work) -> None:
    local = make(Counted())
    await local.put(BARE, await document(150))
    for number in range(MAX_RECENT + 20):
        await local.select(one(number))
    await local.select(one(20))
    await local.put(BARE, await document(151))
    assert kept(local) == [one(number).key for number in (*range(21, MAX_RECENT + 20), 20)]


async def test_they_take_no_more_memory_than_is_free_and_the_last_ones_go_first(work: Work) -> None:
    local = make(Counted())
    await local.put(BARE, await document(50))
    for number in range(4):
        await local.select(one(number))
    size_bytes = local.memory.bytes // 4
    local.memory.max_bytes = 6 * size_bytes + size_bytes // 2
    await local.put(BARE, await document(51))
    assert kept(local) == [one(2).key, one(3).key], "there was room for two beside the old four"
    local.memory.max_bytes = local.memory.bytes
    await local.put(BARE, await document(52))
    assert kept(local) == []


async def test_what_the_document_does_not_prove_is_not_tried_again(work: Work) -> None:
    local = make(Counted())
    await local.put(BARE, await document(5))
    for _ in range(3):
        assert await local.select(UNKNOWN) is None
    await local.put(BARE, await document(6))
    assert kept(local) == []


async def test_a_symbol_that_is_gone_has_no_selection(work: Work) -> None:
    local = make(Counted())
    await local.put(BARE, await document(30))
    await local.select(one(0))
    await local.put(BARE, await document(30, first=1))
    assert kept(local) == []
    assert await local.select(one(0)) is None


async def test_a_new_document_does_not_wait_for_many_slow_ones(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    local = make(Counted())
    await local.put(BARE, await document(5))
    for number in range(5):
        await local.select(one(number))
    monkeypatch.setattr("proxy.cache.selections.PREPARE_SECONDS", 0.0)
    await local.put(BARE, await document(6))
    assert kept(local) == []


def test_each_query_counts_once_and_the_last_one_comes_first() -> None:
    recent = RecentSelections(max_queries=2)
    for asked in (one(1), one(2), one(1), one(3), one(1)):
        recent.note(asked)
    assert recent.queries() == (one(1), one(3))


async def test_an_answer_of_few_symbols_keeps_no_bytes_but_its_gzip_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[bytes] = []

    def counted(body: bytes) -> bytes | None:
        packed.append(body)
        return pack(body)

    monkeypatch.setattr("proxy.cache.selections.pack", counted)
    local = make(Counted())
    await local.put(BARE, await document(50))
    entry = await local.select(query("symbols=[" + ",".join(f'"S{number}"' for number in range(8)) + "]"))
    assert isinstance(entry, SmallSelection)
    assert len(orjson.loads(entry.body)["symbols"]) == 8
    assert packed == []
    assert gzip.decompress(entry.gzip or b"") == entry.body
    assert entry.gzip is entry.gzip
    assert packed == [entry.body]
    assert len(entry.gzip or b"") < len(entry.body) < entry.size_bytes
    assert entry.etag == await entity_tag(entry.body, apart=server_time_of(entry.body))
    tiny = await local.select(ONE)
    assert tiny is not None
    assert (tiny.gzip is None) is (len(tiny.body) < COMPRESS_BYTES)
