"""Freshness and representations: what a client gets from the cache, and what the origin sees of it."""

from __future__ import annotations

import asyncio
import gzip
import struct
import time

import pytest

from tests.gateway.harness import INFO, Clock, Stage, client, gateway, stage
from tests.simulator import Fault, Simulator, sbe, wire
from tests.simulator.api import Api
from tests.sizes import sized

SLACK_SECONDS = 1.0
"""For a machine that is busy."""
CLIENTS = sized(quick=200, usual=200, long=1000)


async def settle(on: Stage, requests: int) -> None:
    """Let the background fill reach the origin and come back."""
    for _ in range(500):
        if on.asked() >= requests and on.metric("fills_total", endpoint="exchangeInfo", result="stored") >= requests:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"the origin saw {on.asked()} requests, not {requests}")


async def test_the_second_question_is_a_hit_and_the_origin_sees_one() -> None:
    async with stage() as on:
        first = await on.ask()
        second = await on.ask()
        assert (first.status, first.cache_status) == (200, "binance-sidecar; fwd=uri-miss; stored")
        assert (second.status, second.cache_status) == (200, "binance-sidecar; hit; ttl=60")
        assert second.body == first.body
        assert on.asked(INFO) == 1


async def test_a_fresh_entry_tells_its_age_and_what_is_left() -> None:
    async with stage() as on:
        await on.ask()
        on.clock.push(18.5)
        answer = await on.ask()
        assert answer.headers["age"] == "18"
        assert answer.headers["cache-control"] == "max-age=60, must-revalidate"
        assert answer.cache_status == "binance-sidecar; hit; ttl=41"


async def test_a_stale_entry_is_answered_at_once_and_filled_in_the_background() -> None:
    async with stage() as on:
        await on.ask()
        on.clock.push(75)
        on.origin.answer_delay_seconds = 0.2
        stale = await on.ask()
        assert stale.cache_status == "binance-sidecar; hit; ttl=-15"
        await settle(on, 2)
        fresh = await on.ask()
        assert fresh.cache_status == "binance-sidecar; hit; ttl=60"
        assert on.asked(INFO) == 2


async def test_past_stale_while_revalidate_a_client_waits_a_moment_for_an_origin_that_hangs() -> None:
    async with stage(stale_after_seconds=0.2, upstream_seconds=30.0) as on:
        first = await on.ask()
        on.clock.push(1000)
        on.origin.set_fault(Fault.HANG)
        started = time.monotonic()
        answers = [await on.ask(), await on.ask(), await on.ask(f"{INFO}?symbol=BTCUSDT")]
        took = time.monotonic() - started
        assert 0.2 <= took < 0.4 + SLACK_SECONDS, "only the first one waits"
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert answers[0].body == first.body
        assert {answer.cache_status.partition("ttl=")[2] for answer in answers} == {
            "-940; detail=too-slow",
        }
        assert on.asked(INFO) == 2, "one fill goes on behind them"


async def test_a_client_waits_once_even_if_the_document_and_its_own_answer_are_old() -> None:
    hidden = f"{INFO}?permissions=TRD_GRP_003"
    async with stage(stale_after_seconds=0.5, upstream_seconds=30.0) as on:
        assert (await on.ask(hidden)).status == 200
        on.clock.push(1000)
        on.origin.set_fault(Fault.HANG)
        started = time.monotonic()
        answer = await on.ask(hidden)
        took = time.monotonic() - started
        assert answer.cache_status == "binance-sidecar; hit; ttl=-940; detail=too-slow"
        assert 0.5 <= took < 0.95


async def test_the_fill_behind_a_stale_answer_brings_the_new_document() -> None:
    async with stage(stale_after_seconds=0.0) as on:
        await on.ask()
        on.clock.push(1000)
        on.origin.answer_delay_seconds = 0.1
        assert (await on.ask()).cache_status == "binance-sidecar; hit; ttl=-940; detail=too-slow"
        await settle(on, 2)
        on.origin.answer_delay_seconds = 0.0
        await on.app.fills.drain(5.0)
        assert (await on.ask()).cache_status == "binance-sidecar; hit; ttl=60"
        assert on.asked(INFO) == 2


async def test_a_fill_that_fails_behind_a_stale_answer_is_known_to_the_next_client() -> None:
    async with stage(stale_after_seconds=0.0) as on:
        await on.ask()
        on.clock.push(1000)
        on.origin.answer_delay_seconds = 0.1
        on.origin.set_fault(Fault.INTERNAL_500)
        assert (await on.ask()).cache_status.endswith("detail=too-slow")
        await on.app.fills.drain(5.0)
        assert (await on.ask()).cache_status.endswith("detail=origin-error")


async def test_past_stale_while_revalidate_a_client_waits_for_the_fill() -> None:
    async with stage() as on:
        await on.ask()
        on.clock.push(121)
        answer = await on.ask()
        assert answer.cache_status == "binance-sidecar; fwd=stale; stored"
        assert on.asked(INFO) == 2


