"""Every endpoint of spot and options with its cost; the futures are in `tables_futures`.

Owns the figures (rest-api.md of 2026-07-21; SDK documents of 2026-10). Must not know answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from tests.simulator import tables_futures
from tests.simulator.endpoints import OPTIONS_POOL, SPOT_POOL, ApiName, Endpoint, Endpoints, Security, Weigh
from tests.simulator.weights import (
    by_limit,
    by_number_of_symbols,
    by_presence,
    by_symbol,
    by_symbol_list,
    by_value,
    each_symbol_or_all,
    fixed,
)

_SPOT_DEPTH = by_limit((100, 5), (500, 25), (1000, 50), (5000, 250), default=5)
_DAY = by_number_of_symbols((20, 2), (100, 40), one=2, more=80)
_PRICE = by_symbol_list(one=2, many=4)

_SPOT_PUBLIC: tuple[tuple[str, Weigh, str], ...] = (
    ("ping", fixed(1), ""),
    ("time", fixed(1), ""),
    ("exchangeInfo", fixed(20), "symbol symbols permissions showPermissionSets symbolStatus"),
    ("executionRules", each_symbol_or_all(2, most=40), "symbol symbols symbolStatus"),
    ("depth", _SPOT_DEPTH, "symbol limit symbolStatus"),
    ("trades", fixed(25), "symbol limit"),
    ("historicalTrades", fixed(25), "symbol limit fromId"),
    ("historicalBlockTrades", fixed(25), "symbol fromId limit"),
    ("aggTrades", fixed(4), "symbol fromId startTime endTime limit"),
    ("klines", fixed(2), "symbol interval startTime endTime timeZone limit"),
    ("uiKlines", fixed(2), "symbol interval startTime endTime timeZone limit"),
    ("avgPrice", fixed(2), "symbol"),
    ("ticker/24hr", _DAY, "symbol symbols type symbolStatus"),
    ("ticker/tradingDay", each_symbol_or_all(4, most=200), "symbol symbols timeZone type symbolStatus"),
    ("ticker/price", _PRICE, "symbol symbols symbolStatus"),
    ("ticker/bookTicker", _PRICE, "symbol symbols symbolStatus"),
    ("ticker", each_symbol_or_all(4, most=200), "symbol symbols windowSize type symbolStatus"),
    ("referencePrice", fixed(2), "symbol"),
    ("referencePrice/calculation", fixed(2), "symbol symbolStatus"),
)
_COMPUTED = by_value("computeCommissionRates", "true", one=20, other=1)
_SPOT_SIGNED: tuple[tuple[Weigh, str], ...] = (
    (fixed(20), "GET account account/commission allOrders allOrderList myAllocations"),
    (fixed(4), "GET order orderList order/amendments"),
    (by_symbol(one=6, none=80), "GET openOrders"),
    (fixed(6), "GET openOrderList"),
    (by_presence(("orderId",), one=5, none=20), "GET myTrades"),
    (fixed(40), "GET rateLimit/order myFilters"),
    (by_presence(("preventedMatchId",), one=2, none=20), "GET myPreventedMatches"),
    (fixed(4), "PUT order/amend/keepPriority"),
    (_COMPUTED, "POST order/test sor/order/test"),
)
_SPOT_REFUNDED = (
    "POST order order/cancelReplace order/oco orderList/oco orderList/oto orderList/otoco orderList/opo "
    "orderList/opoco sor/order",
    "DELETE order openOrders orderList",
)

_OPTIONS_PUBLIC: tuple[tuple[str, Weigh], ...] = (
    *((name, fixed(1)) for name in ("ping", "time", "exchangeInfo", "index", "klines")),
    ("openInterest", fixed(0)),
    ("exerciseHistory", fixed(3)),
    *((name, fixed(5)) for name in ("trades", "blockTrades", "mark")),
    ("ticker", by_symbol(one=1, none=40)),
    ("depth", by_limit((50, 1), (100, 5), (500, 10), (1000, 20), default=5)),
)
_OPTIONS_SIGNED: tuple[tuple[Weigh, str], ...] = (
    (fixed(0), "POST order"),
    (fixed(1), "GET order bill mmp countdownCancelAll"),
    (fixed(1), "DELETE order allOpenOrders"),
    (fixed(1), "POST mmpSet mmpReset countdownCancelAll"),
    (fixed(3), "GET historyOrders marginAccount"),
    (fixed(5), "POST batchOrders block/order/create block/order/execute"),
    (fixed(5), "PUT block/order/create"),
    (fixed(5), "DELETE batchOrders allOpenOrdersByUnderlying block/order/create"),
    (fixed(5), "GET block/order/execute block/order/orders block/user-trades commission exerciseRecord"),
    (fixed(5), "GET position userTrades"),
    (fixed(10), "POST countdownCancelAllHeartBeat"),
    (fixed(50), "POST stock/contract"),
    (by_symbol(one=1, none=40), "GET openOrders"),
)
_NEW_ORDERS = ("order", "order/cancelReplace", "sor/order")


@cache
def all_endpoints() -> Endpoints:
    """Every endpoint that the facts name. Nobody changes them, so all simulators share them."""
    return Endpoints((*_spot(), *tables_futures.rows(), *_options()))


def _spot() -> Iterator[Endpoint]:
    for name, weigh, keys in _SPOT_PUBLIC:
        yield Endpoint(ApiName.SPOT, "GET", f"/api/v3/{name}", weigh, SPOT_POOL, keys=tuple(keys.split()))
    for weigh, row in _SPOT_SIGNED:
        for method, name in tables_futures.named(row):
            yield Endpoint(ApiName.SPOT, method, f"/api/v3/{name}", weigh, SPOT_POOL, Security.SIGNED)
    for row in _SPOT_REFUNDED:
        for method, name in tables_futures.named(row):
            yield _spot_trade(method, name)


def _spot_trade(method: str, name: str) -> Endpoint:
    is_new = method == "POST" and name in _NEW_ORDERS
    return Endpoint(
        ApiName.SPOT,
        method,
        f"/api/v3/{name}",
        fixed(1),
        SPOT_POOL,
        Security.SIGNED,
        is_refunded=True,
        orders=(1, 1) if is_new else (2, 2) if method == "POST" else (0, 0),
    )


def _options() -> Iterator[Endpoint]:
    for name, weigh in _OPTIONS_PUBLIC:
        yield Endpoint(ApiName.OPTIONS, "GET", f"/eapi/v1/{name}", weigh, OPTIONS_POOL)
    for weigh, row in _OPTIONS_SIGNED:
        for method, name in tables_futures.named(row):
            path = f"/eapi/v1/{name}"
            orders = (1, 1) if (method, name) == ("POST", "order") else (0, 0)
            yield Endpoint(ApiName.OPTIONS, method, path, weigh, OPTIONS_POOL, Security.SIGNED, orders=orders)
    for method in ("POST", "PUT", "DELETE"):
        yield Endpoint(ApiName.OPTIONS, method, "/eapi/v1/listenKey", fixed(1), OPTIONS_POOL, Security.KEY)
