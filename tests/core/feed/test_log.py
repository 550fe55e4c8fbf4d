"""The log of changes: every reader gets each change once, wherever it was before."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.log import Bounds, ChangeLog, Cursor, News
from proxy.core.feed.position import FEED_APIS, START, UNKNOWN, Mark, Position, decode, encode
from proxy.core.feed.record import StoredChange
from proxy.core.feed.selection import Selection

ALL = Selection()
DAY = 86400.0
NOW = 1_785_050_100.0


def change(number: int, api: Api = Api.SPOT, *, time: float = NOW, size: int = 0) -> StoredChange:
    data = {"symbol": f"S{number}", "old": "A" * size, "new": number, "api": api.value, "time": round(time * 1000)}
    return StoredChange("status", orjson.dumps(data))


def news(api: Api, first: int, count: int, *, epoch: int = 7, is_continued: bool = True) -> News:
    changes = tuple(change(number, api) for number in range(first, first + count))
    return News(api, Mark(epoch, first + count - 1), changes, is_continued)


def begun(bounds: Bounds | None = None, *, epoch: int = 7) -> ChangeLog:
    """A log that knows the start of every API's changes."""
    log = ChangeLog(bounds or Bounds())
    log.add([news(api, 1, 0, epoch=epoch, is_continued=False) for api in FEED_APIS], now=NOW)
    return log


def read(log: ChangeLog, cursor: Cursor, selection: Selection = ALL) -> tuple[list[tuple[str, str, int]], Cursor]:
    """Event, API and number of all that a reader gets, and where it is then."""
    told = []
    while cursor.serial != log.end.serial:
        batch = log.batch(cursor, selection)
        cursor = batch.cursor
        for event in batch.data.split(b"\n\n")[:-1]:
            _, kind, data = (line.partition(b": ")[2] for line in event.split(b"\n"))
            fields = orjson.loads(data)
            told.append((kind.decode(), fields.get("api") or ",".join(fields["apis"]), fields.get("new", 0)))
    return told, cursor


def statuses(api: Api, numbers: Sequence[int]) -> list[tuple[str, str, int]]:
    return [("status", api.value, number) for number in numbers]


# --- Ids.


@pytest.mark.parametrize("text", ["1785050100123-57.0-0.12-3", "0-0.0-0.0-0"])
def test_an_id_is_a_position(text: str) -> None:
    position = decode(f" {text} ")
    assert position is not None
    assert encode(position) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1-2",
        "1-2.3-4",
        "1-2.3-4.5-6.7-8",
        "01-2.3-4.5-6",
        "a-2.3-4.5-6",
        "1-2.3-4.5-",
        "1-2.3-4.5-6\n.",
        "\uff19-1.1-1.1-1",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert decode(text) is None


# --- Who gets what.


def test_a_new_reader_gets_what_changes_from_now() -> None:
    log = begun()
    log.add([news(Api.SPOT, 1, 3)], now=NOW)
    cursor = log.end
    assert read(log, cursor) == ([], cursor)
    log.add([news(Api.SPOT, 4, 2)], now=NOW)
    told, cursor = read(log, cursor)
    assert told == statuses(Api.SPOT, [4, 5])
    assert encode(cursor.position) == "7-5.7-0.7-0"


def test_a_reader_that_comes_back_gets_the_rest_also_on_a_replica_that_learned_of_it_in_another_order() -> None:
    one, other = begun(), begun()
    spot, coin = news(Api.SPOT, 1, 4), news(Api.COIN_FUTURES, 1, 3)
    for item in (spot, coin):
        one.add([item], now=NOW)
    for item in (coin, spot):
        other.add([item], now=NOW)
    half = decode("7-2.7-0.7-1")
    assert half is not None
    for log, order in ((one, 1), (other, -1)):
        cursor, first = log.start(half, ALL)
        former, latter = [statuses(Api.SPOT, [3, 4]), statuses(Api.COIN_FUTURES, [2, 3])][::order]
        assert (first, read(log, cursor)[0]) == (b"", former + latter)


@pytest.mark.parametrize(
    ("seen", "lost"),
    [
        ("7-0.7-0.7-0", "spot"),  # the first two are no longer kept
        ("7-2.7-0.7-0", ""),
        ("7-5.7-0.7-0", ""),
        ("7-6.7-0.7-0", "spot"),  # beyond the end: those were lost
        ("6-5.7-0.7-0", "spot"),
        ("6-5.8-0.7-0", "spot,usd-futures"),
    ],
)
def test_an_id_that_cannot_be_continued_gets_one_reset(seen: str, lost: str) -> None:
    log = begun(Bounds(changes=3))
    log.add([news(Api.SPOT, 1, 5)], now=NOW)
    position = decode(seen)
    assert position is not None
    cursor, first = log.start(position, ALL)
    if not lost:
        assert first == b""
        assert read(log, cursor)[1] == log.end
    else:
        assert (first.count(b"\n\n"), cursor) == (1, log.end)
        assert first.startswith(b"id: 7-5.7-0.7-0\nevent: reset\n")
        assert orjson.loads(first.partition(b"data: ")[2])["apis"] == lost.split(",")


def test_an_id_of_nobody_is_lost_and_an_api_that_is_not_served_is_not() -> None:
    log = ChangeLog(Bounds())
    log.add([news(Api.SPOT, 1, 0, is_continued=False)], now=NOW)
    assert b'"apis":["spot"]' in log.start(UNKNOWN, ALL)[1]
    served = (Mark(7, 0), Mark(0, 0), Mark(0, 0))
    assert log.start(served, ALL) == (log.end, b"")


