"""Market data through the gateway: what is forwarded, what it costs, who shares an answer, which pool stops."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import Any

import pytest

from tests.events import capture_logs
from tests.gateway.harness import Answer, Stage, gateway, hosts, market
from tests.simulator import ApiName, Fault, Sizes

KLINES = "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=5"
ALL_TICKERS = "/api/v3/ticker/24hr"
FUTURES = "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=5"
COIN_FUTURES = "/dapi/v1/klines?symbol=BTCUSD_PERP&interval=1m&limit=5"
OPTIONS = "/eapi/v1/mark"
FUNDING = "/fapi/v1/fundingRate?symbol=BTCUSDT&limit=3"
STATISTICS = "/futures/data/openInterestHist?symbol=BTCUSDT&period=5m"
EVERY_API = (KLINES, FUTURES, COIN_FUTURES, OPTIONS)


async def straight(on: Stage, target: str, **headers: str) -> Answer:
    """What the origin itself answers."""
    api = {"/api": ApiName.SPOT, "/fap": ApiName.USD_FUTURES, "/dap": ApiName.COIN_FUTURES, "/eap": ApiName.OPTIONS}
    return await on.client.ask(target, url=on.origin.url_of(api.get(target[:4], ApiName.USD_FUTURES)), **headers)


# --- The way through.


@pytest.mark.no_cover
@pytest.mark.parametrize("target", [*EVERY_API, FUNDING, STATISTICS, "/fapi/v1/time", "/dapi/v1/ping", "/eapi/v1/time"])
@pytest.mark.parametrize("accepts", ["gzip", "identity"])
async def test_an_answer_passes_as_the_origin_gave_it(target: str, accepts: str) -> None:
    async with market() as on:
        expected = await straight(on, target, Accept_Encoding=accepts)
        got = await on.ask(target, Accept_Encoding=accepts)
        assert (got.status, got.body) == (expected.status, expected.body) == (200, expected.body)
        assert got.headers.get("content-type") == expected.headers.get("content-type")
        assert got.headers.get("content-encoding") == expected.headers.get("content-encoding")


async def test_the_query_reaches_the_origin_as_the_client_wrote_it() -> None:
    async with market() as on:
        query = "symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D&type=MINI"
        assert (await on.ask(f"{ALL_TICKERS}?{query}")).status == 200
        assert on.origin.requests[-1].raw_query == query


async def test_nothing_of_a_clients_headers_goes_on_but_what_selects_the_answer() -> None:
    async with market() as on:
        await on.ask(KLINES, X_MBX_APIKEY="k" * 64, Cookie="a=b", X_MBX_TIME_UNIT="MICROSECOND", User_Agent="bot/1")
        seen = on.origin.requests[-1].headers
        assert "x-mbx-apikey" not in seen
        assert "cookie" not in seen
        assert seen["x-mbx-time-unit"] == "MICROSECOND"
        assert seen["user-agent"].startswith("binance-sidecar/")
        assert seen["accept-encoding"] == "identity"


async def test_brotli_is_never_asked_for() -> None:
    async with market() as on:
        await on.ask(KLINES, Accept_Encoding="br, gzip")
        assert on.origin.requests[-1].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("key", ["", "k" * 64])
async def test_a_public_endpoint_is_public_whatever_key_comes_with_it(key: str) -> None:
    async with market() as on:
        on.origin.answer_delay_seconds = 0.2
        bare, keyed = await asyncio.gather(on.ask(KLINES), on.ask(KLINES, X_MBX_APIKEY=key))
        assert bare.status == keyed.status == 200
        assert on.asked("/api/v3/klines") == 1


# --- What a mode leaves out.


@pytest.mark.parametrize(
    ("target", "method"),
    [
        ("/api/v3/account?timestamp=1&signature=5ec237", "GET"),
        ("/api/v3/order?symbol=BTCUSDT&signature=5ec237", "POST"),
        ("/api/v3/klines?symbol=BTCUSDT&interval=1m&signature=5ec237", "GET"),
        ("/api/v3/time?%73ignature=5ec237", "GET"),
        ("/api/v3/exchangeInfo?signature=5ec237", "GET"),
        ("/fapi/v1/historicalTrades?symbol=BTCUSDT", "GET"),
        ("/fapi/v2/account", "GET"),
    ],
)
async def test_keyed_requests_are_refused_here_and_nothing_of_them_is_repeated(target: str, method: str) -> None:
    async with market() as on:
        answer = await on.ask(target, method, X_MBX_APIKEY="5ec2375ec237")
        assert (answer.status, answer.json["code"]) == (404, -1020)
        assert "SIDECAR_FORWARD" in answer.json["msg"]
        assert b"5ec237" not in answer.body
        assert on.asked() == 0


@pytest.mark.parametrize("target", [KLINES, FUTURES, "/fapi/v1/exchangeInfo", OPTIONS, STATISTICS])
async def test_general_forwards_only_the_general_endpoints(target: str) -> None:
    async with market(forward="general") as on:
        answer = await on.ask(target)
        assert (answer.status, answer.json["code"]) == (404, -1020)
        assert "SIDECAR_FORWARD is general" in answer.json["msg"]
        assert (await on.ask("/api/v3/exchangeInfo")).status == 200


@pytest.mark.parametrize("target", [KLINES, FUTURES, "/fapi/v1/exchangeInfo"])
async def test_a_wrong_method_on_a_public_path_is_405_with_allow(target: str) -> None:
    async with market() as on:
        answer = await on.ask(target, "POST")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert on.asked() == 0


@pytest.mark.parametrize(
    ("target", "setting"),
    [
        (FUTURES, "SIDECAR_USD_FUTURES_UPSTREAMS"),
        (STATISTICS, "SIDECAR_USD_FUTURES_UPSTREAMS"),
        (COIN_FUTURES, "SIDECAR_COIN_FUTURES_UPSTREAMS"),
        ("/eapi/v1/exchangeInfo", "SIDECAR_OPTIONS_UPSTREAMS"),
    ],
)
async def test_an_api_without_hosts_names_its_setting(target: str, setting: str) -> None:
    nothing: dict[str, Any] = {f"{api}_upstreams": () for api in ("usd_futures", "coin_futures", "options")}
    async with market(**nothing) as on:
        answer = await on.ask(target)
        assert (answer.status, answer.json["code"]) == (404, -1020)
        assert setting in answer.json["msg"]


async def test_a_path_of_both_futures_goes_to_the_one_whose_host_the_client_names() -> None:
    async with market() as on:
        target = "/futures/data/basis?pair=BTCUSD&contractType=PERPETUAL&period=5m"
        await on.ask(target)
        await on.ask(target, Host="localhost:1")
        assert [seen.host for seen in on.origin.requests] == [ApiName.USD_FUTURES, ApiName.COIN_FUTURES]


# --- Sharing.


async def test_fifty_equal_requests_in_flight_are_one() -> None:
    async with market() as on:
        on.origin.answer_delay_seconds = 0.3
        answers = await asyncio.gather(*(on.ask(ALL_TICKERS) for _ in range(50)))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        assert on.asked(ALL_TICKERS) == 1
        assert on.origin.spent["spot"] == 80


@pytest.mark.parametrize(
    "header",
    [{"Accept": "text/json"}, {"Accept_Encoding": "gzip"}, {"X_MBX_TIME_UNIT": "MICROSECOND"}, {"X_MBX_SBE": "3:0"}],
)
async def test_requests_that_differ_in_the_form_of_the_answer_share_none(header: dict[str, str]) -> None:
    async with market() as on:
        on.origin.answer_delay_seconds = 0.2
        await asyncio.gather(on.ask(KLINES), on.ask(KLINES, **header))
        assert on.asked("/api/v3/klines") == 2


async def test_time_of_the_futures_is_never_shared() -> None:
    async with market() as on:
        on.origin.answer_delay_seconds = 0.2
        await asyncio.gather(on.ask("/fapi/v1/time"), on.ask("/fapi/v1/time"))
        assert on.asked("/fapi/v1/time") == 2


@pytest.mark.parametrize("redis_url", ["memory:"])
async def test_nothing_is_kept_unless_the_operator_says_so(redis_url: str) -> None:
    async with market(redis_url=redis_url) as on:
        first = await on.ask(KLINES)
        await on.ask(KLINES)
        assert on.asked("/api/v3/klines") == 2
        assert first.headers["cache-control"] == "no-store"


async def test_market_data_is_kept_for_so_long_and_by_all_replicas(redis_url: str) -> None:
    async with market(redis_url=redis_url, market_fresh_seconds=2.0) as on:
        first = await on.ask(ALL_TICKERS)
        assert "stored" in first.cache_status
        async with gateway(
            on.origin, on.clock, redis_url=redis_url, market_fresh_seconds=2.0, **hosts(on.origin)
        ) as other:
            second = await on.client.ask(ALL_TICKERS, url=other.url)
            third = await on.ask(ALL_TICKERS)
            assert first.body == second.body == third.body
            assert on.asked(ALL_TICKERS) == (2 if redis_url == "memory:" else 1)
            before = on.asked(ALL_TICKERS)
            on.clock.push(2.1)
            await on.ask(ALL_TICKERS)
            assert on.asked(ALL_TICKERS) == before + 1


async def test_history_is_kept_and_what_may_still_change_is_not() -> None:
    async with market(history_seconds=3600.0) as on:
        end = int(on.clock.now * 1000) - 3_600_000
        past = f"/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={end - 600_000}&endTime={end}"
        young = f"/api/v3/klines?symbol=BTCUSDT&interval=1d&startTime={end - 600_000}&endTime={end}"
        for target, expected in ((past, 1), (young, 3)):
            on.origin.reset_counters()
            bodies = {(await on.ask(target)).body for _ in range(3)}
            assert len(bodies) == 1
            assert on.asked() == expected


@pytest.mark.parametrize("fault", [Fault.INVALID_JSON, Fault.ERROR_BODY, Fault.OVERLOADED_503])
async def test_what_is_not_proven_good_is_not_kept(fault: Fault) -> None:
    async with market(market_fresh_seconds=60.0) as on:
        on.origin.set_fault(fault)
        await on.ask(KLINES)
        on.origin.clear_fault()
        on.clock.push(2)
        assert (await on.ask(KLINES)).json[0]


async def test_an_origin_that_fails_writes_no_line_for_each_question() -> None:
    async with market(market_fresh_seconds=1.0, log_level="debug") as on:
        on.origin.set_fault(Fault.OVERLOADED_503)
        with capture_logs() as logs:
            for symbol in ("BTCUSDT", "ETHUSDT", "BNBBTC"):
                assert (await on.ask(f"/api/v3/ticker/24hr?symbol={symbol}")).status == 503
            assert (await on.ask("/fapi/v1/exchangeInfo")).status == 503
    failed = [(line["log_level"], line["key"]) for line in logs if line["event"] == "fill_failed"]
    assert [level for level, _ in failed] == ["debug"] * 3 + ["warning"]
    assert failed[-1][1] == "fapi/v1/exchangeInfo:all"


# --- exchangeInfo of the other APIs.


@pytest.mark.parametrize("path", ["/fapi/v1/exchangeInfo", "/dapi/v1/exchangeInfo", "/eapi/v1/exchangeInfo"])
async def test_the_exchange_info_of_an_api_is_one_entry_whatever_the_parameters(path: str) -> None:
    async with market() as on:
        first = await on.ask(path)
        second = await on.ask(f"{path}?symbol=BTCUSDT", Accept_Encoding="gzip")
        assert first.body == second.body == (await straight(on, path)).body
        assert on.origin.count(path) == 2  # one of them straight
        assert second.cache_status.startswith("binance-sidecar; hit")
        assert gzip.decompress(second.raw) == first.body


async def test_limits_are_learned_from_each_apis_own_document() -> None:
    async with market(origin={"sizes": Sizes(futures=1200, options=300)}) as on:
        await on.ask("/fapi/v1/exchangeInfo")
        await on.ask("/eapi/v1/exchangeInfo")
        windows = (await on.ask("/status")).json["windows"]
        limits = {(window["pool"], window["window"]): window["limit"] for window in windows}
        assert limits["futures", "REQUEST_WEIGHT:1m"] == 1200
        assert limits["options", "REQUEST_WEIGHT:1m"] == 300
        assert limits["spot", "REQUEST_WEIGHT:1m"] == 6000


# --- The pools.


async def test_each_pool_is_counted_apart_and_both_futures_together() -> None:
    async with market() as on:
        for target in (KLINES, FUTURES, COIN_FUTURES, OPTIONS, FUNDING, STATISTICS):
            assert (await on.ask(target)).status == 200
        windows = (await on.ask("/status")).json["windows"]
        used = {window["pool"]: window["used"] for window in windows if window["window"] != "RAW_REQUESTS:5m"}
        raw = {window["pool"]: window["used"] for window in windows if window["window"] == "RAW_REQUESTS:5m"}
        assert used == {"spot": 2, "futures": 2, "options": on.origin.spent["options"]}
        assert (raw["funding"], raw["futures-data-openInterestHist"]) == (1, 1)
        assert on.metric("window_used", pool="futures", window="REQUEST_WEIGHT:1m") == 2


@pytest.mark.parametrize(
    ("target", "pool"), [(KLINES, "spot"), (FUTURES, "futures"), (OPTIONS, "options"), (FUNDING, "funding")]
)
@pytest.mark.parametrize(("fault", "status"), [(Fault.TOO_MANY_429, 429), (Fault.TEAPOT_418, 418)])
async def test_a_refusal_stops_its_own_pool_only(target: str, pool: str, fault: Fault, status: int) -> None:
    async with market() as on:
        on.origin.set_fault(fault, pools=(pool,), retry_after=30)
        assert (await on.ask(target)).status == status
        on.origin.clear_fault()
        before = on.asked()
        assert (await on.ask(target)).status == status
        assert on.asked() == before
        others = [other for other in (KLINES, FUTURES, OPTIONS) if other != target]
        for other in others:
            assert (await on.ask(other)).status == 200, other
        blocks = (await on.ask("/status")).json["blocks"]
        assert [block["pool"] for block in blocks] == [pool]


@pytest.mark.parametrize("target", [COIN_FUTURES, FUNDING, STATISTICS])
async def test_a_ban_of_the_futures_holds_for_both_and_for_the_pools_within(target: str) -> None:
    async with market() as on:
        on.origin.set_fault(Fault.TEAPOT_418, paths=("/fapi/v1/klines",), retry_after=30)
        assert (await on.ask(FUTURES)).status == 418
        on.origin.clear_fault()
        before = on.asked()
        refused = await on.ask(target)
        assert (refused.status, on.asked()) == (418, before)
        assert int(refused.headers["retry-after"]) >= 30


async def test_the_text_of_a_futures_ban_has_no_address_in_it() -> None:
    async with market() as on:
        on.origin.set_fault(Fault.TEAPOT_418, pools=("futures",), retry_after=30)
        texts = [(await on.ask(FUTURES)).json["msg"] for _ in range(2)]
        assert texts[0] == texts[1]
        until = int(on.clock.now + 30) * 1000
        found = re.fullmatch(
            r"Way too many requests; IP banned until ([0-9]{13})\. "
            r"Please use the websocket for live updates to avoid bans\.",
            texts[0],
        )
        assert found is not None, texts[0]
        assert 0 <= int(found[1]) - until <= 5000


async def test_one_firewall_asks_the_apis_own_ping() -> None:
    async with market() as on:
        on.origin.set_fault(Fault.HTML_403, paths=("/fapi/v1/klines",))
        assert (await on.ask(FUTURES)).status == 403
        assert on.asked("/fapi/v1/ping") == 1
        assert (await on.ask(COIN_FUTURES)).status == 200
        assert (await on.ask(KLINES)).status == 200


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (KLINES, {"x-mbx-used-weight": "2", "x-mbx-used-weight-1m": "2"}),
        (FUTURES, {"x-mbx-used-weight-1m": "1"}),
        (OPTIONS, {"x-mbx-used-weight-1m": "5"}),
        (FUNDING, {}),
    ],
)
async def test_an_answer_tells_the_used_weight_of_its_own_pool(target: str, names: dict[str, str]) -> None:
    async with market() as on:
        answer = await on.ask(target)
        told = {name: value for name, value in answer.headers.items() if name.startswith("x-mbx-used")}
        assert told == names


async def test_the_used_weight_that_binance_calls_inaccurate_is_not_believed() -> None:
    async with market() as on:
        for _ in range(3):
            await on.ask("/fapi/v1/ticker/bookTicker?symbol=BTCUSDT")
        assert on.metric("window_used", pool="futures", window="REQUEST_WEIGHT:1m") == on.origin.spent["futures"]
        assert on.metric("foreign_weight_total", pool="futures") == 0


# --- The origin's own errors.


@pytest.mark.parametrize(
    "target",
    [
        "/api/v3/klines?symbol=NOSUCH&interval=1m",
        "/fapi/v1/klines?symbol=NOSUCH&interval=1m",
        "/fapi/v1/depth?symbol=BTCUSDT&limit=7",
    ],
)
async def test_the_origins_400_passes_and_is_charged(target: str) -> None:
    async with market() as on:
        expected = await straight(on, target)
        got = await on.ask(target)
        assert (got.status, got.body) == (expected.status, expected.body)
        assert got.status == 400


async def test_a_503_passes_with_its_body() -> None:
    async with market() as on:
        on.origin.set_fault(Fault.OVERLOADED_503)
        expected = await straight(on, FUTURES)
        got = await on.ask(FUTURES)
        assert (got.status, got.body) == (expected.status, expected.body)


async def test_no_used_up_futures_budget_keeps_spot_from_being_asked() -> None:
    async with market() as on:
        on.origin.spend(2155, "futures")
        await on.ask("/fapi/v1/ping")
        refused = await on.ask("/fapi/v1/ticker/24hr")
        assert (refused.status, refused.json["code"]) == (429, -1003)
        assert (await on.ask("/dapi/v1/ticker/24hr")).status == 429
        assert (await on.ask(ALL_TICKERS)).status == 200
        assert on.origin.answers_429 == 0


# --- Time from the clock.


async def test_time_from_the_clock_costs_nothing_once_the_clock_is_known() -> None:
    async with market(time="clock") as on:
        first = await on.ask("/api/v3/time")
        assert first.json["serverTime"] == int(on.clock.now * 1000)
        assert on.asked("/api/v3/time") == 1
        on.clock.push(1.25)
        second = await on.ask("/api/v3/time")
        assert second.json["serverTime"] == int(on.clock.now * 1000)
        assert on.asked("/api/v3/time") == 1
        assert 0 <= float(second.headers["x-sidecar-clock-error-ms"]) <= 50
        assert second.cache_status == "binance-sidecar; detail=clock"
        micro = await on.ask("/api/v3/time", X_MBX_TIME_UNIT="MICROSECOND")
        assert micro.json["serverTime"] == int(on.clock.now * 1_000_000)


async def test_the_origin_is_asked_again_when_the_clock_may_have_drifted() -> None:
    async with market(time="clock") as on:
        await on.ask("/api/v3/time")
        on.clock.push(600)
        await on.ask("/api/v3/time")
        assert on.asked("/api/v3/time") == 2


async def test_time_is_the_origins_by_default() -> None:
    async with market() as on:
        for _ in range(2):
            await on.ask("/api/v3/time")
        assert on.asked("/api/v3/time") == 2
