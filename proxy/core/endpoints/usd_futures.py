"""The endpoints of Binance's USD-M futures, `/fapi` and `/futures/data`.

Owns: the tables, one line an endpoint. Must not know: other APIs. Source: the official SDK, 18.1.0, and measurements
of October 2026.
"""

from __future__ import annotations

from proxy.core.endpoints.endpoint import Api, CachePolicy, Lines
from proxy.core.endpoints.futures_weights import DEPTH_WEIGHTS, KLINES
from proxy.core.endpoints.weight_rules import ListedLimit, OneSymbol

_LINES = Lines(Api.USD_FUTURES, "/fapi/")
public, keyed, signed = _LINES.public, _LINES.keyed, _LINES.signed
data = Lines(Api.USD_FUTURES, "/futures/data/").public

_DEPTH = ListedLimit(DEPTH_WEIGHTS, absent=1, refused=1)

MARKET = (
    public("GET v1/aggTrades", 20, "symbol fromId startTime endTime limit"),
    public("GET v1/assetIndex", OneSymbol(1, 10), "symbol"),
    public("GET v1/constituents", 2, "symbol"),
    public("GET v1/continuousKlines", KLINES, "pair contractType interval startTime endTime limit"),
    public("GET v1/convert/exchangeInfo", 20, "fromAsset toAsset"),
    public("GET v1/depth", _DEPTH, "symbol limit"),
    public("GET v1/exchangeInfo", 1, policy=CachePolicy.CACHED, ignores_parameters=True, has_rate_limits=True),
    public("GET v1/fundingInfo", 0, pool="funding"),
    public("GET v1/fundingRate", 0, "symbol startTime endTime limit", pool="funding"),
    public("GET v1/indexInfo", 1, "symbol"),
    public("GET v1/indexPriceKlines", KLINES, "pair interval startTime endTime limit"),
    public("GET v1/insuranceBalance", 1, "symbol"),
    public("GET v1/klines", KLINES, "symbol interval startTime endTime limit"),
    public("GET v1/markPriceKlines", KLINES, "symbol interval startTime endTime limit"),
    public("GET v1/openInterest", 1, "symbol"),
    public("GET v1/ping", 1, policy=CachePolicy.COLLAPSED, has_times=False),
    public("GET v1/premiumIndex", OneSymbol(1, 10), "symbol"),
    public("GET v1/premiumIndexKlines", KLINES, "symbol interval startTime endTime limit"),
    public("GET v1/rpiDepth", 20, "symbol limit"),
    public("GET v1/symbolAdlRisk", 1, "symbol"),
    public("GET v1/ticker/24hr", OneSymbol(1, 40), "symbol"),
    public("GET v1/ticker/bookTicker", OneSymbol(2, 5), "symbol", has_used_weight=False),
    public("GET v1/ticker/price", OneSymbol(1, 2), "symbol"),
    public("GET v1/time", 1, policy=CachePolicy.FORWARDED),
    public("GET v1/trades", 5, "symbol limit"),
    public("GET v1/tradingSchedule", 5),
    public("GET v2/ticker/price", OneSymbol(1, 2), "symbol", has_used_weight=False),
    data(
        "GET basis",
        0,
        "pair contractType period limit startTime endTime",
        pool="futures-data-basis",
    ),
    data("GET delivery-price", 0, "pair", pool="futures-data-delivery-price"),
    data(
        "GET globalLongShortAccountRatio",
        0,
        "symbol period limit startTime endTime",
        pool="futures-data-globalLongShortAccountRatio",
    ),
    data(
        "GET openInterestHist",
        0,
        "symbol period limit startTime endTime",
        pool="futures-data-openInterestHist",
    ),
    data(
        "GET takerlongshortRatio",
        0,
        "symbol period limit startTime endTime",
        pool="futures-data-takerlongshortRatio",
    ),
    data(
        "GET topLongShortAccountRatio",
        0,
        "symbol period limit startTime endTime",
        pool="futures-data-topLongShortAccountRatio",
    ),
    data(
        "GET topLongShortPositionRatio",
        0,
        "symbol period limit startTime endTime",
        pool="futures-data-topLongShortPositionRatio",
    ),
)
"""The exchange itself and market data: the same for every caller."""

