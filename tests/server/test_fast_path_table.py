"""The table of the fast path by itself: what is kept, what is forgotten, what is rendered when."""

from __future__ import annotations

import gzip
import sys
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.messages import Entry, Lifetimes
from proxy.core.quota.pools import SPOT
from proxy.core.reply import Outcome, Rendition, Reply
from proxy.server.api import Headers
from proxy.server.fast_path_table import FastPathTable
from proxy.server.large_bodies import JOIN_BYTES
from proxy.server.remembered import RememberedResponse
from tests.quota.doubles import ManualClock

NOON = 1_800_000_000.0
KEY = "spot:exchangeInfo:all"


@dataclass(slots=True)
class LoadedDocument:
    entry: Entry


@dataclass(slots=True)
class Entries:
    version: int = 0
    documents: int = 0
    loaded: LoadedDocument | None = None
    replaced: set[int] = field(default_factory=set)
    """The identities of those that are held no more."""

    def holds(self, key: str, entry: Entry) -> bool:
        assert key == KEY
        return id(entry) not in self.replaced

    def replace(self, entry: Entry) -> None:
        self.replaced.add(id(entry))
        self.version += 1


@dataclass(slots=True)
class Usage:
    version: int = 0
    used: int = 20

    def spend(self, weight: int) -> None:
        self.used += weight
        self.version += 1


@dataclass(slots=True)
class LifeCycle:
    draining: bool = False


@dataclass(slots=True)
class Tally:
    count: int = 0


@dataclass(slots=True)
class Table:
    """A fast path with everything around it to be turned by hand."""

    max_bytes: int = 1 << 30
    max_requests: int = 16
    entries: Entries = field(default_factory=Entries)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    usage: Usage = field(default_factory=Usage)
    other: Usage = field(default_factory=Usage)
    """That of all pools but spot."""
    life_cycle: LifeCycle = field(default_factory=LifeCycle)
    tally: Tally = field(default_factory=Tally)
    fast_path: FastPathTable = field(init=False)

    def __post_init__(self) -> None:
        self.fast_path = FastPathTable(
            self.entries,
            clock=self.clock,
            usage_of=self.usage_of,
            life_cycle=self.life_cycle,
            beside=Headers(lambda pool: self.usage_of(pool).used, self.clock.wall, 120.0).beside,
            tally=lambda _: self.tally,
            max_bytes=self.max_bytes,
            max_requests=self.max_requests,
        )

    def usage_of(self, pool: str | None) -> Usage:
        return self.usage if pool == SPOT else self.other

    def learn(self, chunk: bytes, reply: Reply, *, head_only: bool = False) -> None:
        self.fast_path.learn(chunk, reply, head_only=head_only)

    def found(self, chunk: bytes) -> RememberedResponse:
        fast_path = self.fast_path.find(chunk)
        assert fast_path is not None
        return fast_path


def entry(body: bytes = b"{}", *, stored_at: float = NOON, fresh_seconds: float = 60.0) -> Entry:
    return Entry(
        status=200,
        content_type="application/json",
        body=body,
        gzip=gzip.compress(body, mtime=0),
        etag="e",
        stored_at=stored_at,
        lifetimes=Lifetimes(fresh_seconds=fresh_seconds),
    )


def reply(
    of: Entry, now: float = NOON, *, outcome: Outcome = Outcome.HIT, packed: bool = False, pool: str = SPOT
) -> Reply:
    rendition = Rendition(
        entry=of, key=KEY, outcome=outcome, endpoint="exchangeInfo", weight=20, gzip=packed, pool=pool
    )
    return rendition.reply(now)


def test_the_least_recently_used_is_forgotten_first() -> None:
    table, one = Table(max_requests=3), reply(entry())
    for chunk in (b"a", b"b", b"c"):
        table.learn(chunk, one)
    table.found(b"a")
    table.learn(b"d", one)
    assert [chunk for chunk in (b"a", b"b", b"c", b"d") if table.fast_path.find(chunk)] == [b"a", b"c", b"d"]


def test_the_bound_in_bytes_holds_and_counts_a_shared_entry_once() -> None:
    document = entry(b"x" * 10_000_000)
    table = Table(max_bytes=11_000_000, max_requests=1000)
    for number in range(100):
        table.learn(b"%d" % number, reply(document))
    assert len(table.fast_path) == 100
    assert 10_000_000 < table.fast_path.size_bytes < 11_000_000
    table.learn(b"other", reply(entry(b"y" * 9_000_000)))
    assert len(table.fast_path) == 1
    assert 9_000_000 < table.fast_path.size_bytes < 10_000_000


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.sampled_from("lfrd")), max_size=60))
def test_the_books_are_right_whatever_happens(steps: list[tuple[int, int, str]]) -> None:
    table = Table(max_bytes=500_000, max_requests=6)
    kept = [entry(b"x" * size) for size in (10, 5000, JOIN_BYTES + 1, 300_000)]
    for number, which, step in steps:
        if step == "l":
            table.learn(b"%d" % number, reply(kept[which]))
        elif step == "f":
            table.fast_path.find(b"%d" % number)
        elif step == "r":
            table.entries.replace(kept[which])
        else:
            table.entries.documents += 1
            table.entries.replaced.clear()
        assert table.fast_path.size_bytes <= 500_000
        assert len(table.fast_path) <= 6
    table.entries.documents += 1
    table.entries.replaced.clear()
    table.learn(b"new", reply(kept[0]))
    assert len(table.fast_path) == 1
    assert table.fast_path.size_bytes == 2 * 3 + 1024 + 10 + kept[0].size_bytes


