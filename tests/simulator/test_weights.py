"""What each endpoint costs, against the documents: every figure here was copied by hand. Must not know the gateway."""

from __future__ import annotations

import pytest

from tests.simulator.endpoints import ApiName, Security, api_of
from tests.simulator.rules import parse_query
from tests.simulator.tables import all_endpoints

ENDPOINTS = all_endpoints()
LIST_OF_20 = "symbols=[" + ",".join(['"AB"'] * 20) + "]"
LIST_OF_21 = "symbols=[" + ",".join(['"AB"'] * 21) + "]"
LIST_OF_50 = "symbols=[" + ",".join(['"AB"'] * 50) + "]"
LIST_OF_51 = "symbols=[" + ",".join(['"AB"'] * 51) + "]"
LIST_OF_100 = "symbols=[" + ",".join(['"AB"'] * 100) + "]"
LIST_OF_101 = "symbols=[" + ",".join(['"AB"'] * 101) + "]"

SPOT = [
    *(("ping", 1), ("time", 1), ("exchangeInfo", 20), ("exchangeInfo?symbol=AB", 20)),
    *(("executionRules", 40), ("executionRules?symbol=AB", 2), ('executionRules?symbols=["AB","CD"]', 4)),
    *((f"executionRules?{LIST_OF_20}", 40), (f"executionRules?{LIST_OF_21}", 40)),
    ("executionRules?symbolStatus=HALT", 40),
    *(("depth?symbol=AB", 5), ("depth?symbol=AB&limit=1", 5), ("depth?symbol=AB&limit=100", 5)),
    *(("depth?symbol=AB&limit=101", 25), ("depth?symbol=AB&limit=500", 25)),
    *(("depth?symbol=AB&limit=501", 50), ("depth?symbol=AB&limit=1000", 50)),
    *(("depth?symbol=AB&limit=1001", 250), ("depth?symbol=AB&limit=5000", 250), ("depth?symbol=AB&limit=9999", 250)),
    *(("trades?symbol=AB", 25), ("historicalTrades?symbol=AB", 25), ("historicalBlockTrades?symbol=AB", 25)),
    *(("aggTrades?symbol=AB", 4), ("avgPrice?symbol=AB", 2)),
    *(("klines?symbol=AB&limit=1000", 2), ("uiKlines?symbol=AB", 2)),
    *(("ticker/24hr", 80), ("ticker/24hr?symbol=AB", 2), ('ticker/24hr?symbols=["AB"]', 2)),
    *((f"ticker/24hr?{LIST_OF_20}", 2), (f"ticker/24hr?{LIST_OF_21}", 40)),
    *((f"ticker/24hr?{LIST_OF_100}", 40), (f"ticker/24hr?{LIST_OF_101}", 80)),
    *(("ticker", 200), ("ticker/tradingDay", 200)),  # refused: the dearer one
    *(("ticker/tradingDay?symbol=AB", 4), (f"ticker/tradingDay?{LIST_OF_20}", 80)),
    *((f"ticker/tradingDay?{LIST_OF_50}", 200), (f"ticker/tradingDay?{LIST_OF_51}", 200)),
    *(("ticker/price", 4), ("ticker/price?symbol=AB", 2), ('ticker/price?symbols=["AB"]', 4)),
    *(("ticker/bookTicker", 4), ("ticker/bookTicker?symbol=AB", 2), ('ticker/bookTicker?symbols=["AB"]', 4)),
    *(("ticker?symbol=AB&windowSize=7d", 4), (f"ticker?{LIST_OF_21}", 84), (f"ticker?{LIST_OF_100}", 200)),
    *(("referencePrice?symbol=AB", 2), ("referencePrice/calculation?symbol=AB", 2)),
]
# (a limit, its weight): the dearer one of the two facts at 100 and 500.
KLINES = [(1, 1), (99, 1), (100, 2), (101, 2), (499, 2), (500, 5), (501, 5), (1000, 5), (1001, 10), (1500, 10)]
DEPTHS = [(5, 2), (10, 2), (20, 2), (50, 2), (100, 5), (500, 10), (1000, 20), (7, 1), (5000, 1)]
BOTH_FUTURES = [
    *(("v1/ping", 1), ("v1/time", 1), ("v1/exchangeInfo", 1), ("v1/exchangeInfo?symbol=AB", 1)),
    *((f"v1/depth?symbol=AB&limit={limit}", weight) for limit, weight in DEPTHS),
    *(("v1/trades?symbol=AB", 5), ("v1/historicalTrades?symbol=AB", 200), ("v1/aggTrades?symbol=AB", 20)),
    *(
        (f"v1/{name}?limit={limit}", weight)
        for name in ("klines", "continuousKlines", "indexPriceKlines", "markPriceKlines", "premiumIndexKlines")
        for limit, weight in KLINES
    ),
    *(("v1/klines?symbol=AB", 5), ("v1/continuousKlines", 5), ("v1/openInterest?symbol=AB", 1)),
    *(("v1/ticker/24hr", 40), ("v1/ticker/24hr?symbol=AB", 1)),
    *(("v1/ticker/price", 2), ("v1/ticker/price?symbol=AB", 1)),
    *(("v1/ticker/bookTicker", 5), ("v1/ticker/bookTicker?symbol=AB", 2)),
]
USD = [
    *BOTH_FUTURES,
    *(("v1/depth?symbol=AB", 1), ("v1/rpiDepth?symbol=AB", 20)),
    *(("v1/premiumIndex", 10), ("v1/premiumIndex?symbol=AB", 1)),
    *(("v2/ticker/price", 2), ("v2/ticker/price?symbol=AB", 1)),
    *(("v1/constituents?symbol=AB", 2), ("v1/indexInfo", 1), ("v1/symbolAdlRisk", 1), ("v1/insuranceBalance", 1)),
    *(
        ("v1/assetIndex", 10),
        ("v1/assetIndex?symbol=AB", 1),
        ("v1/tradingSchedule", 5),
        ("v1/convert/exchangeInfo", 20),
    ),
]
COIN = [
    *BOTH_FUTURES,
    *(("v1/depth?symbol=AB", 10), ("v1/premiumIndex", 10), ("v1/premiumIndex?symbol=AB", 10)),
    *(("v1/fundingRate?symbol=AB", 1), ("v1/fundingInfo", 1), ("v1/constituents?symbol=AB", 1)),
]
OPTIONS = [
    *(("ping", 1), ("time", 1), ("exchangeInfo", 1), ("index?underlying=AB", 1), ("klines?symbol=AB", 1)),
    *(("openInterest?underlyingAsset=AB", 0), ("exerciseHistory", 3), ("trades?symbol=AB", 5), ("blockTrades", 5)),
    *(("mark", 5), ("ticker", 40), ("ticker?symbol=AB", 1)),
    *(("depth?symbol=AB", 5), ("depth?symbol=AB&limit=50", 1), ("depth?symbol=AB&limit=100", 5)),
    *(("depth?symbol=AB&limit=500", 10), ("depth?symbol=AB&limit=1000", 20)),
]
SPOT_SIGNED = [
    ("GET account account/commission allOrders allOrderList myAllocations", 20),
    ("GET order orderList order/amendments", 4),
    ("GET openOrders?symbol=AB", 6),
    ("GET openOrders", 80),
    ("GET openOrderList", 6),
    ("GET myTrades?symbol=AB", 20),
    ("GET myTrades?symbol=AB&orderId=1", 5),
    ("GET rateLimit/order myFilters", 40),
    ("GET myPreventedMatches?symbol=AB&preventedMatchId=1", 2),
    ("GET myPreventedMatches?symbol=AB&orderId=1", 20),
    ("POST order order/cancelReplace order/oco orderList/oco orderList/oto orderList/otoco sor/order", 1),
    ("POST orderList/opo orderList/opoco", 1),
    ("DELETE order openOrders orderList", 1),
    ("PUT order/amend/keepPriority", 4),
    ("POST order/test sor/order/test", 1),
    ("POST order/test?computeCommissionRates=true sor/order/test?computeCommissionRates=true", 20),
    ("POST order/test?computeCommissionRates=false", 1),
    ("GET myPreventedMatches?symbol=AB", 20),
]
USD_SIGNED = [
    ("POST v1/algoOrder v1/order", 0),
    ("PUT v1/order", 0),
    ("POST v1/batchOrders", 5),
    ("PUT v1/batchOrders", 5),
    ("DELETE v1/order v1/allOpenOrders v1/batchOrders v1/algoOrder v1/algoOpenOrders v1/listenKey", 1),
    ("GET v1/accountConfig v1/symbolConfig v1/adlQuantile v1/allOrders v1/allAlgoOrders v1/userTrades", 5),
    ("GET v2/account v2/balance v2/positionRisk v3/account v3/balance v3/positionRisk v1/pmAccountInfo", 5),
    ("POST v1/countdownCancelAll", 10),
    ("GET v1/commissionRate", 20),
    ("GET v1/income v1/feeBurn v1/multiAssetsMargin v1/positionSide/dual", 30),
    ("GET v1/openOrders v1/openAlgoOrders", 40),
    ("GET v1/openOrders?symbol=AB v1/openAlgoOrders?symbol=AB v1/apiTradingStatus?symbol=AB", 1),
    ("GET v1/apiTradingStatus", 10),
    ("GET v1/forceOrders", 50),
    ("GET v1/forceOrders?symbol=AB", 20),
    ("POST v1/convert/acceptQuote", 200),
    ("GET v1/income/asyn v1/order/asyn v1/trade/asyn", 1000),
    ("GET v1/income/asyn/id v1/order/asyn/id v1/trade/asyn/id", 10),
    ("POST v1/stock/contract v1/convert/getQuote", 50),
    ("GET v1/convert/orderStatus", 50),
]
COIN_SIGNED = [
    ("POST v1/order", 0),
    ("PUT v1/order", 1),
    ("GET v1/balance v1/positionRisk v1/leverageBracket v1/openOrder", 1),
    ("GET v1/account v1/allOrders v1/userTrades v1/adlQuantile v1/income/asyn/id", 5),
    ("POST v1/batchOrders", 5),
    ("GET v1/income v1/commissionRate", 20),
    ("GET v1/positionSide/dual", 30),
    ("GET v1/openOrders", 40),
    ("GET v1/openOrders?symbol=AB", 1),
    ("GET v1/forceOrders", 50),
    ("GET v2/leverageBracket", 2),
    ("GET v2/leverageBracket?symbol=AB", 1),
    ("GET v1/trade/asyn", 1000),
]
OPTIONS_SIGNED = [
    ("POST order", 0),
    ("GET order bill mmp countdownCancelAll", 1),
    ("GET historyOrders marginAccount", 3),
    ("POST batchOrders block/order/create block/order/execute", 5),
    ("GET commission exerciseRecord position userTrades block/user-trades", 5),
    ("POST countdownCancelAllHeartBeat", 10),
    ("POST stock/contract", 50),
    ("GET openOrders", 40),
    ("GET openOrders?symbol=AB", 1),
]