def test_what_a_reader_has_not_asked_for_cannot_be_lost() -> None:
    log = begun()
    log.add([news(Api.COIN_FUTURES, 1, 2)], now=NOW)
    position: Position = (Mark(1, 9), Mark(7, 0), Mark(7, 1))
    cursor, first = log.start(position, Selection(apis=frozenset({Api.COIN_FUTURES})))
    assert first == b""
    assert read(log, cursor)[0] == statuses(Api.COIN_FUTURES, [2])


def test_readers_are_told_of_a_gap_once_and_go_on_behind_it() -> None:
    log = begun()
    log.add([news(Api.SPOT, 1, 2)], now=NOW)
    reader = log.end
    kept = news(Api.SPOT, 1, 3, epoch=8, is_continued=False)
    log.add([kept, news(Api.USD_FUTURES, 1, 0, epoch=8, is_continued=False)], now=NOW)
    log.add([news(Api.SPOT, 4, 1, epoch=8)], now=NOW)
    told, cursor = read(log, reader)
    assert told == [("reset", "spot,usd-futures", 0), *statuses(Api.SPOT, [4])]
    assert encode(cursor.position) == "8-4.8-0.7-0"
    of_the_new_epoch, first = log.start((Mark(8, 1), Mark(8, 0), Mark(7, 0)), ALL)
    assert first == b""
    assert read(log, of_the_new_epoch)[0] == statuses(Api.SPOT, [2, 3, 4])


def test_a_reader_that_falls_behind_the_bounds_gets_a_reset() -> None:
    log = begun(Bounds(changes=10))
    slow = log.end
    log.add([news(Api.SPOT, 1, 11)], now=NOW)
    told, cursor = read(log, slow)
    assert told == [("reset", "spot,usd-futures,coin-futures", 0)]
    assert cursor == log.end


def test_a_change_that_cannot_be_read_changes_nothing() -> None:
    log = begun()
    before = log.end
    for junk in (StoredChange("status", b"[]"), StoredChange("x", change(1).data), StoredChange("status", b"{")):
        with pytest.raises(ValueError, match=r"."):
            log.add([News(Api.SPOT, Mark(7, 2), (change(1), junk))], now=NOW)
    assert log.end == before


# --- Bounds.


def test_the_oldest_go_when_there_are_too_many_when_they_are_too_large_or_a_day_old() -> None:
    many = begun(Bounds(changes=4))
    many.add([news(Api.SPOT, 1, 6)], now=NOW)
    assert many.counted[0] == 4
    large = begun(Bounds(bytes=5000))
    large.add([News(Api.SPOT, Mark(7, 9), tuple(change(number, size=900) for number in range(1, 10)))], now=NOW)
    assert large.counted[1] <= 5000
    old = begun()
    old.add([News(Api.SPOT, Mark(7, 1), (change(1, time=NOW - DAY - 1),))], now=NOW)
    old.add([News(Api.SPOT, Mark(7, 2), (change(2, time=NOW - DAY + 1),))], now=NOW)
    assert [event for _, event, _ in old.select(old.oldest(), ALL)] == ["status"]


def test_what_readers_at_one_place_get_is_made_once() -> None:
    log = begun()
    reader = log.end
    log.add([news(Api.SPOT, 1, 3)], now=NOW)
    assert log.batch(reader, ALL) is log.batch(Cursor(reader.serial, reader.position), Selection())
    assert log.batch(reader, ALL) is not log.batch(reader, Selection(symbols=frozenset({"S1"})))


def test_a_batch_is_bounded_in_bytes_and_in_the_records_that_were_looked_through() -> None:
    log = begun()
    reader = log.end
    log.add([news(Api.SPOT, 1, 1200)], now=NOW)
    assert log.batch(reader, Selection(kinds=frozenset({"listed"}))).cursor.serial == reader.serial + 500
    large = begun()
    large.add([News(Api.SPOT, Mark(7, 4), tuple(change(number, size=40_000) for number in range(1, 5)))], now=NOW)
    assert large.batch(reader, ALL).cursor.serial == reader.serial + 2


# --- Whatever happens.


@pytest.mark.no_cover
@given(st.data())
def test_replicas_in_any_order_give_a_wandering_reader_each_change_once(data: st.DataObject) -> None:
    totals = {api: data.draw(st.integers(0, 6)) for api in FEED_APIS}
    logs = [begun() for _ in range(3)]
    got: list[tuple[str, str, int]] = []
    position = logs[0].position
    for _ in range(data.draw(st.integers(1, 8))):
        log = data.draw(st.sampled_from(logs))
        ahead = {
            api: max(mark.number for mark in (log.mark_of(api), position[place])) for place, api in enumerate(FEED_APIS)
        }
        for api in data.draw(st.permutations(FEED_APIS)):
            to = data.draw(st.integers(ahead[api], max(ahead[api], totals[api])))
            known = log.mark_of(api).number
            log.add([news(api, known + 1, to - known)], now=NOW)
        cursor, first = log.start(position, ALL)
        assert first == b""
        for _ in range(data.draw(st.integers(0, 4))):
            if cursor.serial < log.end.serial:
                told, cursor = read(log, cursor)
                got += told
        position = cursor.position
    expected = [
        item for api in FEED_APIS for item in statuses(api, range(1, position[FEED_APIS.index(api)].number + 1))
    ]
    assert sorted(got) == sorted(expected)
    assert position != START
