"""Market data: shapes that clients parse, the same answer to the same question. Must not know the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from tests.simulator import ApiName, Simulator
from tests.simulator.asking import FakeClock, get

NOW_MS = 1_790_000_110_000
HOUR_MS = 3_600_000
PATHS = {
    ApiName.SPOT: ("/api/v3", "BTCUSDT"),
    ApiName.USD_FUTURES: ("/fapi/v1", "BTCUSDT"),
    ApiName.COIN_FUTURES: ("/dapi/v1", "BTCUSD_PERP"),
}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(symbols=40, clock=FakeClock()) as made:
        yield made


@pytest.mark.parametrize("api", PATHS)
async def test_candles_are_aligned_joined_and_the_last_one_is_open(simulator: Simulator, api: ApiName) -> None:
    path, symbol = PATHS[api]
    rows = (await get(simulator, f"{path}/klines?symbol={symbol}&interval=1h&limit=24")).json
    assert len(rows) == 24
    assert all(len(row) == 12 for row in rows)
    assert all(row[0] % HOUR_MS == 0 and row[6] == row[0] + HOUR_MS - 1 for row in rows)
    assert rows[-1][0] <= NOW_MS < rows[-1][6]
    for row, after in pairwise(rows):
        assert (after[0], after[1]) == (row[0] + HOUR_MS, row[4])
    for row in rows:
        first, high, low, last, volume = (float(row[place]) for place in (1, 2, 3, 4, 5))
        assert low <= min(first, last) <= max(first, last) <= high
        assert volume > 0
        assert float(row[7]) > 0


@pytest.mark.parametrize(
    ("query", "opens"),
    [
        (f"interval=1h&startTime={NOW_MS - 5 * HOUR_MS}&limit=2", [1789984800000, 1789988400000]),
        (f"interval=1h&endTime={NOW_MS - 5 * HOUR_MS}&limit=2", [1789977600000, 1789981200000]),
        (f"interval=1h&startTime={NOW_MS + HOUR_MS}", []),
        ("interval=1w&limit=1", [1789948800000]),
        ("interval=1M&limit=2", [1785542400000, 1788220800000]),
        ("interval=1d&timeZone=8&limit=1", [1789920000000]),
        ("interval=1d&startTime=0&limit=1", [1546300800000]),
    ],
)
async def test_candles_are_chosen_by_start_end_and_limit(simulator: Simulator, query: str, opens: list[int]) -> None:
    rows = (await get(simulator, f"/api/v3/klines?symbol=BTCUSDT&{query}")).json
    assert [row[0] for row in rows] == opens


@pytest.mark.parametrize("api", PATHS)
async def test_trades_can_be_asked_for_again_by_number_and_time(simulator: Simulator, api: ApiName) -> None:
    path, symbol = PATHS[api]
    rows = (await get(simulator, f"{path}/aggTrades?symbol={symbol}&limit=5")).json
    numbers = [row["a"] for row in rows]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert rows[-1]["T"] <= NOW_MS
    again = await get(simulator, f"{path}/aggTrades?symbol={symbol}&fromId={numbers[1]}&limit=2")
    assert again.json == rows[1:3]
    timed = f"startTime={rows[1]['T']}&endTime={rows[3]['T']}"
    assert (await get(simulator, f"{path}/aggTrades?symbol={symbol}&{timed}")).json == rows[1:4]
    assert len((await get(simulator, f"{path}/trades?symbol={symbol}&limit=7")).json) == 7


@pytest.mark.parametrize("api", PATHS)
async def test_a_book_has_bids_under_asks(simulator: Simulator, api: ApiName) -> None:
    path, symbol = PATHS[api]
    book = (await get(simulator, f"{path}/depth?symbol={symbol}&limit=50")).json
    bids, asks = ([float(price) for price, _ in book[side]] for side in ("bids", "asks"))
    assert (len(bids), len(asks)) == (50, 50)
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert 0 < bids[0] < asks[0]
    best = (await get(simulator, f"{path}/ticker/bookTicker?symbol={symbol}")).json
    assert float((best[0] if isinstance(best, list) else best)["bidPrice"]) == bids[0]


async def test_the_whole_market_has_a_ticker_with_volumes_for_every_listed_symbol(simulator: Simulator) -> None:
    names = (await get(simulator, "/api/v3/exchangeInfo")).names
    for path in ("ticker/24hr", "ticker/price", "ticker/bookTicker"):
        assert [row["symbol"] for row in (await get(simulator, f"/api/v3/{path}")).json] == names
    for row in (await get(simulator, "/api/v3/ticker/24hr")).json:
        assert len(row) == 21
        assert float(row["volume"]) > 0
        assert float(row["quoteVolume"]) > 0
        assert float(row["lastPrice"]) > 0
    mini = (await get(simulator, '/api/v3/ticker/24hr?symbols=["ETHUSDT","BTCUSDT"]&type=MINI')).json
    assert [(row["symbol"], len(row)) for row in mini] == [("ETHUSDT", 12), ("BTCUSDT", 12)]


async def test_coin_m_answers_lists_and_pairs_where_usd_m_answers_one_row(simulator: Simulator) -> None:
    for path in ("ticker/24hr", "ticker/price", "ticker/bookTicker", "premiumIndex"):
        usd = (await get(simulator, f"/fapi/v1/{path}?symbol=btcusdt")).json
        coin = (await get(simulator, f"/dapi/v1/{path}?symbol=BTCUSD_PERP")).json
        assert usd["symbol"] == "BTCUSDT"
        assert [row["symbol"] for row in coin] == ["BTCUSD_PERP"]
    assert len((await get(simulator, "/dapi/v1/ticker/price?pair=BTCUSD")).json) == 3


async def test_the_derivatives_list_their_contracts(simulator: Simulator) -> None:
    usd, coin, options = [
        (await get(simulator, f"/{name}/v1/exchangeInfo?symbol=ignored")).json for name in ("fapi", "dapi", "eapi")
    ]
    assert (usd["serverTime"], usd["symbols"][0]["status"]) == (NOW_MS, "TRADING")
    assert [row["limit"] for row in usd["rateLimits"]] == [2400, 1200, 300]
    assert (coin["symbols"][0]["symbol"], coin["symbols"][0]["contractStatus"]) == ("BTCUSD_PERP", "TRADING")
    assert options["rateLimits"][0]["limit"] == 400
    names = [row["symbol"] for row in usd["symbols"]]
    assert {"BTCUSDT", "ETHUSDT", "BTCUSDT_260925", "BTCUSDT_261225"} <= set(names)
    assert [row["symbol"] for row in (await get(simulator, "/fapi/v1/ticker/price")).json] == names
    listed = [row["symbol"] for row in options["optionSymbols"]]
    assert [row["symbol"] for row in (await get(simulator, "/eapi/v1/mark")).json] == listed


async def test_the_answer_follows_from_seed_and_clock_alone() -> None:
    targets = ("/api/v3/ticker/24hr", "/fapi/v1/klines?symbol=ETHUSDT&interval=5m", "/eapi/v1/ticker", "/dapi/v1/depth")

    async def bodies(seed: int, later: float) -> list[bytes]:
        clock = FakeClock()
        clock.now += later
        async with Simulator(symbols=20, clock=clock, seed=seed) as simulator:
            return [(await get(simulator, target)).body for target in targets]

    first = await bodies(0, 0)
    assert await bodies(0, 0) == first
    assert [one == other for one, other in zip(first, await bodies(1, 0), strict=True)] == [False] * 3 + [True]
    assert [one == other for one, other in zip(first, await bodies(0, 60), strict=True)] == [False] * 3 + [True]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/api/v3/depth", -1102),
        ("/api/v3/depth?symbol=", -1105),
        ("/api/v3/depth?symbol=btcusdt", -1100),
        ("/api/v3/depth?symbol=NOSUCH", -1121),
        ("/api/v3/depth?symbol=BTCUSDT&limit=many", -1100),
        ("/api/v3/depth?symbol=BTCUSDT&x=1", -1104),
        ("/api/v3/depth?symbol=BTCUSDT&symbol=ETHUSDT", -1101),
        ("/api/v3/ticker/24hr?symbol=A&symbols=B&type=C&symbolStatus=D&x=1", -1101),
        ("/api/v3/ticker/24hr?symbol=DNTETH&symbolStatus=TRADING", -1220),
        ('/api/v3/ticker/24hr?symbols=["BTCUSDT","BTCUSDT"]', -1151),
        ('/api/v3/ticker/price?symbol=BTCUSDT&symbols=["BTCUSDT"]', -1128),
        (f"/api/v3/ticker?symbols=[{','.join([f'%22A{number}%22' for number in range(101)])}]", -1101),
        ("/api/v3/klines?symbol=BTCUSDT&interval=7m", -1120),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=1h&limit=1501", -1130),
        ("/fapi/v1/ticker/24hr?symbol=NOSUCH", -1121),
        ("/dapi/v1/depth?symbol=BTCUSD_PERP&limit=7", -4021),
        ("/futures/data/basis?pair=BTCUSDT&contractType=PERPETUAL&period=7m", -1130),
        ("/eapi/v1/klines?symbol=BTCUSDT&interval=1h", -1121),
    ],
)
async def test_a_wrong_question_is_refused(simulator: Simulator, target: str, code: int) -> None:
    answer = await get(simulator, target)
    assert (answer.status, answer.json["code"]) == (400, code)


async def test_a_list_leaves_out_symbols_of_another_status(simulator: Simulator) -> None:
    target = '/api/v3/ticker/price?symbols=["DNTETH","BTCUSDT"]&symbolStatus=TRADING'
    assert [row["symbol"] for row in (await get(simulator, target)).json] == ["BTCUSDT"]


async def test_times_of_spot_come_in_the_unit_asked_for(simulator: Simulator) -> None:
    micro = {"X-MBX-TIME-UNIT": "MICROSECOND"}
    (row,) = (await get(simulator, "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1", micro)).json
    assert (row[0], row[6]) == (1790000100000000, 1790000159999999)
    assert (await get(simulator, "/api/v3/avgPrice?symbol=BTCUSDT", micro)).json["closeTime"] == NOW_MS * 1000
    (usd,) = (await get(simulator, "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1", micro)).json
    assert usd[0] == 1790000100000


async def test_market_data_can_be_asked_for_in_binary(simulator: Simulator) -> None:
    wanted = {"Accept": "application/sbe", "X-MBX-SBE": "3:5"}
    answer = await get(simulator, "/api/v3/avgPrice?symbol=BTCUSDT", wanted)
    assert (answer.headers["content-type"], answer.body[2:6]) == ("application/sbe", b"\xc8\x00\x03\x00")