def signed(prefix: str, table: list[tuple[str, int]]) -> list[tuple[str, str, int]]:
    rows = ((row.split(), weight) for row, weight in table)
    return [(method, prefix + name, weight) for (method, *names), weight in rows for name in names]


ROWS = [
    *((ApiName.SPOT, "GET", f"/api/v3/{name}", weight) for name, weight in SPOT),
    *((ApiName.USD_FUTURES, "GET", f"/fapi/{name}", weight) for name, weight in USD),
    *((ApiName.COIN_FUTURES, "GET", f"/dapi/{name}", weight) for name, weight in COIN),
    *((ApiName.OPTIONS, "GET", f"/eapi/v1/{name}", weight) for name, weight in OPTIONS),
    *((ApiName.SPOT, *row) for row in signed("/api/v3/", SPOT_SIGNED)),
    *((ApiName.USD_FUTURES, *row) for row in signed("/fapi/", USD_SIGNED)),
    *((ApiName.COIN_FUTURES, *row) for row in signed("/dapi/", COIN_SIGNED)),
    *((ApiName.OPTIONS, *row) for row in signed("/eapi/v1/", OPTIONS_SIGNED)),
]


@pytest.mark.parametrize(("api", "method", "target", "weight"), ROWS)
def test_an_endpoint_costs_what_the_documents_say(api: ApiName, method: str, target: str, weight: int) -> None:
    path, _, query = target.partition("?")
    endpoint = ENDPOINTS.find(api, method, path)
    assert method in ENDPOINTS.methods(api, path)
    assert endpoint.weigh(dict(parse_query(query))) == weight
    pools = {ApiName.SPOT: "spot", ApiName.OPTIONS: "options"}
    assert endpoint.pool == pools.get(api, "futures")


