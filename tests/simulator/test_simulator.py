"""The stand-in for Binance answers as the facts say, faults included. Must not know the gateway."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulator import Fault, Limits, Simulator, generate_document, recorded, sbe
from tests.simulator.api import Api
from tests.simulator.asking import FakeClock, Received, exchange, get, parse
from tests.simulator.document import render
from tests.simulator.limits import Admitted, Banned, TooMany
from tests.simulator.listener import Listener
from tests.simulator.wire import Body, Tail

INFO = "/api/v3/exchangeInfo"
RULES = "/api/v3/executionRules"
SYMBOL_RANGE = r"'^[\w\-._&&[^a-z]]{1,50}$'."
SYMBOLS_RANGE = r"""'^\[("[\w\-._&&[^a-z]]{1,50}"(,"[\w\-._&&[^a-z]]{1,50}"){0,}){0,1}\]$'."""
NO_COMBINATION = "Combination of optional parameters invalid. Recommendation: '{}' and '{}' cannot both be sent."


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def simulator(clock: FakeClock) -> AsyncIterator[Simulator]:
    async with Simulator(symbols=40, clock=clock) as made:
        yield made


# The document


def test_the_generated_document_has_todays_size_and_is_the_same_for_the_same_seed() -> None:
    document = generate_document()
    rendered = render(document, document.symbols.values(), with_sets=True)
    body = rendered.before + b"1790000100000" + rendered.after
    parsed = json.loads(body)
    assert len(parsed["symbols"]) == 3698
    assert 17_000_000 < len(body) < 18_200_000
    assert 160_000 < len(gzip.compress(body, 6)) < 640_000
    assert generate_document().symbols == document.symbols
    assert generate_document(seed=1).symbols != document.symbols


def test_generated_symbols_are_varied_as_the_real_ones_are() -> None:
    symbols = list(generate_document(400).symbols.values())
    rows = [json.loads(symbol.full) for symbol in symbols]
    assert [row["symbol"] for row in rows[:3]] == ["ETHBTC", "LTCBTC", "BNBBTC"]
    assert {"BTCUSDT", "ETHUSDT"} <= {symbol.name for symbol in symbols}
    assert all(len(row) == 26 and len(row["permissionSets"]) == 1 for row in rows)
    assert all(
        len(row["permissionSets"][0]) > 220
        for row in rows
        if row["status"] == "TRADING" and row["isSpotTradingAllowed"]
    )
    assert sum(row["status"] == "BREAK" for row in rows) in range(100, 170)
    assert any(row["status"] == "HALT" for row in rows)
    assert sum(not symbol.is_listed for symbol in symbols) == 3
    assert not all(symbol.name.isascii() for symbol in symbols)


def test_bare_symbols_differ_only_in_their_permission_sets() -> None:
    for symbol in generate_document(60).symbols.values():
        assert json.loads(symbol.bare) == json.loads(symbol.full) | {"permissionSets": []}


OLD = (
    '{"timezone":"UTC","serverTime":1,"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE",'
    '"intervalNum":1,"limit":1200}],"exchangeFilters":[],"symbols":[{"symbol":"AB", "status":"BREAK",'
    '"permissions":["SPOT","TRD_GRP_004"]},{"symbol":"CD","status":"TRADING","permissions":["TRD_GRP_003"]},'
    '{"symbol":"EF","status":"TRADING","permissions":[],"permissionSets":[["SPOT"],["MARGIN"]],"x":[]}],"sors":[]}'
)


async def test_a_recorded_document_keeps_its_order_its_bytes_and_its_old_permissions(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(OLD)
    async with Simulator(document=recorded(tmp_path / "old.json"), weight_limit=777) as simulator:
        everything = await get(simulator, INFO)
        assert list(everything.json) == [
            "timezone",
            "serverTime",
            "rateLimits",
            "exchangeFilters",
            "symbols",
            "sors",
        ]
        assert everything.json["rateLimits"][0]["limit"] == 777
        assert b'{"symbol":"AB", "status":"BREAK","permissions":["SPOT","TRD_GRP_004"]}' in everything.body
        assert everything.names == ["AB", "EF"]
        assert (await get(simulator, f"{INFO}?permissions=TRD_GRP_003")).names == ["CD"]
        bare = await get(simulator, f"{INFO}?symbol=EF&showPermissionSets=false")
        assert b'{"symbol":"EF","status":"TRADING","permissions":[],"permissionSets":[],"x":[]}' in bare.body


# Endpoints and filters


async def test_ping_and_time_answer_as_the_origin_does(simulator: Simulator) -> None:
    assert (await get(simulator, "/api/v3/ping")).body == b"{}"
    assert (await get(simulator, "/api/v3/time")).body == b'{"serverTime":1790000110000}'


async def test_the_whole_document_has_the_envelope_with_the_limits_in_force(clock: FakeClock) -> None:
    async with Simulator(symbols=40, clock=clock, weight_limit=123, raw_limit=4567) as simulator:
        answer = await get(simulator, INFO)
    assert list(answer.json) == ["timezone", "serverTime", "rateLimits", "exchangeFilters", "symbols"]
    assert answer.json["serverTime"] == 1790000110000
    assert [row["limit"] for row in answer.json["rateLimits"]] == [123, 100, 200000, 4567]
    assert len(answer.names) == 37
    assert b": " not in answer.body


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("symbol=BTCUSDT", ["BTCUSDT"]),
        ("symbol=NBTUSDT", ["NBTUSDT"]),
        ("symbol=" + quote("币安人生USDT"), ["币安人生USDT"]),
        ("symbols=%5B%22ETHUSDT%22%2C%22ETHBTC%22%5D", ["ETHBTC", "ETHUSDT"]),
        ("symbols=%5B%22ETHUSDT%22,%22ETHBTC%22%5D", ["ETHBTC", "ETHUSDT"]),
        ("symbols=[%22ETHUSDT%22,%22ETHBTC%22]", ["ETHBTC", "ETHUSDT"]),
        ('symbols=["ETHUSDT","ETHBTC"]', ["ETHBTC", "ETHUSDT"]),
        ("permissions=TRD_GRP_003", ["NBTBIDR", "NBTUSDT", "AXSBIDR"]),
        ('permissions=["TRD_GRP_003"]&symbolStatus=BREAK', []),
        ("permissions=LEVERAGED", []),
        ("symbolStatus=HALT", ["DNTETH"]),
    ],
)
async def test_a_filter_shows_the_symbols_it_asks_for(simulator: Simulator, query: str, names: list[str]) -> None:
    answer = await get(simulator, f"{INFO}?{query}")
    assert answer.status == 200
    assert answer.names == names
    assert list(answer.json) == ["timezone", "serverTime", "rateLimits", "exchangeFilters", "symbols"]


async def test_several_permissions_show_what_has_any_of_them(simulator: Simulator) -> None:
    one = set((await get(simulator, f"{INFO}?permissions=MARGIN")).names)
    both = set((await get(simulator, f'{INFO}?permissions=["MARGIN","TRD_GRP_003"]')).names)
    assert one
    assert both == one | {"NBTBIDR", "NBTUSDT", "AXSBIDR"}


async def test_permission_sets_can_be_left_out(simulator: Simulator) -> None:
    with_sets, without = [await get(simulator, f"{INFO}?showPermissionSets={shown}") for shown in ("true", "false")]
    assert with_sets.body == (await get(simulator, INFO)).body
    assert without.names == with_sets.names
    assert all(row["permissionSets"] == [] for row in without.json["symbols"])


async def test_execution_rules_are_listed_by_symbol(simulator: Simulator) -> None:
    answer = await get(simulator, f'{RULES}?symbols=["ETHUSDT","ETHBTC"]')
    assert [row["symbol"] for row in answer.json["symbolRules"]] == ["ETHBTC", "ETHUSDT"]
    assert len((await get(simulator, RULES)).json["symbolRules"]) == 37


@pytest.mark.parametrize(
    ("target", "weight"),
    [
        ("/api/v3/ping", 1),
        ("/api/v3/time?x=1", 1),
        (INFO, 20),
        (f"{INFO}?symbol=BTCUSDT", 20),
        (f"{INFO}?nonsense=1", 20),
        (RULES, 40),
        (f"{RULES}?symbolStatus=BREAK", 40),
        (f"{RULES}?symbol=BTCUSDT", 2),
        (f'{RULES}?symbols=["BTCUSDT","ETHBTC","LTCBTC"]', 6),
        (f"{RULES}?symbols=[{','.join(['%22A%22'] * 30)}]", 40),
    ],
)
async def test_every_request_costs_its_weight_errors_too(simulator: Simulator, target: str, weight: int) -> None:
    answer = await get(simulator, target)
    assert simulator.weight_spent == simulator.used_weight == weight
    assert answer.headers["x-mbx-used-weight"] == answer.headers["x-mbx-used-weight-1m"] == str(weight)


async def test_other_paths_are_not_found(simulator: Simulator) -> None:
    inside = await get(simulator, "/api/v3/nothing?symbol=BTCUSDT")
    assert (inside.status, inside.body) == (404, b"")
    assert b"<html>" in (await get(simulator, "/api/v3/nothing", {"Accept": "text/html"})).body
    outside = await get(simulator, "/")
    assert outside.status == 404
    assert "x-mbx-used-weight" not in outside.headers
    assert (await get(simulator, INFO, method="POST")).status == 405


# The error table


ERRORS = [
    ("/api/v3/ping?x=1", -1101, "Too many parameters; expected '0' and received '1'."),
    ("/api/v3/time?x=1&y", -1101, "Too many parameters; expected '0' and received '2'."),
    (f"{INFO}?symbols=[]&symbols=[]", -1101, "Duplicate values for parameter 'symbols'."),
    (f"{INFO}?symbol&symb%6Fl=A", -1101, "Duplicate values for parameter 'symbol'."),
    (f"{INFO}?x=1", -1104, "Not all sent parameters were read; read '0' parameter(s) but was sent '1'."),
    (
        f"{INFO}?symbol=&x=",
        -1104,
        "Not all sent parameters were read; read '1' parameter(s) but was sent '2'.",
    ),
    (f"{INFO}?symbol=", -1105, "Parameter 'symbol' was empty."),
    (f"{INFO}?symbol", -1105, "Parameter 'symbol' was empty."),
    (f"{INFO}?symbol=NOSUCH", -1121, "Invalid symbol."),
    (f'{INFO}?symbols=["BTCUSDT","NOSUCH"]', -1121, "Invalid symbol."),
    (
        f"{INFO}?symbol=btcusdt",
        -1100,
        f"Illegal characters found in parameter 'symbol'; legal range is {SYMBOL_RANGE}",
    ),
    (
        f"{INFO}?symbol=BTC+USDT",
        -1100,
        f"Illegal characters found in parameter 'symbol'; legal range is {SYMBOL_RANGE}",
    ),
    (
        f"{INFO}?symbol=BTC%0A",
        -1100,
        f"Illegal characters found in parameter 'symbol'; legal range is {SYMBOL_RANGE}",
    ),
    (
        f"{INFO}?symbol={'A' * 51}",
        -1100,
        f"Illegal characters found in parameter 'symbol'; legal range is {SYMBOL_RANGE}",
    ),
    *(
        (
            f"{INFO}?symbols={quote(text)}",
            -1100,
            f"Illegal characters found in parameter 'symbols'; legal range is {SYMBOLS_RANGE}",
        )
        for text in ('["BTCUSDT", "ETHBTC"]', "['BTCUSDT']", "BTCUSDT", '["btcusdt"]', '["BTCUSDT",]', "[")
    ),
    (f'{INFO}?symbols=["NOSUCH","NOSUCH"]', -1151, "Symbol is present multiple times in the list."),
    (f'{INFO}?symbol=NOSUCH&symbols=["BTCUSDT"]', -1128, NO_COMBINATION.format("symbol", "symbols")),
    (f"{INFO}?symbol=BTCUSDT&permissions=SPOT", -1128, NO_COMBINATION.format("symbol", "permissions")),
    (
        f'{INFO}?symbols=["BTCUSDT"]&symbolStatus=HALT',
        -1128,
        NO_COMBINATION.format("symbols", "symbolStatus"),
    ),
    (f"{RULES}?symbol=BTCUSDT&symbolStatus=HALT", -1128, NO_COMBINATION.format("symbol", "symbolStatus")),
    (
        f"{RULES}?permissions=SPOT",
        -1104,
        "Not all sent parameters were read; read '0' parameter(s) but was sent '1'.",
    ),
    (f"{INFO}?symbolStatus=NOSUCH", -1122, "Invalid symbolStatus."),
    (
        f"{INFO}?symbol=btc&symbolStatus=NOSUCH",
        -1100,
        f"Illegal characters found in parameter 'symbol'; legal range is {SYMBOL_RANGE}",
    ),
]


@pytest.mark.parametrize(("target", "code", "text"), ERRORS, ids=[row[0] for row in ERRORS])
async def test_a_wrong_query_gets_the_origins_error(simulator: Simulator, target: str, code: int, text: str) -> None:
    answer = await get(simulator, target)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json;charset=utf-8"
    assert answer.body == json.dumps({"code": code, "msg": text}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "query",
    ["symbols=[]", "permissions=[]", "permissions=spot", "permissions=NOSUCH", "showPermissionSets=1"],
)
async def test_a_query_whose_answer_is_not_known_gets_some_client_error(simulator: Simulator, query: str) -> None:
    answer = await get(simulator, f"{INFO}?{query}")
    assert answer.status == 400
    assert answer.json["code"] in (-1100, -1122, -1128)


# Representation


@pytest.mark.parametrize(
    ("unit", "digits"), [("MICROSECOND", 16), ("microsecond", 16), ("MILLISECOND", 13), ("millisecond", 13)]
)
async def test_the_time_unit_changes_server_time(simulator: Simulator, unit: str, digits: int) -> None:
    for path in ("/api/v3/time", INFO):
        answer = await get(simulator, path, {"X-MBX-TIME-UNIT": unit})
        assert len(str(answer.json["serverTime"])) == digits


async def test_a_bad_time_unit_is_refused(simulator: Simulator) -> None:
    answer = await get(simulator, "/api/v3/ping", {"X-MBX-TIME-UNIT": "Microsecond"})
    text = "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."
    assert (answer.status, answer.json) == (400, {"code": -1194, "msg": text})


async def test_headers_are_the_origins(simulator: Simulator, clock: FakeClock) -> None:
    headers = (await get(simulator, INFO)).headers
    assert headers["cache-control"] == "no-cache, no-store, must-revalidate"
    assert (headers["pragma"], headers["expires"], headers["server"]) == ("no-cache", "0", "nginx")
    assert headers["date"] == "mon, 21 sep 2026 14:15:10 gmt"
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-mbx-uuid"])


async def test_gzip_is_for_those_who_ask_and_for_bodies_over_200_bytes(simulator: Simulator) -> None:
    plain = await get(simulator, INFO, {"Accept-Encoding": "br, gzip;q=0"})
    packed = await get(simulator, INFO, {"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert "content-encoding" not in (await get(simulator, "/api/v3/time", {"Accept-Encoding": "gzip"})).headers


@given(start=st.binary(), tail=st.binary())
def test_a_body_in_two_parts_packs_into_one_gzip_member(start: bytes, tail: bytes) -> None:
    body = Body(start, Tail(tail))
    assert gzip.decompress(body.gzipped()) == body.identity() == start + tail


@pytest.mark.parametrize(
    ("target", "accept", "header", "status", "template"),
    [
        ("/api/v3/ping", "application/sbe", "3:5", 200, 101),
        ("/api/v3/time", "application/sbe, application/json", "3:5", 200, 102),
        (INFO, "application/sbe", "3:5", 200, 103),
        (RULES, "application/sbe", "3:5", 200, 104),
        (f"{INFO}?symbol=NOSUCH", "application/sbe", "3:5", 400, 100),
        ("/api/v3/ping", "application/sbe", "", 400, 100),
        ("/api/v3/ping", "application/sbe", "2:0", 400, 100),
        ("/api/v3/ping", "application/sbe, application/json", "2:0", 200, None),
        ("/api/v3/ping", "*/*", "3:5", 200, None),
    ],
)
async def test_sbe_is_negotiated(
    simulator: Simulator, target: str, accept: str, header: str, status: int, template: int | None
) -> None:
    answer = await get(simulator, target, {"Accept": accept, "X-MBX-SBE": header})
    assert answer.status == status
    if template is None:
        assert answer.body == b"{}"
        return
    assert answer.headers["content-type"] == "application/sbe"
    assert struct.unpack_from("<HHH", answer.body)[1:] == (template, 3)


@pytest.mark.parametrize(
    ("header", "switch", "status", "code"),
    [
        ("", None, 400, -1152),
        ("3", None, 400, -1152),
        ("2:0", None, 400, -1153),
        ("3:2", None, 400, -1153),
        ("3:5", sbe.Switch.OFF, 406, -1155),
        ("3:5", sbe.Switch.OLD_SCHEMA, 400, -1161),
    ],
)
async def test_a_refusal_in_sbe_has_its_own_code(
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    header: str,
    switch: sbe.Switch | None,
    status: int,
    code: int,
) -> None:
    monkeypatch.setattr(Api, "sbe_switch", switch)
    answer = await get(simulator, INFO, {"Accept": "application/sbe", "X-MBX-SBE": header})
    assert (answer.status, struct.unpack_from("<h", answer.body, 8)) == (status, (code,))
    both = await get(simulator, INFO, {"Accept": "application/sbe, application/json", "X-MBX-SBE": header})
    assert (both.status, both.headers["content-type"].lower()) == (200, "application/json;charset=utf-8")


@pytest.mark.parametrize(("header", "expected"), [("3:3", True), ("3:4", True), ("3:5", False), ("3:2", False)])
def test_an_old_schema_is_deprecated_before_it_is_retired(header: str, expected: bool) -> None:
    schema = sbe.negotiate("application/sbe", header)
    assert schema is not None
    assert schema.is_deprecated is expected


# Limits


def test_windows_end_with_the_clocks_minute_and_not_a_minute_after_the_first_request(
    clock: FakeClock,
) -> None:
    limits = Limits(clock=clock, weight=100)
    limits.charge(90)
    clock.now += 49.9
    assert limits.used_weight == 90
    assert limits.charge(20) == TooMany(1, _too_much(100))
    clock.now += 0.1
    assert limits.used_weight == 0
    assert limits.charge(100) == Admitted()


def test_raw_requests_have_a_window_of_five_minutes(clock: FakeClock) -> None:
    limits = Limits(clock=clock, raw=2)
    assert [type(limits.charge(1)) for _ in range(3)] == [Admitted, Admitted, TooMany]
    clock.now += 60
    verdict = limits.charge(1)
    assert isinstance(verdict, TooMany)
    assert verdict.retry_after_seconds == 230
    assert verdict.text.startswith("Too many requests; current limit is 2 requests per 5 MINUTE.")


def test_going_on_after_429_is_a_ban_until_its_end(clock: FakeClock) -> None:
    limits = Limits(clock=clock, weight=10, ban_after=2, ban_seconds=300)
    assert [type(limits.charge(11)) for _ in range(4)] == [TooMany, TooMany, Banned, Banned]
    clock.now += 299
    assert limits.charge(1) == Banned(int((clock.now + 1) * 1000), 1)
    clock.now += 1
    assert limits.charge(1) == Admitted()


def test_an_admitted_request_forgets_the_refused_ones(clock: FakeClock) -> None:
    limits = Limits(clock=clock, weight=10, ban_after=2)
    for _ in range(3):
        assert [type(limits.charge(weight)) for weight in (11, 11)] == [TooMany, TooMany]
        clock.now += 60
        assert limits.charge(1) == Admitted()


async def test_past_the_limit_the_answer_is_429_and_then_418(clock: FakeClock) -> None:
    async with Simulator(symbols=20, clock=clock, weight_limit=40, ban_after=2) as simulator:
        simulator.spend(25)
        answers = [await get(simulator, INFO) for _ in range(4)]
        assert [answer.status for answer in answers] == [429, 429, 418, 418]
        assert answers[0].json == {"code": -1003, "msg": _too_much(40)}
        assert [answer.headers["retry-after"] for answer in answers] == ["50", "50", "120", "120"]
        assert "IP banned until 1790000230000. Please use" in answers[3].json["msg"]
        assert (simulator.answers_429, simulator.answers_418) == (2, 2)


def _too_much(limit: int) -> str:
    return (
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )


# Faults, as a raw client sees them

REQUEST = b"GET /api/v3/time HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.ERROR_BODY, 200, -1000),
        (Fault.TOO_MANY_429, 429, -1003),
        (Fault.TEAPOT_418, 418, -1003),
        (Fault.RESTRICTED_451, 451, 0),
        (Fault.INTERNAL_500, 500, -1000),
        (Fault.BAD_GATEWAY_502, 502, -1001),
        (Fault.OVERLOADED_503, 503, -1008),
        (Fault.GATEWAY_TIMEOUT_504, 504, -1007),
    ],
)
async def test_a_fault_answers_its_status_and_code(simulator: Simulator, fault: Fault, status: int, code: int) -> None:
    simulator.set_fault(fault)
    answer = await get(simulator, INFO)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert "retry-after" not in answer.headers
    assert ("x-mbx-used-weight" in answer.headers) == (status != 451)
    simulator.clear_fault()
    assert (await get(simulator, INFO)).status == 200


@pytest.mark.parametrize(("fault", "status"), [(Fault.HTML_403, 403), (Fault.HTML_503, 503)])
async def test_the_edge_answers_a_page_that_costs_nothing(simulator: Simulator, fault: Fault, status: int) -> None:
    simulator.set_fault(fault)
    answer = await get(simulator, INFO)
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html")
    assert "x-mbx-used-weight" not in answer.headers
    assert simulator.weight_spent == 0


@pytest.mark.parametrize("fault", [Fault.TOO_MANY_429, Fault.TEAPOT_418])
async def test_a_forced_refusal_can_say_when_to_come_back(simulator: Simulator, fault: Fault) -> None:
    simulator.set_fault(fault, retry_after=7)
    answer = await get(simulator, INFO)
    assert answer.headers["retry-after"] == "7"
    assert ("until 1790000117000." in answer.json["msg"]) == (fault is Fault.TEAPOT_418)


async def test_a_restricted_location_is_told_in_pretty_print(simulator: Simulator) -> None:
    simulator.set_fault(Fault.RESTRICTED_451)
    assert (await get(simulator, INFO)).body.startswith(b'{\n  "code": 0,\n  "msg": "Service unavailable')


async def test_broken_json_arrives_whole(simulator: Simulator) -> None:
    simulator.set_fault(Fault.INVALID_JSON)
    answer = await get(simulator, INFO)
    assert answer.status == 200
    assert int(answer.headers["content-length"]) == len(answer.body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)


async def test_a_truncated_answer_promises_more_than_it_sends(simulator: Simulator) -> None:
    simulator.set_fault(Fault.TRUNCATED)
    answer = await get(simulator, INFO)
    assert answer.status == 200
    assert 0 < len(answer.body) < int(answer.headers["content-length"])


async def test_garbage_is_not_http(simulator: Simulator) -> None:
    simulator.set_fault(Fault.GARBAGE)
    raw = await exchange(simulator, REQUEST)
    assert raw
    assert not raw.startswith(b"HTTP")


async def test_a_reset_cuts_the_connection_after_the_request_was_read(simulator: Simulator) -> None:
    simulator.set_fault(Fault.RESET)
    with pytest.raises(ConnectionResetError):
        await exchange(simulator, REQUEST)
    assert [seen.status for seen in simulator.requests] == [0]


async def test_a_hanging_request_is_seen_and_never_answered(simulator: Simulator) -> None:
    simulator.set_fault(Fault.HANG)
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(REQUEST)
    reading = asyncio.create_task(reader.read())
    await simulator.wait_for(1)
    simulator.clear_fault()
    assert (await get(simulator, "/api/v3/time")).status == 200
    assert not reading.done()
    writer.transport.abort()
    await reading


async def test_a_hanging_request_does_not_hold_up_the_end(simulator: Simulator) -> None:
    simulator.set_fault(Fault.HANG)
    hanging = asyncio.create_task(exchange(simulator, REQUEST))
    await simulator.wait_for(1)
    async with asyncio.timeout(30):
        await simulator.stop()
    assert await hanging == b""


async def test_a_slow_answer_is_the_right_one(simulator: Simulator) -> None:
    simulator.set_fault(Fault.SLOW, delay_seconds=0.05)
    started = asyncio.get_running_loop().time()
    assert (await get(simulator, "/api/v3/ping")).body == b"{}"
    assert asyncio.get_running_loop().time() - started >= 0.05


@pytest.mark.parametrize("turns", range(6))
async def test_a_listener_that_closes_drops_what_it_is_accepting(turns: int) -> None:
    """In each of the first turns of the event loop: before it accepts, before its task begins, and within it."""
    adopted = Adopting()
    listener = Listener(lambda: adopted, host="127.0.0.1", port=0)
    listener.listen()
    with socket.create_connection(("127.0.0.1", listener.port)) as asking:
        for _ in range(turns):
            await asyncio.sleep(0)
        listener.close()
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        if adopted.transport is not None:
            adopted.transport.abort()
        await asyncio.sleep(0)
        asking.settimeout(5)
        with suppress(ConnectionResetError):
            assert asking.recv(1) == b""


async def test_a_listener_keeps_its_port_while_it_refuses_and_listens_again() -> None:
    """Somebody who wants the port tries at every moment, also between the steps of `refuse` and of `listen`."""
    listener = Listener(Adopting, host="127.0.0.1", port=0)
    taken: list[str] = []

    def try_to_take(_frame: FrameType, event: str, _argument: object) -> None:
        with socket.socket() as greedy:
            try:
                greedy.bind(("127.0.0.1", listener.port))
            except OSError:
                return
            taken.append(event)

    for _ in range(3):
        for step in (listener.listen, listener.refuse):
            sys.setprofile(try_to_take)
            step()
            sys.setprofile(None)
    listener.listen()
    with pytest.raises(OSError, match="in use"):
        Listener(Adopting, host="127.0.0.1", port=listener.port)
    listener.close()
    assert taken == []


class Adopting(asyncio.Protocol):
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport


async def test_down_refuses_connections_cuts_open_ones_and_comes_back_on_the_same_port(
    simulator: Simulator,
) -> None:
    port = simulator.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"{}")
    simulator.set_fault(Fault.DOWN)
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    simulator.clear_fault()
    assert simulator.port == port
    assert (await get(simulator, "/api/v3/ping")).status == 200


async def test_a_fault_can_be_limited_to_so_many_requests_on_some_paths(simulator: Simulator) -> None:
    simulator.set_fault(Fault.INTERNAL_500, times=2, paths=[INFO])
    paths = (INFO, "/api/v3/ping", INFO, INFO)
    assert [(await get(simulator, path)).status for path in paths] == [500, 200, 500, 200]
    assert simulator.fault is None


def test_down_cannot_be_counted_in_requests() -> None:
    with pytest.raises(ValueError, match="DOWN"):
        Simulator(symbols=1).set_fault(Fault.DOWN, times=1)


# Counters and switches


async def test_requests_are_remembered_as_sent(simulator: Simulator) -> None:
    await get(simulator, f"{INFO}?symbol=%42TCUSDT", {"X-Twice": "a", "x-twice": "b"})
    await get(simulator, "/api/v3/ping")
    seen = simulator.requests[0]
    assert (seen.method, seen.path, seen.raw_query) == ("GET", INFO, "symbol=%42TCUSDT")
    assert (seen.at, seen.status, seen.weight, seen.headers["x-twice"]) == (1790000110.0, 200, 20, "a, b")
    assert (simulator.count(), simulator.count(INFO), simulator.weight_spent) == (2, 1, 21)
    simulator.reset_counters()
    assert (simulator.count(), len(simulator.requests), simulator.used_weight) == (0, 0, 21)


async def test_symbols_come_go_and_change(simulator: Simulator) -> None:
    simulator.add_symbol("NEWUSDT")
    simulator.remove_symbol("BTCUSDT")
    simulator.set_status("ETHUSDT", "CANCEL_ONLY")
    names = (await get(simulator, INFO)).names
    assert names[-1] == "NEWUSDT"
    assert "BTCUSDT" not in names
    assert (await get(simulator, f"{INFO}?symbolStatus=CANCEL_ONLY")).names == ["ETHUSDT"]
    simulator.replace_document(generate_document(1))
    assert (await get(simulator, INFO)).names == ["ETHBTC"]


async def test_the_switches_work_over_http_and_are_not_counted(simulator: Simulator) -> None:
    async def switch(name: str, body: object) -> Received:
        text = json.dumps(body)
        lines = f"POST /_simulator/{name} HTTP/1.1|Host: x|Connection: close|Content-Length: {len(text)}||"
        head = lines.replace("|", "\r\n")
        return parse(await exchange(simulator, (head + text).encode()))

    assert (await switch("fault", {"fault": "TOO_MANY_429", "times": None, "retry_after": 5})).status == 200
    assert (await get(simulator, INFO)).headers["retry-after"] == "5"
    assert (await switch("fault", {"fault": None})).json["fault"] is None
    await switch("spend", {"weight": 1000})
    await switch("status", {"symbol": "BTCUSDT", "status": "HALT"})
    assert "BTCUSDT" in (await get(simulator, f"{INFO}?symbolStatus=HALT")).names
    state = (await get(simulator, "/_simulator/state")).json
    assert (state["requests"], state["weight_spent"], state["used_weight"]) == (2, 40, 1040)
    assert (await switch("reset", {})).json["used_weight"] == 0
    wrong: list[tuple[str, object]] = [("fault", {"fault": "X"}), ("fault", []), ("status", {})]
    refused = [await switch(*row) for row in (*wrong, ("fault", {"fault": "DOWN"}))]
    assert [answer.status for answer in refused] == [400] * 4
    assert (await switch("nothing", {})).status == 404


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_says_where_it_listens_and_stops_cleanly(number: signal.Signals) -> None:
    command = (sys.executable, "-W", "error", "-m", "tests.simulator", "--symbols", "30", "--port", "0")
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert process.stdout
        said = (await process.stdout.readline()).decode()
        address = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        assert address
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address[1]))
        writer.write(REQUEST)
        assert b'{"serverTime":' in await reader.read()
        writer.close()
        os.kill(process.pid, number)
        _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, errors) == (0, b"")


def test_the_simulator_does_not_know_the_gateway() -> None:
    modules = list(Path(__file__).parent.glob("*.py"))
    imports = re.compile(r"^\s*(from|import) proxy\b", re.MULTILINE)
    assert len(modules) > 20
    assert [path.name for path in modules if imports.search(path.read_text())] == []