@pytest.mark.no_cover
@pytest.mark.parametrize("target", [INFO, f"{INFO}?symbol=BTCUSDT", f"{INFO}?showPermissionSets=false"])
async def test_a_bot_that_asks_each_minute_gets_304_until_a_rule_changes(target: str) -> None:
    async with stage() as on:
        first = await on.ask(target)
        validator = first.headers["etag"]
        assert validator.startswith('W/"')
        for encoding in ("identity", "gzip"):
            on.clock.push(1000)
            same = await on.ask(target, If_None_Match=validator, Accept_Encoding=encoding)
            assert (same.status, same.raw, same.headers["etag"]) == (304, b"", validator)
            assert "content-type" not in same.headers
        again = await on.ask(target)
        assert again.json["serverTime"] == first.json["serverTime"] + 2_000_000
        assert again.json | {"serverTime": 0} == first.json | {"serverTime": 0}
        on.origin.set_status("BTCUSDT", "BREAK")
        on.clock.push(1000)
        changed = await on.ask(target, If_None_Match=validator)
        assert (changed.status, changed.headers["etag"] != validator) == (200, True)
        assert on.asked() == 4


async def test_the_validator_of_one_time_unit_is_not_that_of_the_other() -> None:
    async with stage() as on:
        validator = (await on.ask()).headers["etag"]
        assert (await on.ask(If_None_Match=validator, X_MBX_TIME_UNIT="MICROSECOND")).status == 200


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("accept_encoding", "coding"),
    [
        ("gzip, deflate, br", "gzip"),
        ("br", None),
        ("identity", None),
        ("gzip;q=0", None),
        ("gzip;q=0.5, identity;q=0.9", None),
        ("*", "gzip"),
    ],
)
async def test_the_client_chooses_between_gzip_and_identity(accept_encoding: str, coding: str | None) -> None:
    async with stage() as on:
        plain = await on.ask()
        answer = await on.ask(Accept_Encoding=accept_encoding)
        assert answer.headers.get("content-encoding") == coding
        assert answer.body == plain.body
        assert int(answer.headers["content-length"]) == len(answer.raw)
        assert "Accept-Encoding" in answer.headers["vary"]


async def test_head_is_get_without_the_body() -> None:
    async with stage() as on:
        got = await on.ask()
        head = await on.ask(method="HEAD")
        assert (head.status, head.raw) == (200, b"")
        same = ("content-length", "etag", "content-type", "age")
        assert {name: head.headers[name] for name in same} == {name: got.headers[name] for name in same}
        assert (await on.ask("/api/v3/ping", method="HEAD")).raw == b""
        assert on.asked("/api/v3/ping") == 1


async def test_time_is_never_kept_and_passes_the_unit_on() -> None:
    async with stage() as on:
        first = await on.ask("/api/v3/time")
        on.clock.push(1)
        second = await on.ask("/api/v3/time", X_MBX_TIME_UNIT="microsecond")
        assert first.json["serverTime"] == int((on.clock.now - 1) * 1000)
        assert second.json["serverTime"] == int(on.clock.now * 1_000_000)
        assert first.headers["cache-control"] == "no-store"
        assert first.cache_status == "binance-sidecar; fwd=bypass"
        assert on.asked("/api/v3/time") == 2


async def test_a_ping_joins_only_one_that_is_in_flight() -> None:
    async with stage() as on:
        assert (await on.ask("/api/v3/ping")).json == {}
        on.origin.answer_delay_seconds = 0.3
        answers = await asyncio.gather(*(on.ask("/api/v3/ping") for _ in range(5)))
        assert [answer.json for answer in answers] == [{}] * 5
        assert on.asked("/api/v3/ping") == 2
        assert sum("collapsed" in answer.cache_status for answer in answers) == 4


async def test_a_refusal_of_the_origin_is_kept_for_a_short_while() -> None:
    async with stage() as on:
        target = f"{INFO}?symbol=NOSUCHCOIN"
        for _ in range(3):
            answer = await on.ask(target)
            assert (answer.status, answer.body) == (400, b'{"code":-1121,"msg":"Invalid symbol."}')
        assert [seen.raw_query for seen in on.origin.requests] == ["", "symbol=NOSUCHCOIN"]
        on.clock.push(11)
        await on.ask(target)
        assert on.asked(INFO) == 3


async def test_a_query_that_only_the_origin_understands_is_forwarded_and_kept_briefly() -> None:
    async with stage() as on:
        target = f"{INFO}?symbol=BTCUSDT&symbolStatus=TRADING"
        first = await on.ask(target)
        assert (first.status, first.json["code"]) == (400, -1128)
        assert first.cache_status == "binance-sidecar; fwd=bypass"
        assert (await on.ask(target)).cache_status == "binance-sidecar; hit; ttl=10"
        assert [seen.raw_query for seen in on.origin.requests] == ["symbol=BTCUSDT&symbolStatus=TRADING"]


async def test_execution_rules_are_entries_of_their_own() -> None:
    async with stage() as on:
        first = await on.ask("/api/v3/executionRules?symbols=[%22BTCUSDT%22,%22ETHUSDT%22]")
        second = await on.ask('/api/v3/executionRules?symbols=["ETHUSDT","BTCUSDT"]')
        assert first.status == 200
        assert second.body == first.body
        assert second.cache_status == "binance-sidecar; hit; ttl=60"
        assert [seen.weight for seen in on.origin.requests] == [4]