@pytest.mark.parametrize(
    ("api", "path", "pool", "weight"),
    [
        (ApiName.USD_FUTURES, "/fapi/v1/fundingRate", "funding", 1),
        (ApiName.USD_FUTURES, "/fapi/v1/fundingInfo", "funding", 1),
        (ApiName.USD_FUTURES, "/futures/data/basis", "futures/data/basis", 1),
        (ApiName.USD_FUTURES, "/futures/data/openInterestHist", "futures/data/openInterestHist", 1),
        (ApiName.USD_FUTURES, "/futures/data/delivery-price", "futures/data/delivery-price", 1),
        (ApiName.COIN_FUTURES, "/futures/data/basis", "futures", 1),
        (ApiName.COIN_FUTURES, "/futures/data/takerBuySellVol", "futures", 1),
        (ApiName.SPOT, "/sapi/v1/account/status", "sapi/v1/account/status", 1),
    ],
)
def test_some_paths_have_a_pool_of_their_own(api: ApiName, path: str, pool: str, weight: int) -> None:
    endpoint = ENDPOINTS.find(api, "GET", path)
    assert (endpoint.pool, endpoint.weigh({})) == (pool, weight)


def test_there_are_as_many_endpoints_as_in_the_documents() -> None:
    counted = {api: [0, 0] for api in ApiName}
    for row in ENDPOINTS:
        counted[row.api][row.security is not Security.PUBLIC] += 1
    # The two top trader ratios of USD-M and historicalBlockTrades of spot are public here.
    assert counted == {
        ApiName.SPOT: [19, 29],
        ApiName.USD_FUTURES: [34, 61],
        ApiName.COIN_FUTURES: [25, 39],
        ApiName.OPTIONS: [12, 32],
    }


