"""The pools of one IP: who shares one, what refuses, what is told. Must not know the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.simulator import ApiName, Fault, Simulator, Sizes
from tests.simulator.asking import FakeClock, Received, exchange, get

SMALL = Sizes(futures=30, options=10, funding=2, futures_data=1, sapi=2)
FUNDING = "/fapi/v1/fundingRate?symbol=BTCUSDT"
RATIO = "/futures/data/globalLongShortAccountRatio?period=5m"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def simulator(clock: FakeClock) -> AsyncIterator[Simulator]:
    async with Simulator(symbols=20, clock=clock, weight_limit=10, sizes=SMALL, ban_after=1, ban_seconds=60) as made:
        yield made


async def test_both_futures_spend_one_pool(simulator: Simulator) -> None:
    await get(simulator, "/fapi/v1/aggTrades?symbol=BTCUSDT")
    coin = await get(simulator, "/dapi/v1/premiumIndex")
    assert coin.headers["x-mbx-used-weight-1m"] == "30"
    assert (await get(simulator, "/dapi/v1/ping")).status == 429
    assert (await get(simulator, "/api/v3/ping")).headers["x-mbx-used-weight-1m"] == "1"
    assert simulator.spent == {"futures": 31, "spot": 1}


@pytest.mark.parametrize(
    ("target", "pool", "others"),
    [
        ("/fapi/v1/ticker/24hr", "futures", ["/api/v3/ping", "/eapi/v1/ping", FUNDING]),
        ("/eapi/v1/ticker", "options", ["/api/v3/ping", "/dapi/v1/ping"]),
        ("/api/v3/exchangeInfo", "spot", ["/fapi/v1/ping", "/eapi/v1/ping", "/sapi/v1/system/status"]),
    ],
)
async def test_a_ban_is_of_one_pool(simulator: Simulator, target: str, pool: str, others: list[str]) -> None:
    assert [(await get(simulator, target)).status for _ in range(3)] == [429, 418, 418]
    assert [(await get(simulator, other)).status for other in others] == [200] * len(others)
    assert simulator.record.refusals == {(pool, 429): 1, (pool, 418): 2}


async def test_the_derivatives_texts_are_their_own_and_name_the_ip_of_a_ban(simulator: Simulator) -> None:
    refused, banned = [await get(simulator, "/fapi/v1/ticker/24hr") for _ in range(2)]
    assert refused.json == {
        "code": -1003,
        "msg": "Too many requests; current limit is 30 requests per minute. "
        "Please use the websocket for live updates to avoid polling the API.",
    }
    assert banned.json == {
        "code": -1003,
        "msg": "Way too many requests; IP(203.0.113.7) banned until 1790000170000. "
        "Please use the websocket for live updates to avoid bans.",
    }
    assert "retry-after" not in {**refused.headers, **banned.headers}


async def test_a_retry_after_of_the_derivatives_can_be_switched_on(clock: FakeClock) -> None:
    async with Simulator(symbols=1, clock=clock, sizes=SMALL, futures_retry_after=True) as simulator:
        assert (await get(simulator, "/fapi/v1/ticker/24hr")).headers["retry-after"] == "50"


async def test_funding_has_its_own_500_requests_in_five_minutes(simulator: Simulator, clock: FakeClock) -> None:
    answers = [await get(simulator, target) for target in (FUNDING, "/fapi/v1/fundingInfo", FUNDING)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert not any(name.startswith("x-mbx-used") for answer in answers for name in answer.headers)
    clock.now += 60
    assert (await get(simulator, FUNDING)).status == 418
    clock.now += 230
    assert (await get(simulator, FUNDING)).status == 200
    assert simulator.pools["futures"].used_weight == 0
    assert (Sizes().funding, Sizes().futures_data, Sizes().sapi) == (500, 1000, 12_000)
    assert (Sizes().spot, Sizes().raw, Sizes().futures, Sizes().options) == (6000, 300_000, 2400, 400)


async def test_each_path_of_futures_data_is_counted_by_itself_on_usd_m(simulator: Simulator) -> None:
    usd = f"{RATIO}&symbol=BTCUSDT"
    assert [(await get(simulator, usd)).status for _ in range(2)] == [200, 429]
    other = usd.replace("global", "top")
    assert (await get(simulator, other)).headers["x-mbx-used-weight-1m"] == "0"


async def test_futures_data_on_the_coin_m_host_is_of_the_futures_pool(simulator: Simulator) -> None:
    target = f"{RATIO}&pair=BTCUSD"
    answers = [await get(simulator, target, host=ApiName.COIN_FUTURES) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert answers[2].headers["x-mbx-used-weight-1m"] == "3"
    assert answers[0].json[0]["pair"] == "BTCUSD"
    assert [seen.host for seen in simulator.requests] == [ApiName.COIN_FUTURES] * 3


async def test_a_host_has_its_own_api_only(simulator: Simulator) -> None:
    wrong = await get(simulator, "/dapi/v1/ping", host=ApiName.USD_FUTURES)
    assert (wrong.status, simulator.spent) == (404, {})
    assert wrong.headers["server"] == "tengine"
    for api, path in zip(ApiName, ("/api/v3", "/fapi/v1", "/dapi/v1", "/eapi/v1"), strict=True):
        assert (await get(simulator, f"{path}/ping", host=api)).body == b"{}"


async def test_each_path_of_sapi_is_counted_by_itself_and_never_bans(simulator: Simulator) -> None:
    answers = [await get(simulator, "/sapi/v1/system/status") for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429, 429]
    assert [answer.headers["x-sapi-used-ip-weight-1m"] for answer in answers] == ["1", "2", "3", "4", "5"]
    assert "x-mbx-used-weight-1m" not in answers[0].headers
    assert (await get(simulator, "/sapi/v1/account/status")).headers["x-sapi-used-ip-weight-1m"] == "1"


def used(answer: Received) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if "weight" in name}


async def test_the_used_weight_is_told_as_each_api_tells_it(clock: FakeClock) -> None:
    async with Simulator(symbols=20, clock=clock) as simulator:
        spot = await get(simulator, "/api/v3/avgPrice?symbol=BTCUSDT")
        assert used(spot) == {"x-mbx-used-weight": "2", "x-mbx-used-weight-1m": "2"}
        assert (spot.headers["server"], spot.headers["content-type"]) == ("nginx", "application/json;charset=utf-8")
        usd = await get(simulator, "/fapi/v1/ticker/price")
        assert used(usd) == {"x-mbx-used-weight-1m": "2"}
        assert (usd.headers["server"], usd.headers["content-type"]) == ("tengine", "application/json")
        assert used(await get(simulator, "/fapi/v2/ticker/price")) == {"x-mbx-used-weight-1m": "1004"}
        assert used(await get(simulator, "/fapi/v1/ticker/bookTicker")) == {"x-mbx-used-weight-1m": "1009"}
        assert used(await get(simulator, "/dapi/v1/ticker/bookTicker")) == {"x-mbx-used-weight-1m": "14"}
        assert used(await get(simulator, "/eapi/v1/mark")) == {"x-mbx-used-weight-1m": "5"}


async def test_refused_requests_cost_the_weight_of_the_path(clock: FakeClock) -> None:
    async with Simulator(symbols=20, clock=clock) as simulator:
        depth = await get(simulator, "/fapi/v1/depth?symbol=BTCUSDT&limit=7")
        assert (depth.status, depth.json) == (400, {"code": -4021, "msg": "7 is not valid depth limit"})
        assert simulator.spent == {"futures": 1}
        assert (await get(simulator, "/fapi/v1/aggTrades?symbol=NOSUCH")).json["code"] == -1121
        assert simulator.spent == {"futures": 21}
        assert (await get(simulator, "/api/v3/depth?symbol=NOSUCH&limit=1000")).json["code"] == -1121
        assert simulator.spent == {"futures": 21, "spot": 50}


async def test_others_spend_in_any_pool_and_a_reset_lifts_every_ban(simulator: Simulator) -> None:
    text = b'{"weight":11,"pool":"options"}'
    head = f"POST /_simulator/spend HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(text)}\r\n\r\n"
    assert b'"used_by_pool":{"spot":0,"futures":0,"options":11' in await exchange(simulator, head.encode() + text)
    assert [(await get(simulator, "/eapi/v1/ping")).status for _ in range(2)] == [429, 418]
    simulator.pools.reset()
    assert (await get(simulator, "/eapi/v1/ping")).status == 200


async def test_a_fault_can_strike_one_pool(simulator: Simulator) -> None:
    simulator.set_fault(Fault.TEAPOT_418, pools=["futures"])
    banned = await get(simulator, "/dapi/v1/ping")
    assert "IP(203.0.113.7) banned until 1790000170000." in banned.json["msg"]
    assert (await get(simulator, "/api/v3/ping")).status == 200
    simulator.set_fault(Fault.TOO_MANY_429, pools=["options"])
    assert "current limit is 10 requests per minute" in (await get(simulator, "/eapi/v1/ping")).json["msg"]


@pytest.mark.parametrize(
    ("path", "pool"),
    [
        ("/api/v3/nothing", "spot"),
        ("/fapi/v9/nothing", "futures"),
        ("/dapi/v1/nothing", "futures"),
        ("/eapi/v1/nothing", "options"),
    ],
)
async def test_a_path_that_no_document_names_costs_one(simulator: Simulator, path: str, pool: str) -> None:
    assert (await get(simulator, path)).status == 404
    assert simulator.spent == {pool: 1}


async def test_a_method_that_a_path_does_not_have_is_refused(simulator: Simulator) -> None:
    assert (await get(simulator, "/fapi/v1/depth", method="DELETE")).status == 405
    assert simulator.spent == {"futures": 1}
