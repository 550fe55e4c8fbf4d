"""What a process holds: the full document, what is selected from it, and other entries."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from proxy.bodies import entity_tag
from proxy.cache import local as local_module
from proxy.cache.local import SELECTION, EntrySource, LocalCache
from proxy.cache.lru import MemoryStore
from proxy.core.document.changes import ChangedSymbols
from proxy.core.document.parsed import Document, parse_document, server_time_of
from proxy.core.document.snapshot import Snapshot
from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.messages import ClientRequest, Entry, Lifetimes
from proxy.core.query.canonical import CanonicalQuery, canonicalize
from proxy.errors import BadAnswer

NOW = 1_800_000_000.0
INFO = "/api/v3/exchangeInfo"
LIFETIMES = Lifetimes(fresh_seconds=60, stale_while_revalidate_seconds=60, stale_if_error_seconds=600)


def query(raw_query: str = "", path: str = INFO, **headers: Any) -> CanonicalQuery:
    read = canonicalize(ENDPOINTS[path], ClientRequest(method="GET", path=path, raw_query=raw_query, **headers))
    assert isinstance(read, CanonicalQuery)
    return read


BARE = query()
ONE = query("symbol=S1")


def body_of(names: list[str], *, status: str = "TRADING", odd: bool = False) -> bytes:
    """A full document of these symbols; an odd one is good and cannot be cut into symbols."""
    symbols: list[object] = [
        {"symbol": name, "status": status, "permissions": [], "permissionSets": [["SPOT"]]} for name in names
    ]
    if odd:
        symbols.append({"symbol": "ODD"})
    return orjson.dumps(
        {
            "timezone": "UTC",
            "serverTime": 1_800_000_000_000,
            "rateLimits": [],
            "exchangeFilters": [],
            "symbols": symbols,
        }
    )


def names_in(entry: Entry | None) -> list[str]:
    assert entry is not None
    return [symbol["symbol"] for symbol in orjson.loads(entry.body)["symbols"]]


async def entry_of(body: bytes, *, age_seconds: float = 0.0, status: int = 200) -> Entry:
    return Entry(
        status=status,
        content_type="application/json;charset=UTF-8",
        body=body,
        gzip=None,
        etag=await entity_tag(body),
        stored_at=NOW - age_seconds,
        lifetimes=LIFETIMES,
    )


def named(count: int, *, first: int = 0) -> list[str]:
    return [f"S{number}" for number in range(first, first + count)]


async def document(count: int, *, first: int = 0, odd: bool = False, age_seconds: float = 0.0) -> Entry:
    return await entry_of(body_of(named(count, first=first), odd=odd), age_seconds=age_seconds)


@dataclass(slots=True)
class Counted:
    """Everything that the cache told."""

    adopted_with: list[ChangedSymbols | None] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def adopted(self, changes: ChangedSymbols | None) -> None:
        self.adopted_with.append(changes)

    def quarantined(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def local(counted: Counted) -> LocalCache:
    return make(counted)


def make(counted: Counted, *, use_snapshot: bool = True) -> LocalCache:
    return LocalCache(MemoryStore(1 << 20), document=BARE, use_snapshot=use_snapshot, observer=counted)


# --- Keeping.


async def test_an_answer_is_kept_under_its_query(local: LocalCache) -> None:
    rules = query("symbol=S1", path="/api/v3/executionRules")
    entry = await entry_of(b"{}")
    await local.put(rules, entry)
    assert local.get(rules) is entry
    assert local.get(query("symbol=S2", path="/api/v3/executionRules")) is None


async def test_an_entry_is_held_until_another_takes_its_place(local: LocalCache) -> None:
    rules = query("symbol=S1", path="/api/v3/executionRules")
    old, new = await entry_of(b"old"), await entry_of(b"new")
    await local.put(rules, old)
    version, documents = local.version, local.documents
    assert local.holds(rules.key, old)
    assert not local.holds("another", old)
    await local.put(rules, new)
    assert (local.holds(rules.key, old), local.holds(rules.key, new)) == (False, True)
    assert (local.version > version, local.documents == documents) == (True, True)


async def test_with_another_document_nothing_of_the_one_before_is_held(local: LocalCache) -> None:
    old = await document(5)
    await local.put(BARE, old)
    selected = await local.select(ONE)
    assert selected is not None
    assert (local.holds(BARE.key, old), local.holds(ONE.key, selected)) == (True, True)
    documents = local.documents
    await local.put(BARE, await document(5))  # the same bytes, from later
    assert (local.holds(BARE.key, old), local.holds(ONE.key, selected)) == (False, False)
    assert local.documents > documents


async def test_the_full_document_is_held_apart_and_nothing_evicts_it(local: LocalCache) -> None:
    entry = await document(5)
    await local.put(BARE, entry)
    for number in range(200):
        await local.put(query(f"symbol=X{number}"), await entry_of(bytes(50_000)))
    assert local.get(BARE) is entry
    assert local.memory.bytes <= 1 << 20


@pytest.mark.no_cover
async def test_answers_and_selections_share_one_bound(local: LocalCache) -> None:
    await local.put(BARE, await document(2000))
    for number in range(100):
        await local.put(query(f"symbol=X{number}"), await entry_of(bytes(20_000)))
        names = ",".join(f'"S{place}"' for place in range(number, number + 200))
        assert await local.select(query(f"symbols=[{names}]")) is not None
        assert local.memory.bytes <= 1 << 20
    selections, selected_bytes = local.memory.counted(SELECTION)
    assert 0 < selections < len(local.memory)
    assert 0 < selected_bytes < local.memory.bytes


async def test_a_refusal_of_the_bare_query_is_no_document(local: LocalCache) -> None:
    loaded = await document(5)
    await local.put(BARE, loaded)
    refusal = await entry_of(b'{"code":-1,"msg":"m"}', status=400)
    await local.put(BARE, refusal)
    assert (local.get(BARE), local.document()) == (refusal, loaded)
    await local.put(BARE, loaded)
    assert local.get(BARE) == loaded


async def test_without_snapshots_the_document_is_an_entry_like_others(counted: Counted) -> None:
    local = make(counted, use_snapshot=False)
    entry = await document(5)
    await local.put(BARE, entry)
    assert local.get(BARE) is entry
    assert (local.loaded, counted.adopted_with) == (None, [])
    assert not local.selects(ONE)
    assert await local.select(ONE) is None


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (BARE, True),
        (ONE, True),
        (query("permissions=SPOT"), True),
        (query("symbol=S1", path="/api/v3/executionRules"), False),
        (query(accept="application/sbe", sbe_schema="3:5"), False),
    ],
)
def test_the_document_may_answer_exchange_info_in_json(
    local: LocalCache, asked: CanonicalQuery, expected: bool
) -> None:
    assert local.selects(asked) is expected


# --- Selecting.


async def test_nothing_is_selected_before_there_is_a_document(local: LocalCache) -> None:
    assert await local.select(ONE) is None


async def test_a_selection_is_as_old_as_the_document_and_made_once(local: LocalCache) -> None:
    loaded = replace(await document(50, age_seconds=30), content_type="application/json")
    await local.put(BARE, loaded)
    without_sets = query("showPermissionSets=false")
    selected = await local.select(without_sets)
    assert selected is not None
    assert names_in(selected) == named(50)
    assert (selected.stored_at, selected.lifetimes, selected.content_type, selected.status) == (
        loaded.stored_at,
        loaded.lifetimes,
        loaded.content_type,
        200,
    )
    assert selected.gzip is not None
    assert gzip.decompress(selected.gzip) == selected.body
    assert selected.etag == await entity_tag(selected.body, apart=server_time_of(selected.body))
    assert selected.etag.endswith(".1800000000000")
    assert await local.select(without_sets) is selected


async def test_a_selection_of_everything_is_the_document_itself_and_no_copy(local: LocalCache) -> None:
    loaded = await document(50)
    await local.put(BARE, loaded)
    assert await local.select(query("permissions=SPOT")) is loaded
    assert local.memory.bytes < loaded.size_bytes


async def test_many_who_ask_for_the_same_large_selection_get_one(
    local: LocalCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    await local.put(BARE, await document(50))
    compressed: list[bytes] = []

    async def slow(body: bytes) -> bytes | None:
        compressed.append(body)
        await asyncio.sleep(0)
        return None

    monkeypatch.setattr("proxy.cache.selections.compress", slow)
    selected = await asyncio.gather(*(local.select(query("showPermissionSets=false")) for _ in range(20)))
    assert len(compressed) == 1
    assert len({id(entry) for entry in selected}) == 1


async def test_what_the_document_does_not_prove_is_not_selected(local: LocalCache) -> None:
    await local.put(BARE, await document(5))
    assert await local.select(query("symbol=UNKNOWN")) is None


async def test_a_new_document_replaces_the_selections(local: LocalCache) -> None:
    await local.put(BARE, await document(5))
    old = await local.select(ONE)
    await local.put(BARE, await entry_of(body_of(named(5), status="HALT")))
    assert local.memory.counted(SELECTION)[0] == 1, "the new one is made already"
    new = await local.select(ONE)
    assert old is not None
    assert new is not None
    assert (old.body != new.body, b"HALT" in new.body) == (True, True)


@pytest.mark.parametrize("asked", [ONE, query("showPermissionSets=false")])
async def test_a_selection_that_takes_until_a_new_document_is_there_is_made_of_the_new_one(
    local: LocalCache, monkeypatch: pytest.MonkeyPatch, asked: CanonicalQuery
) -> None:
    await local.put(BARE, await document(5))
    newer = await entry_of(body_of(named(5), status="HALT"))

    async def slow(body: bytes, *, apart: slice | None = None) -> str:
        monkeypatch.undo()
        await local.put(BARE, newer)
        return await entity_tag(body, apart=apart)

    monkeypatch.setattr("proxy.cache.selections.entity_tag", slow)
    late = await local.select(asked)
    assert late is not None
    assert b"HALT" in late.body
    assert await local.select(asked) is late


# --- Adoption.


async def test_the_first_document_has_nothing_to_be_compared_with(local: LocalCache, counted: Counted) -> None:
    await local.put(BARE, await document(5))
    assert counted.adopted_with == [None]
    assert local.loaded is not None
    assert local.loaded.snapshot is not None
    assert local.loaded.snapshot.symbols_count == 5


async def test_what_changed_is_told(local: LocalCache, counted: Counted) -> None:
    await local.put(BARE, await document(30))
    await local.put(BARE, await document(30, first=1))
    assert counted.adopted_with[1] == ChangedSymbols(("S30",), ("S0",), ())


async def test_the_same_document_again_is_only_younger(local: LocalCache, counted: Counted) -> None:
    await local.put(BARE, await document(5, age_seconds=50))
    before = local.loaded
    await local.select(ONE)
    await local.put(BARE, await document(5))
    assert local.loaded is not None
    assert before is not None
    assert local.loaded.snapshot is before.snapshot
    assert local.loaded.entry.stored_at == NOW
    assert counted.adopted_with == [None]
    selected = await local.select(ONE)
    assert selected is not None
    assert selected.stored_at == NOW


async def test_hits_go_on_with_the_old_document_until_the_new_one_is_indexed(
    local: LocalCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = await document(5), await document(6)
    await local.put(BARE, old)
    indexing, go_on = asyncio.Event(), asyncio.Event()
    real = local_module._indexed

    async def slow(entry: Entry, proven: Document | None) -> Snapshot | None:
        indexing.set()
        await go_on.wait()
        return await real(entry, proven)

    monkeypatch.setattr("proxy.cache.local._indexed", slow)
    adoption = asyncio.create_task(local.put(BARE, new))
    await indexing.wait()
    assert local.get(BARE) is old
    assert names_in(await local.select(ONE)) == ["S1"]
    go_on.set()
    await adoption
    assert local.get(BARE) is new


@pytest.mark.no_cover
async def test_other_work_runs_while_a_large_document_is_indexed(local: LocalCache) -> None:
    turns = 0

    async def other_work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    entry = await document(20_000)
    task = asyncio.create_task(other_work())
    await local.put(BARE, entry)
    task.cancel()
    assert turns > 10


async def test_two_documents_at_once_are_adopted_one_after_the_other(local: LocalCache, counted: Counted) -> None:
    one, two = await document(30), await document(30, first=1)
    await asyncio.gather(local.put(BARE, one), local.put(BARE, two))
    assert local.get(BARE) is two
    assert counted.adopted_with == [None, ChangedSymbols(("S30",), ("S0",), ())]


# --- Suspicious documents.


async def quarantined(local: LocalCache, entry: Entry) -> None:
    before = local.loaded
    with pytest.raises(BadAnswer, match="lost too many symbols"):
        await local.put(BARE, entry)
    assert local.loaded is before


async def test_a_document_that_lost_much_is_kept_aside_and_the_old_one_goes_on(
    local: LocalCache, counted: Counted
) -> None:
    await local.put(BARE, await document(100))
    await quarantined(local, await document(40))
    assert counted.reasons == ["half-missing"]
    assert names_in(await local.select(query("symbol=S77"))) == ["S77"]


async def test_a_document_without_symbols_does_not_take_the_place_of_one_with_symbols(
    local: LocalCache, counted: Counted
) -> None:
    await local.put(BARE, await document(100))
    await quarantined(local, await document(0))
    assert counted.reasons == ["not-indexed"]
    await quarantined(local, await document(40))
    assert counted.reasons == ["not-indexed", "half-missing"]


async def test_symbols_that_were_trading_and_are_gone_are_suspicious(local: LocalCache, counted: Counted) -> None:
    await local.put(BARE, await document(100))
    await quarantined(local, await document(90))
    assert counted.reasons == ["trading-missing"]


async def test_a_second_document_that_agrees_with_the_one_kept_aside_confirms_it(
    local: LocalCache, counted: Counted
) -> None:
    await local.put(BARE, await document(100))
    await quarantined(local, await document(40))
    confirming = await document(41)
    await local.put(BARE, confirming)
    assert local.get(BARE) is confirming
    assert counted.adopted_with[-1] == ChangedSymbols((), tuple(named(59, first=41)), ())


async def test_the_same_bytes_a_second_time_confirm_too(local: LocalCache) -> None:
    await local.put(BARE, await document(100))
    await quarantined(local, await document(40))
    again = await document(40)
    await local.put(BARE, again)
    assert local.get(BARE) is again


async def test_a_good_document_in_between_makes_suspicion_begin_anew(local: LocalCache) -> None:
    await local.put(BARE, await document(100))
    await quarantined(local, await document(40))
    await local.put(BARE, await document(101))
    await quarantined(local, await document(40))


async def test_two_suspicious_documents_that_do_not_agree_confirm_nothing(local: LocalCache) -> None:
    await local.put(BARE, await document(100))
    await quarantined(local, await document(40))
    await quarantined(local, await document(40, first=60))
    confirming = await document(40, first=60)
    await local.put(BARE, confirming)
    assert local.get(BARE) is confirming


async def test_what_redis_has_was_believed_by_another_process_and_is_believed_here(
    local: LocalCache, counted: Counted
) -> None:
    await local.put(BARE, await document(100, age_seconds=10))
    few = await document(40)
    await local.put(BARE, few, source=EntrySource.REDIS)
    assert local.get(BARE) is few
    assert counted.reasons == []


async def test_a_document_from_redis_does_not_take_the_place_of_a_younger_one(
    local: LocalCache, counted: Counted
) -> None:
    loaded = await document(100, age_seconds=10)
    await local.put(BARE, loaded)
    await local.put(BARE, await document(101, age_seconds=10), source=EntrySource.REDIS)
    assert local.get(BARE) is loaded
    await local.put(BARE, await document(102, age_seconds=20))
    assert names_in(await local.select(query("symbol=S101"))) == ["S101"], "the origin's word, whatever its clock says"


async def test_a_document_that_may_not_be_served_any_more_makes_no_other_suspicious(
    local: LocalCache, counted: Counted
) -> None:
    await local.put(BARE, await document(100, age_seconds=661))
    few = await document(40)
    await local.put(BARE, few)
    assert local.get(BARE) is few
    assert counted.reasons == []


# --- Documents that cannot be cut into symbols.


async def test_a_document_that_cannot_be_indexed_is_served_whole_and_answers_no_filter(
    local: LocalCache, counted: Counted
) -> None:
    odd = await document(5, odd=True)
    await local.put(BARE, odd)
    assert local.get(BARE) is odd
    assert local.loaded is not None
    assert local.loaded.snapshot is None
    assert await local.select(ONE) is None
    assert counted.adopted_with == [None]


@pytest.mark.parametrize("source", EntrySource)
@pytest.mark.parametrize("symbols", [[1], [None], [{}], [{"symbol": 1}], [{"symbol": "A", "status": "BREAK"}, "B"]])
async def test_a_document_with_what_is_no_symbol_is_held_by_nobody(
    local: LocalCache, counted: Counted, symbols: list[object], source: EntrySource
) -> None:
    body = body_of([]).replace(b"[]}", orjson.dumps(symbols) + b"}")
    for asked in (BARE, ONE):
        with pytest.raises(BadAnswer):
            await local.put(asked, await entry_of(body), document=parse_document(body), source=source)
        assert local.get(asked) is None
    assert local.loaded is None
    assert counted.adopted_with == []


async def test_one_that_can_be_indexed_takes_its_place_without_a_comparison(
    local: LocalCache, counted: Counted
) -> None:
    await local.put(BARE, await document(100, odd=True))
    await local.put(BARE, await document(10))
    assert counted.adopted_with == [None, None]
    assert names_in(await local.select(ONE)) == ["S1"]


async def test_one_that_cannot_takes_the_place_of_one_that_can_once_it_is_confirmed(
    local: LocalCache, counted: Counted
) -> None:
    await local.put(BARE, await document(10))
    await local.select(ONE)
    await quarantined(local, await document(10, odd=True))
    odd = await document(11, odd=True)
    await local.put(BARE, odd)
    assert local.get(BARE) is odd
    assert await local.select(ONE) is None
    assert counted.adopted_with == [None, None]


async def test_a_document_that_is_the_same_takes_no_second_copy(local: LocalCache) -> None:
    old = await document(5)
    await local.put(BARE, old)
    await local.put(BARE, replace(old, body=bytes(bytearray(old.body)), stored_at=old.stored_at + 60))
    assert local.loaded is not None
    assert local.loaded.snapshot is not None
    assert local.loaded.entry.stored_at == old.stored_at + 60
    assert local.loaded.entry.body is old.body
    assert local.loaded.snapshot.body is old.body