def test_only_orders_of_spot_are_given_back() -> None:
    assert sorted(f"{row.method} {row.path}" for row in ENDPOINTS if row.is_refunded) == [
        "DELETE /api/v3/openOrders",
        "DELETE /api/v3/order",
        "DELETE /api/v3/orderList",
        "POST /api/v3/order",
        "POST /api/v3/order/cancelReplace",
        "POST /api/v3/order/oco",
        "POST /api/v3/orderList/oco",
        "POST /api/v3/orderList/opo",
        "POST /api/v3/orderList/opoco",
        "POST /api/v3/orderList/oto",
        "POST /api/v3/orderList/otoco",
        "POST /api/v3/sor/order",
    ]


@pytest.mark.parametrize(
    ("path", "host", "api"),
    [
        ("/futures/data/basis", None, ApiName.USD_FUTURES),
        ("/futures/data/basis", ApiName.USD_FUTURES, ApiName.USD_FUTURES),
        ("/futures/data/basis", ApiName.COIN_FUTURES, ApiName.COIN_FUTURES),
        ("/futures/data/basis", ApiName.SPOT, None),
        ("/dapi/v1/ping", None, ApiName.COIN_FUTURES),
        ("/dapi/v1/ping", ApiName.USD_FUTURES, None),
        ("/sapi/v1/account/status", ApiName.SPOT, ApiName.SPOT),
        ("/nowhere", None, None),
    ],
)
def test_a_host_serves_its_own_paths(path: str, host: ApiName | None, api: ApiName | None) -> None:
    assert api_of(path, host) is api
