"""The endpoints of Binance's COIN-M futures, `/dapi` and `/futures/data`.

Owns: the tables, one line an endpoint. Must not know: other APIs. Source: the official SDK, 14.1.0.
"""

from __future__ import annotations

from proxy.core.endpoints.endpoint import Api, CachePolicy, Lines
from proxy.core.endpoints.futures_weights import DEPTH_WEIGHTS, KLINES
from proxy.core.endpoints.weight_rules import ListedLimit, OneSymbol

_LINES = Lines(Api.COIN_FUTURES, "/dapi/")
public, keyed, signed = _LINES.public, _LINES.keyed, _LINES.signed
data = Lines(Api.COIN_FUTURES, "/futures/data/").public

_DEPTH = ListedLimit(DEPTH_WEIGHTS, absent=10, refused=1)
"""Without a limit: as 500, the origin's default; no document says so."""

MARKET = (
    public("GET v1/aggTrades", 20, "symbol fromId startTime endTime limit"),
    public("GET v1/constituents", 1, "symbol"),
    public("GET v1/continuousKlines", KLINES, "pair contractType interval startTime endTime limit"),
    public("GET v1/depth", _DEPTH, "symbol limit"),
    public("GET v1/exchangeInfo", 1, policy=CachePolicy.CACHED, ignores_parameters=True, has_rate_limits=True),
    public("GET v1/fundingInfo", 1),
    public("GET v1/fundingRate", 1, "symbol startTime endTime limit"),
    public("GET v1/indexPriceKlines", KLINES, "pair interval startTime endTime limit"),
    public("GET v1/klines", KLINES, "symbol interval startTime endTime limit"),
    public("GET v1/markPriceKlines", KLINES, "symbol interval startTime endTime limit"),
    public("GET v1/openInterest", 1, "symbol"),
    public("GET v1/ping", 1, policy=CachePolicy.COLLAPSED, has_times=False),
    public("GET v1/premiumIndex", 10, "symbol pair"),
    public("GET v1/premiumIndexKlines", KLINES, "symbol interval startTime endTime limit"),
    public("GET v1/ticker/24hr", OneSymbol(1, 40), "symbol pair"),
    public("GET v1/ticker/bookTicker", OneSymbol(2, 5), "symbol pair"),
    public("GET v1/ticker/price", OneSymbol(1, 2), "symbol pair"),
    public("GET v1/time", 1, policy=CachePolicy.FORWARDED),
    public("GET v1/trades", 5, "symbol limit"),
    data("GET basis", 1, "pair contractType period limit startTime endTime"),
    data("GET globalLongShortAccountRatio", 1, "pair period contractType limit startTime endTime"),
    data("GET openInterestHist", 1, "pair period contractType limit startTime endTime"),
    data("GET takerBuySellVol", 1, "pair contractType period limit startTime endTime"),
    data("GET topLongShortAccountRatio", 1, "pair period contractType limit startTime endTime"),
    data("GET topLongShortPositionRatio", 1, "pair period contractType limit startTime endTime"),
)
"""The exchange itself and market data: the same for every caller."""

ACCOUNT = (
    signed("GET v1/account", 5, "recvWindow"),
    signed("GET v1/adlQuantile", 5, "symbol recvWindow"),
    signed("DELETE v1/allOpenOrders", 1, "symbol recvWindow"),
    signed("GET v1/allOrders", 5, "symbol pair orderId startTime endTime limit recvWindow"),
    signed("GET v1/balance", 1, "recvWindow"),
    signed("DELETE v1/batchOrders", 1, "symbol orderIdList origClientOrderIdList recvWindow"),
    signed("POST v1/batchOrders", 5, "batchOrders recvWindow"),
    signed("PUT v1/batchOrders", 5, "batchOrders recvWindow"),
    signed("GET v1/commissionRate", 20, "symbol recvWindow"),
    signed("POST v1/countdownCancelAll", 10, "symbol countdownTime recvWindow"),
    signed("GET v1/forceOrders", OneSymbol(20, 50), "symbol autoCloseType startTime endTime limit recvWindow"),
    keyed("GET v1/historicalTrades", 200, "symbol limit fromId"),
    signed("GET v1/income", 20, "symbol incomeType startTime endTime limit recvWindow"),
    signed("GET v1/income/asyn", 1000, "startTime endTime recvWindow"),
    signed("GET v1/income/asyn/id", 5, "downloadId recvWindow"),
    signed("POST v1/leverage", 1, "symbol leverage recvWindow"),
    signed("GET v1/leverageBracket", 1, "pair recvWindow"),
    keyed("DELETE v1/listenKey", 1),
    keyed("POST v1/listenKey", 1),
    keyed("PUT v1/listenKey", 1),
    signed("POST v1/marginType", 1, "symbol marginType recvWindow"),
    signed("GET v1/openOrder", 1, "symbol orderId origClientOrderId recvWindow"),
    signed("GET v1/openOrders", OneSymbol(1, 40), "symbol pair recvWindow"),
    signed("DELETE v1/order", 1, "symbol orderId origClientOrderId recvWindow"),
    signed("GET v1/order", 1, "symbol orderId origClientOrderId recvWindow"),
    signed(
        "POST v1/order",
        0,
        "symbol side type positionSide reduceOnly quantity price newClientOrderId stopPrice closePosition "
        "activationPrice callbackRate timeInForce workingType priceProtect newOrderRespType priceMatch "
        "selfTradePreventionMode recvWindow",
    ),
    signed("PUT v1/order", 1, "symbol side orderId origClientOrderId quantity price priceMatch modifyId recvWindow"),
    signed("GET v1/order/asyn", 1000, "startTime endTime recvWindow"),
    signed("GET v1/order/asyn/id", 5, "downloadId recvWindow"),
    signed("GET v1/orderAmendment", 1, "symbol orderId origClientOrderId startTime endTime limit recvWindow"),
    signed("POST v1/positionMargin", 1, "symbol amount type positionSide recvWindow"),
    signed("GET v1/positionMargin/history", 1, "symbol type startTime endTime limit recvWindow"),
    signed("GET v1/positionRisk", 1, "marginAsset pair recvWindow"),
    signed("GET v1/positionSide/dual", 30, "recvWindow"),
    signed("POST v1/positionSide/dual", 1, "dualSidePosition recvWindow"),
    signed("GET v1/trade/asyn", 1000, "startTime endTime recvWindow"),
    signed("GET v1/trade/asyn/id", 5, "downloadId recvWindow"),
    signed("GET v1/userTrades", 5, "symbol pair orderId startTime endTime fromId limit recvWindow"),
    signed("GET v2/leverageBracket", OneSymbol(1, 2), "symbol recvWindow"),
)
"""Orders and accounts."""

TABLE = (*MARKET, *ACCOUNT)
