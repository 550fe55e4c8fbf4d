"""Every endpoint of the USD-M and COIN-M futures with its cost.

Owns the figures (SDK documents of 2026-10, and measurements on USD-M). Where two facts differ the higher one
stands: klines at a limit of exactly 100 or 500, and COIN-M depth without a limit. Must not know answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulator.endpoints import FUNDING_POOL, FUTURES_DATA, FUTURES_POOL, ApiName, Endpoint, Security, Weigh
from tests.simulator.weights import by_exact_limit, by_limit, by_symbol, fixed

_DEPTHS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_KLINES = by_limit((99, 1), (499, 2), (1000, 5), (1500, 10), default=5)
_PUBLIC_OF_BOTH: tuple[tuple[str, Weigh], ...] = (
    *((name, fixed(1)) for name in ("ping", "time", "exchangeInfo", "openInterest")),
    ("trades", fixed(5)),
    ("aggTrades", fixed(20)),
    *((name, _KLINES) for name in ("klines", "markPriceKlines", "premiumIndexKlines")),
    *((name, _KLINES) for name in ("indexPriceKlines", "continuousKlines")),
)
_USD_PUBLIC: tuple[tuple[str, Weigh], ...] = (
    ("v1/depth", by_exact_limit(_DEPTHS, default=1, refused=1)),
    ("v1/rpiDepth", fixed(20)),
    ("v1/premiumIndex", by_symbol(one=1, none=10)),
    ("v1/ticker/24hr", by_symbol(one=1, none=40)),
    ("v1/ticker/price", by_symbol(one=1, none=2)),
    ("v2/ticker/price", by_symbol(one=1, none=2)),
    ("v1/ticker/bookTicker", by_symbol(one=2, none=5)),
    ("v1/constituents", fixed(2)),
    ("v1/indexInfo", fixed(1)),
    ("v1/symbolAdlRisk", fixed(1)),
    ("v1/insuranceBalance", fixed(1)),
    ("v1/assetIndex", by_symbol(one=1, none=10)),
    ("v1/tradingSchedule", fixed(5)),
    ("v1/convert/exchangeInfo", fixed(20)),
)
_COIN_PUBLIC: tuple[tuple[str, Weigh], ...] = (
    ("v1/depth", by_exact_limit(_DEPTHS, default=10, refused=1)),
    ("v1/premiumIndex", fixed(10)),
    ("v1/fundingRate", fixed(1)),
    ("v1/fundingInfo", fixed(1)),
    ("v1/ticker/24hr", by_symbol(one=1, none=40)),
    ("v1/ticker/price", by_symbol(one=1, none=2)),
    ("v1/ticker/bookTicker", by_symbol(one=2, none=5)),
    ("v1/constituents", fixed(1)),
)
_RATIOS = ("openInterestHist", "globalLongShortAccountRatio", "topLongShortAccountRatio", "topLongShortPositionRatio")
_USD_DATA = (*_RATIOS, "takerlongshortRatio", "basis", "delivery-price")
_COIN_DATA = (*_RATIOS, "takerBuySellVol", "basis")
_INACCURATE = ("v1/ticker/bookTicker", "v2/ticker/price")

_OPEN = by_symbol(one=1, none=40)
_USD_SIGNED: tuple[tuple[Weigh, str], ...] = (
    (fixed(0), "POST v1/algoOrder v1/order"),
    (fixed(0), "PUT v1/order"),
    (fixed(5), "POST v1/batchOrders"),
    (fixed(5), "PUT v1/batchOrders"),
    (fixed(1), "DELETE v1/order v1/allOpenOrders v1/batchOrders v1/algoOrder v1/algoOpenOrders"),
    (fixed(1), "GET v1/order v1/openOrder v1/orderAmendment v1/algoOrder v1/leverageBracket v1/rateLimit/order"),
    (fixed(1), "GET v1/positionMargin/history"),
    (fixed(1), "POST v1/leverage v1/marginType v1/positionMargin v1/positionSide/dual v1/multiAssetsMargin v1/feeBurn"),
    (fixed(20), "POST v1/order/test"),  # not stated: the dearer one of spot
    (fixed(5), "GET v1/accountConfig v1/symbolConfig v1/adlQuantile v1/allOrders v1/allAlgoOrders v1/pmAccountInfo"),
    (fixed(5), "GET v1/userTrades v2/account v2/balance v2/positionRisk v3/account v3/balance v3/positionRisk"),
    (fixed(10), "POST v1/countdownCancelAll"),
    (fixed(10), "GET v1/income/asyn/id v1/order/asyn/id v1/trade/asyn/id"),
    (fixed(20), "GET v1/commissionRate"),
    (fixed(30), "GET v1/income v1/feeBurn v1/multiAssetsMargin v1/positionSide/dual"),
    (_OPEN, "GET v1/openOrders v1/openAlgoOrders"),
    (by_symbol(one=1, none=10), "GET v1/apiTradingStatus"),
    (by_symbol(one=20, none=50), "GET v1/forceOrders"),
    (fixed(50), "GET v1/convert/orderStatus"),
    (fixed(50), "POST v1/stock/contract v1/convert/getQuote"),
    (fixed(200), "POST v1/convert/acceptQuote"),
    (fixed(1000), "GET v1/income/asyn v1/order/asyn v1/trade/asyn"),
)
_COIN_SIGNED: tuple[tuple[Weigh, str], ...] = (
    (fixed(0), "POST v1/order"),
    (fixed(1), "PUT v1/order"),
    (fixed(1), "DELETE v1/order v1/allOpenOrders v1/batchOrders"),
    (fixed(1), "GET v1/order v1/openOrder v1/orderAmendment v1/balance v1/leverageBracket v1/positionRisk"),
    (fixed(1), "GET v1/positionMargin/history"),
    (fixed(1), "POST v1/leverage v1/marginType v1/positionMargin v1/positionSide/dual"),
    (fixed(5), "GET v1/account v1/adlQuantile v1/allOrders v1/userTrades"),
    (fixed(5), "GET v1/income/asyn/id v1/order/asyn/id v1/trade/asyn/id"),
    (fixed(5), "POST v1/batchOrders"),
    (fixed(5), "PUT v1/batchOrders"),
    (fixed(10), "POST v1/countdownCancelAll"),
    (fixed(20), "GET v1/commissionRate v1/income"),
    (fixed(30), "GET v1/positionSide/dual"),
    (fixed(1000), "GET v1/income/asyn v1/order/asyn v1/trade/asyn"),
    (_OPEN, "GET v1/openOrders"),
    (by_symbol(one=20, none=50), "GET v1/forceOrders"),
    (by_symbol(one=1, none=2), "GET v2/leverageBracket"),
)
# What a request counts in the windows of ORDERS: 10 seconds (USD-M only), a minute.
_USD_ORDERS = {
    ("POST", "v1/order"): (1, 1),
    ("POST", "v1/algoOrder"): (1, 1),
    ("PUT", "v1/order"): (1, 1),
    ("POST", "v1/batchOrders"): (5, 1),
    ("PUT", "v1/batchOrders"): (5, 1),
}
_COIN_ORDERS = {("POST", "v1/order"): (0, 1)}


def named(row: str) -> Iterator[tuple[str, str]]:
    """`GET a b` is GET of a and GET of b."""
    method, *names = row.split()
    return ((method, name) for name in names)


def rows() -> Iterator[Endpoint]:
    """Both APIs."""
    yield from _usd_public()
    yield from _coin_public()
    yield from _signed(ApiName.USD_FUTURES, "/fapi/", _USD_SIGNED, _USD_ORDERS)
    yield from _signed(ApiName.COIN_FUTURES, "/dapi/", _COIN_SIGNED, _COIN_ORDERS)


def _usd_public() -> Iterator[Endpoint]:
    api = ApiName.USD_FUTURES
    for name, weigh in _PUBLIC_OF_BOTH:
        yield Endpoint(api, "GET", f"/fapi/v1/{name}", weigh, FUTURES_POOL)
    for name, weigh in _USD_PUBLIC:
        is_true = name not in _INACCURATE
        yield Endpoint(api, "GET", f"/fapi/{name}", weigh, FUTURES_POOL, tells_true_weight=is_true)
    for name in ("fundingRate", "fundingInfo"):
        yield Endpoint(api, "GET", f"/fapi/v1/{name}", fixed(1), FUNDING_POOL, tells_weight=False)
    for name in _USD_DATA:
        path = FUTURES_DATA + name
        yield Endpoint(api, "GET", path, fixed(1), path.removeprefix("/"))


def _coin_public() -> Iterator[Endpoint]:
    api = ApiName.COIN_FUTURES
    for name, weigh in _PUBLIC_OF_BOTH:
        yield Endpoint(api, "GET", f"/dapi/v1/{name}", weigh, FUTURES_POOL)
    for name, weigh in _COIN_PUBLIC:
        yield Endpoint(api, "GET", f"/dapi/{name}", weigh, FUTURES_POOL)
    for name in _COIN_DATA:
        yield Endpoint(api, "GET", FUTURES_DATA + name, fixed(1), FUTURES_POOL)


def _signed(
    api: ApiName,
    prefix: str,
    table: tuple[tuple[Weigh, str], ...],
    orders: dict[tuple[str, str], tuple[int, int]],
) -> Iterator[Endpoint]:
    for weigh, row in table:
        for method, name in named(row):
            counted = orders.get((method, name), (0, 0))
            yield Endpoint(api, method, prefix + name, weigh, FUTURES_POOL, Security.SIGNED, orders=counted)
    yield Endpoint(api, "GET", f"{prefix}v1/historicalTrades", fixed(200), FUTURES_POOL, Security.KEY)
    for method in ("POST", "PUT", "DELETE"):
        yield Endpoint(api, method, f"{prefix}v1/listenKey", fixed(1), FUTURES_POOL, Security.KEY)