async def test_sbe_is_a_representation_of_its_own() -> None:
    async with stage() as on:
        json = await on.ask()
        binary = await on.ask(Accept="application/sbe", X_MBX_SBE="3:5")
        again = await on.ask(Accept="application/sbe", X_MBX_SBE="3:5")
        assert binary.headers["content-type"] == "application/sbe"
        assert binary.body != json.body
        assert (again.body, again.cache_status) == (binary.body, "binance-sidecar; hit; ttl=60")
        assert on.asked(INFO) == 2


@pytest.mark.no_cover
@pytest.mark.parametrize(("target", "asked"), [(INFO, 1), ("/api/v3/ping", 2), ("/api/v3/time", 2)])
async def test_the_notice_before_a_schema_is_retired_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, target: str, asked: int
) -> None:
    monkeypatch.setattr(wire, "_ORIGIN_HEADERS", {**wire._ORIGIN_HEADERS, "X-MBX-SBE-DEPRECATED": "2027-01-07"})
    clock = Clock()
    async with Simulator(clock=clock) as origin:
        for _ in range(2):  # the second replica has the entry from Redis
            async with gateway(origin, clock, redis_url=redis_url) as app, client(app.url) as asking:
                answer = await asking.ask(target, Accept="application/sbe", X_MBX_SBE="3:4")
                assert answer.headers["x-mbx-sbe-deprecated"] == "2027-01-07"
        assert origin.count(target) == asked


@pytest.mark.parametrize(
    ("schema", "switch", "code"),
    [
        ("", None, -1152),
        ("3", None, -1152),
        ("2:0", None, -1153),
        ("3:2", None, -1153),
        ("3:5", sbe.Switch.OLD_SCHEMA, -1161),
    ],
)
async def test_the_refusals_of_sbe_are_passed_on_as_they_are(
    monkeypatch: pytest.MonkeyPatch, schema: str, switch: sbe.Switch | None, code: int
) -> None:
    monkeypatch.setattr(Api, "sbe_switch", switch)
    async with stage() as on:
        for headers in ({"X_MBX_SBE": schema}, {"X_MBX_SBE": schema}):
            answer = await on.ask(Accept="application/sbe", **headers)
            assert (answer.status, answer.headers["content-type"]) == (400, "application/sbe")
            assert struct.unpack_from("<h", answer.body, 8) == (code,)
        assert on.asked() == 1


async def test_only_listed_headers_go_upstream() -> None:
    async with stage() as on:
        await on.ask(
            X_MBX_APIKEY="secret", Cookie="a=b", Authorization="Basic x", User_Agent="bot", X_Sidecar_Client="bot-1"
        )
        (seen,) = on.origin.requests
        assert set(seen.headers) == {"host", "user-agent", "accept-encoding", "accept", "via"}
        assert seen.headers["user-agent"].startswith("binance-sidecar/")


async def test_every_answer_tells_the_used_weight_of_the_ip() -> None:
    async with stage() as on:
        on.origin.spend(300)
        for target in (INFO, f"{INFO}?symbol=", "/api/v3/nothing"):
            answer = await on.ask(target)
            assert answer.headers["x-mbx-used-weight"] == answer.headers["x-mbx-used-weight-1m"] == "320"


@pytest.mark.no_cover
@pytest.mark.slow
async def test_hundreds_of_cold_clients_cost_one_request_and_who_leaves_cancels_nobody() -> None:
    async with stage() as on:
        on.origin.answer_delay_seconds = 0.5
        tasks = [asyncio.create_task(on.ask()) for _ in range(CLIENTS)]
        await on.origin.wait_for(1)
        for leaving in tasks[:100]:
            leaving.cancel()
        answers = await asyncio.gather(*tasks[100:])
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        assert on.asked() == 1


async def test_the_one_who_asked_first_may_leave_too() -> None:
    async with stage() as on:
        on.origin.answer_delay_seconds = 0.3
        first = asyncio.create_task(on.ask())
        await on.origin.wait_for(1)
        second = asyncio.create_task(on.ask())
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second).status == 200
        assert on.asked() == 1


async def test_the_origins_own_compression_is_kept_as_it_is(redis_url: str) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock) as origin,
        gateway(origin, clock, redis_url=redis_url) as app,
        client(app.url) as asking,
    ):
        packed = await asking.ask(Accept_Encoding="gzip")
        direct = await asking.ask(url=origin.url, Accept_Encoding="gzip")
        assert gzip.decompress(packed.raw) == gzip.decompress(direct.raw)


async def test_nothing_is_asked_of_a_dead_origin_twice_in_a_second() -> None:
    async with stage() as on:
        on.origin.set_fault(Fault.INTERNAL_500)
        for _ in range(5):
            assert (await on.ask()).status == 500
        assert on.asked() == 1
        on.clock.push(1.5)
        await on.ask()
        assert on.asked() == 2