ACCOUNT = (
    signed("GET v1/accountConfig", 5, "recvWindow"),
    signed("GET v1/adlQuantile", 5, "symbol recvWindow"),
    signed("DELETE v1/algoOpenOrders", 1, "symbol recvWindow"),
    signed("DELETE v1/algoOrder", 1, "algoId clientAlgoId recvWindow"),
    signed("GET v1/algoOrder", 1, "algoId clientAlgoId recvWindow"),
    signed(
        "POST v1/algoOrder",
        0,
        "algoType symbol side type positionSide timeInForce quantity price triggerPrice workingType priceMatch "
        "closePosition priceProtect reduceOnly activatePrice callbackRate clientAlgoId newOrderRespType "
        "selfTradePreventionMode goodTillDate recvWindow",
    ),
    signed("GET v1/allAlgoOrders", 5, "symbol algoId startTime endTime limit recvWindow"),
    signed("DELETE v1/allOpenOrders", 1, "symbol recvWindow"),
    signed("GET v1/allOrders", 5, "symbol orderId startTime endTime limit recvWindow"),
    signed("GET v1/apiTradingStatus", OneSymbol(1, 10), "symbol recvWindow"),
    signed("DELETE v1/batchOrders", 1, "symbol orderIdList origClientOrderIdList recvWindow"),
    signed("POST v1/batchOrders", 5, "batchOrders recvWindow"),
    signed("PUT v1/batchOrders", 5, "batchOrders recvWindow"),
    signed("GET v1/commissionRate", 20, "symbol recvWindow"),
    signed("POST v1/convert/acceptQuote", 200, "quoteId recvWindow"),
    signed("POST v1/convert/getQuote", 50, "fromAsset toAsset fromAmount toAmount validTime recvWindow"),
    signed("GET v1/convert/orderStatus", 50, "orderId quoteId"),
    signed("POST v1/countdownCancelAll", 10, "symbol countdownTime recvWindow"),
    signed("GET v1/feeBurn", 30, "recvWindow"),
    signed("POST v1/feeBurn", 1, "feeBurn recvWindow"),
    signed("GET v1/forceOrders", OneSymbol(20, 50), "symbol autoCloseType startTime endTime limit recvWindow"),
    keyed("GET v1/historicalTrades", 200, "symbol limit fromId"),
    signed("GET v1/income", 30, "symbol incomeType startTime endTime limit recvWindow"),
    signed("GET v1/income/asyn", 1000, "startTime endTime recvWindow"),
    signed("GET v1/income/asyn/id", 10, "downloadId recvWindow"),
    signed("POST v1/leverage", 1, "symbol leverage recvWindow"),
    signed("GET v1/leverageBracket", 1, "symbol recvWindow"),
    keyed("DELETE v1/listenKey", 1),
    keyed("POST v1/listenKey", 1),
    keyed("PUT v1/listenKey", 1),
    signed("POST v1/marginType", 1, "symbol marginType recvWindow"),
    signed("GET v1/multiAssetsMargin", 30, "recvWindow"),
    signed("POST v1/multiAssetsMargin", 1, "multiAssetsMargin recvWindow"),
    signed("GET v1/openAlgoOrders", OneSymbol(1, 40), "algoType symbol algoId recvWindow"),
    signed("GET v1/openOrder", 1, "symbol orderId origClientOrderId recvWindow"),
    signed("GET v1/openOrders", OneSymbol(1, 40), "symbol recvWindow"),
    signed("DELETE v1/order", 1, "symbol orderId origClientOrderId recvWindow"),
    signed("GET v1/order", 1, "symbol orderId origClientOrderId recvWindow"),
    signed(
        "POST v1/order",
        0,
        "symbol side type positionSide timeInForce reduceOnly quantity price newClientOrderId newOrderRespType "
        "priceMatch selfTradePreventionMode goodTillDate recvWindow",
    ),
    signed(
        "PUT v1/order",
        0,
        "symbol side quantity price orderId origClientOrderId priceMatch modifyId reduceOnly recvWindow",
    ),
    signed("GET v1/order/asyn", 1000, "startTime endTime recvWindow"),
    signed("GET v1/order/asyn/id", 10, "downloadId recvWindow"),
    signed(
        "POST v1/order/test",
        20,
        "symbol side type positionSide reduceOnly quantity price newClientOrderId stopPrice closePosition "
        "activationPrice callbackRate timeInForce workingType priceProtect newOrderRespType priceMatch "
        "selfTradePreventionMode goodTillDate recvWindow",
    ),
    signed("GET v1/orderAmendment", 1, "symbol orderId origClientOrderId startTime endTime limit recvWindow"),
    signed("GET v1/pmAccountInfo", 5, "asset recvWindow"),
    signed("POST v1/positionMargin", 1, "symbol amount type positionSide recvWindow"),
    signed("GET v1/positionMargin/history", 1, "symbol type startTime endTime limit recvWindow"),
    signed("GET v1/positionSide/dual", 30, "recvWindow"),
    signed("POST v1/positionSide/dual", 1, "dualSidePosition recvWindow"),
    signed("GET v1/rateLimit/order", 1, "recvWindow"),
    signed("POST v1/stock/contract", 50, "recvWindow"),
    signed("GET v1/symbolConfig", 5, "symbol recvWindow"),
    signed("GET v1/trade/asyn", 1000, "startTime endTime recvWindow"),
    signed("GET v1/trade/asyn/id", 10, "downloadId recvWindow"),
    signed("GET v1/userTrades", 5, "symbol orderId startTime endTime fromId limit recvWindow"),
    signed("GET v2/account", 5, "recvWindow"),
    signed("GET v2/balance", 5, "recvWindow"),
    signed("GET v2/positionRisk", 5, "symbol recvWindow"),
    signed("GET v3/account", 5, "recvWindow"),
    signed("GET v3/balance", 5, "recvWindow"),
    signed("GET v3/positionRisk", 5, "symbol recvWindow"),
)
"""Orders and accounts."""

TABLE = (*MARKET, *ACCOUNT)