def test_what_is_larger_than_the_bound_is_not_remembered() -> None:
    table = Table(max_bytes=10_000)
    table.learn(b"a", reply(entry(b"x" * 20_000)))
    assert len(table.fast_path) == 0


def test_a_large_body_is_the_entrys_own_and_never_copied() -> None:
    table, large, small = Table(), entry(b"x" * (JOIN_BYTES + 1)), entry(b"x" * JOIN_BYTES)
    table.learn(b"large", reply(large))
    table.learn(b"small", reply(small))
    table.learn(b"head", reply(large), head_only=True)
    assert table.found(b"large").body is large.body
    assert table.found(b"large").wire.endswith(b"\r\n\r\n")
    assert table.found(b"small").body == b""
    assert table.found(b"small").wire.endswith(b"\r\n\r\n" + small.body)
    assert table.found(b"head").wire.endswith(b"\r\n\r\n")
    assert table.found(b"head").body == b""


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory")
def test_responses_with_one_large_body_share_its_file_for_the_second_that_they_are_rendered_for() -> None:
    table, large = Table(), entry(b"x" * (JOIN_BYTES + 1))
    for chunk in (b"a", b"b"):
        table.learn(chunk, reply(large))
    one, other = table.found(b"a"), table.found(b"b")
    assert one.file is not None
    assert one.file is other.file
    assert one.file.body is large.body
    table.clock.now += 2.0
    table.fast_path.release()
    assert {each.file for each in (one, other)} == {None}


def test_all_is_forgotten_once_there_is_another_document() -> None:
    table = Table()
    for chunk in (b"a", b"b"):
        table.learn(chunk, reply(entry(b"x" * 1000)))
    table.entries.documents += 1
    assert table.fast_path.find(b"b") is None
    assert (len(table.fast_path), table.fast_path.size_bytes) == (0, 0)


def test_an_entry_that_was_replaced_takes_only_its_own_lanes_with_it() -> None:
    table, one, other = Table(), entry(b"1"), entry(b"2")
    for chunk, of in ((b"a", one), (b"b", one), (b"c", other)):
        table.learn(chunk, reply(of))
        table.found(chunk)
    table.entries.replace(one)
    assert [chunk for chunk in (b"a", b"b", b"c") if table.fast_path.find(chunk)] == [b"c"]
    assert len(table.fast_path) == 1


def test_an_answer_from_an_entry_that_was_replaced_meanwhile_is_not_remembered() -> None:
    table, old = Table(), entry()
    table.entries.replace(old)
    table.learn(b"a", reply(old))
    assert len(table.fast_path) == 0


@pytest.mark.parametrize("outcome", [each for each in Outcome if each not in (Outcome.HIT, Outcome.SNAPSHOT)])
def test_only_fresh_entries_are_remembered(outcome: Outcome) -> None:
    table = Table()
    table.learn(b"a", reply(entry(), outcome=outcome))
    assert len(table.fast_path) == 0


def test_nothing_is_found_while_the_gateway_drains() -> None:
    table = Table()
    table.learn(b"a", reply(entry()))
    table.life_cycle.draining = True
    assert table.fast_path.find(b"a") is None


def test_used_weight_is_told_as_it_is_now() -> None:
    table = Table()
    table.learn(b"a", reply(entry()))
    assert b"x-mbx-used-weight: 20\r\n" in table.found(b"a").wire
    table.usage.spend(401)
    assert b"x-mbx-used-weight: 421\r\n" in table.found(b"a").wire


def test_each_response_tells_the_used_weight_of_its_own_pool() -> None:
    table = Table()
    table.learn(b"spot", reply(entry()))
    table.learn(b"futures", reply(entry(), pool="futures"))
    table.clock.now += 0.5
    futures = table.found(b"futures").wire
    table.usage.spend(1)
    assert table.found(b"futures").wire is futures, "it is not rendered anew"
    assert b"x-mbx-used-weight-1m: 21\r\n" in table.found(b"spot").wire
    table.other.spend(5)
    assert b"x-mbx-used-weight-1m: 25\r\n" in table.found(b"futures").wire
    assert b"x-mbx-used-weight-1m: 21\r\n" in table.found(b"spot").wire


def test_a_new_minute_begins_with_a_new_used_weight() -> None:
    table = Table(clock=ManualClock(NOON + 59.9, -0.5))
    table.learn(b"a", reply(entry(stored_at=NOON + 59.45)))
    table.found(b"a")
    table.usage.used = 0  # what is known of the new window, without a change of the usage
    table.clock.now = NOON + 60.49
    assert b"x-mbx-used-weight: 20\r\n" not in table.found(b"a").wire
    table.usage.used = 7
    table.clock.now = NOON + 60.5
    assert b"x-mbx-used-weight: 7\r\n" in table.found(b"a").wire


