"""The parameters of the feed: what they select, and how wrong ones are refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.document.changes import Change, ChangeKind
from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.position import Mark
from proxy.core.feed.record import Record, record_of, reset, stored
from proxy.core.feed.selection import Selection, read_request
from proxy.errors import RequestRejected


def record(change: Change, api: Api = Api.SPOT) -> Record:
    (told,) = stored([change], api=api, time_ms=5)
    return record_of(told, Mark(7, 1))


HALTED = record(Change(ChangeKind.STATUS, ("A",), "TRADING", "HALT"))
REGROUPED = record(Change(ChangeKind.PERMISSIONS, ("A", "B", "C"), ["X"], ["Y", "Z"]))
LIMITS = record(Change(ChangeKind.LIMITS, (), [1], [2]), Api.COIN_FUTURES)
RESET = reset({Api.SPOT: Mark(7, 1)}, time_ms=5)


def told(record: Record, query: str = "") -> Any:
    data = read_request(query).selection.data_of(record)
    return None if data is None else orjson.loads(data)


def test_the_json_of_each_kind() -> None:
    assert told(HALTED) == {"symbol": "A", "old": "TRADING", "new": "HALT", "api": "spot", "time": 5}
    several = {"symbol": None, "symbols": ["A", "B", "C"], "old": ["X"], "new": ["Y", "Z"], "api": "spot", "time": 5}
    assert told(REGROUPED) == several
    assert told(LIMITS) == {"symbol": None, "old": [1], "new": [2], "api": "coin-futures", "time": 5}
    assert told(RESET) == {"apis": ["spot"], "time": 5}


@pytest.mark.parametrize(
    ("query", "selected"),
    [
        ("", [HALTED, REGROUPED, LIMITS, RESET]),
        ("symbols=A", [HALTED, REGROUPED, RESET]),
        ("symbols=B%2CQ", [REGROUPED, RESET]),
        ("symbols=Q", [RESET]),
        ("kinds=status,limits", [HALTED, LIMITS, RESET]),
        ("api=coin-futures", [LIMITS]),
        ("api=spot&kinds=permissions&symbols=C", [REGROUPED, RESET]),
        ("lastEventId=x", [HALTED, REGROUPED, LIMITS, RESET]),
    ],
)
def test_what_a_query_selects(query: str, selected: list[Record]) -> None:
    everything = [HALTED, REGROUPED, LIMITS, RESET]
    assert [record for record in everything if told(record, query) is not None] == selected


def test_a_change_of_many_symbols_names_those_that_were_asked_for() -> None:
    assert (told(REGROUPED, "symbols=A,C")["symbols"], told(REGROUPED, "symbols=A,C")["symbol"]) == (["A", "C"], None)
    assert (told(REGROUPED, "symbols=B")["symbols"], told(REGROUPED, "symbols=B")["symbol"]) == (["B"], "B")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("kinds=listed,other", -1130),
        ("api=options", -1130),
        ("symbols=BTC/USDT", -1100),
        ("symbols=", -1105),
        ("kinds=listed,", -1105),
        ("symbol=BTCUSDT", -1104),
        ("api=spot&api=spot", -1101),
        ("symbols=%FF", -1101),
        ("&".join(["api=spot"] * 9), -1101),
    ],
)
def test_what_is_wrong_is_refused(query: str, code: int) -> None:
    with pytest.raises(RequestRejected) as refused:
        read_request(query)
    assert refused.value.code == code


def test_selections_are_keys() -> None:
    assert read_request("symbols=A,B&api=spot").selection == read_request("api=spot&symbols=B,A").selection
    assert hash(Selection()) == hash(read_request("").selection)