def test_a_head_is_made_once_a_second_and_not_on_every_hit() -> None:
    table = Table()
    table.learn(b"a", reply(entry(stored_at=NOON - 0.25)))
    first = table.found(b"a").wire
    table.clock.now += 0.2
    assert table.found(b"a").wire is first
    assert table.tally.count == 2


@given(stored_at=st.floats(NOON - 1, NOON), offset_seconds=st.floats(-1, 1), step_seconds=st.floats(0, 3))
def test_the_date_is_that_of_the_second_by_this_machine(
    stored_at: float, offset_seconds: float, step_seconds: float
) -> None:
    table = Table(clock=ManualClock(NOON, offset_seconds))
    table.learn(b"a", reply(entry(stored_at=stored_at)))
    table.found(b"a")
    table.clock.now += step_seconds
    date = f"Date: {formatdate(int(table.clock.now), usegmt=True)}\r\n"
    assert date.encode() in table.found(b"a").wire


def test_ages_follow_what_is_learned_of_the_origins_clock() -> None:
    table = Table()
    table.learn(b"a", reply(entry()))
    assert b"Age: 0\r\n" in table.found(b"a").wire
    table.clock.offset_seconds = 5.0
    assert b"Age: 5\r\n" in table.found(b"a").wire


@given(
    stored_at=st.floats(NOON - 100, NOON + 10),
    fresh_seconds=st.sampled_from((0.5, 3.0, 10.1, 60.0, 86400.0)),
    times=st.lists(st.floats(NOON - 20, NOON + 100), min_size=1, max_size=8).map(sorted)
    | st.lists(st.floats(NOON - 20, NOON + 100), min_size=1, max_size=8),
)
def test_age_and_ttl_are_right_to_the_second_at_any_time(
    stored_at: float, fresh_seconds: float, times: list[float]
) -> None:
    table, one = Table(), entry(stored_at=stored_at, fresh_seconds=fresh_seconds)
    table.learn(b"a", reply(one))
    for now in times:
        table.clock.now = now
        fast_path = table.fast_path.find(b"a")
        if fast_path is None:
            table.learn(b"a", reply(one, now))
            continue
        assert one.age(now) < fresh_seconds
        expected = dict(reply(one, now).headers)
        assert f"Age: {expected['Age']}\r\n".encode() in fast_path.wire
        assert f"Cache-Status: {expected['Cache-Status']}\r\n".encode() in fast_path.wire


def test_a_stale_document_closes_the_lane_for_other_entries_too() -> None:
    table = Table(entries=Entries(loaded=LoadedDocument(entry(stored_at=NOON - 50))))
    table.learn(b"a", reply(entry()))
    assert table.fast_path.find(b"a") is not None
    table.clock.now += 10
    assert table.fast_path.find(b"a") is None


def test_the_bytes_of_a_past_second_are_let_go_and_made_again() -> None:
    table = Table()
    table.learn(b"a", reply(entry(stored_at=NOON - 0.25)))
    table.learn(b"b", reply(entry(stored_at=NOON - 0.25)))
    old, other = table.found(b"a"), table.found(b"b")
    table.clock.now += 0.5
    table.fast_path.release()
    assert old.wire
    assert table.found(b"a") is old
    table.clock.now += 1.0
    wire = table.found(b"b").wire
    table.fast_path.release()
    assert (old.wire, old.body, other.wire) == (b"", b"", wire)
    assert table.found(b"a").wire.startswith(b"HTTP/1.1 200 OK\r\n")
    table.clock.now += 1.0
    table.fast_path.release()
    assert old.wire == other.wire == b""


@given(st.lists(st.tuples(st.sampled_from(["learn", "find", "release"]), st.integers(0, 9), st.floats(0, 40))))
def test_no_request_is_kept_for_longer_than_two_minutes(steps: list[tuple[str, int, float]]) -> None:
    """Its bytes may hold a key that a client sent needlessly."""
    table, body = Table(), entry()
    for act, which, pause in steps:
        for _ in range(int(pause)):
            table.clock.now += 1.0
            table.fast_path.release()
        chunk = bytes([which])
        if act == "learn":
            table.learn(chunk, reply(body))
        elif act == "find":
            table.fast_path.find(chunk)
        learned = [remembered.learned_at for remembered in table.fast_path.responses.values()]
        assert all(table.clock.now - at <= 121 for at in learned)
    for _ in range(121):
        table.clock.now += 1.0
        table.fast_path.release()
    assert (len(table.fast_path), table.fast_path.size_bytes) == (0, 0)


def test_an_earlier_document_is_let_go_though_nobody_asks() -> None:
    table = Table()
    table.learn(b"a", reply(entry()))
    table.found(b"a")
    table.entries.documents += 1
    table.fast_path.release()
    assert (len(table.fast_path), table.fast_path.size_bytes) == (0, 0)
