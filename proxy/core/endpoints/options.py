"""The endpoints of Binance's European options, `/eapi/v1`.

Owns: the tables, one line an endpoint. Must not know: other APIs. Source: the official SDK, 8.7.0.
"""

from __future__ import annotations

from proxy.core.endpoints.endpoint import Api, CachePolicy, Lines
from proxy.core.endpoints.weight_rules import Limit, OneSymbol

_LINES = Lines(Api.OPTIONS, "/eapi/v1/")
public, keyed, signed = _LINES.public, _LINES.keyed, _LINES.signed

_DEPTH = Limit(((50, 1), (100, 5), (500, 10)), absent=5, dearest=20)

MARKET = (
    public("GET blockTrades", 5, "symbol limit"),
    public("GET depth", _DEPTH, "symbol limit"),
    public("GET exchangeInfo", 1, policy=CachePolicy.CACHED, ignores_parameters=True, has_rate_limits=True),
    public("GET exerciseHistory", 3, "underlying startTime endTime limit"),
    public("GET index", 1, "underlying"),
    public("GET klines", 1, "symbol interval startTime endTime limit"),
    public("GET mark", 5, "symbol"),
    public("GET openInterest", 0, "underlyingAsset expiration"),
    public("GET ping", 1, policy=CachePolicy.COLLAPSED, has_times=False),
    public("GET ticker", OneSymbol(1, 40), "symbol"),
    public("GET time", 1, policy=CachePolicy.FORWARDED),
    public("GET trades", 5, "symbol limit"),
)
"""The exchange itself and market data: the same for every caller."""

ACCOUNT = (
    signed("DELETE allOpenOrders", 1, "symbol recvWindow"),
    signed("DELETE allOpenOrdersByUnderlying", 5, "underlying recvWindow"),
    signed("DELETE batchOrders", 5, "symbol orderIds clientOrderIds recvWindow"),
    signed("POST batchOrders", 5, "orders recvWindow"),
    signed("GET bill", 1, "currency recordId startTime endTime limit recvWindow"),
    signed("DELETE block/order/create", 5, "blockOrderMatchingKey recvWindow"),
    signed("POST block/order/create", 5, "liquidity legs recvWindow"),
    signed("PUT block/order/create", 5, "blockOrderMatchingKey recvWindow"),
    signed("GET block/order/execute", 5, "blockOrderMatchingKey recvWindow"),
    signed("POST block/order/execute", 5, "blockOrderMatchingKey recvWindow"),
    signed("GET block/order/orders", 5, "blockOrderMatchingKey endTime startTime underlying recvWindow"),
    signed("GET block/user-trades", 5, "endTime startTime underlying recvWindow"),
    signed("GET commission", 5, "recvWindow"),
    signed("GET countdownCancelAll", 1, "underlying recvWindow"),
    signed("POST countdownCancelAll", 1, "underlying countdownTime recvWindow"),
    signed("POST countdownCancelAllHeartBeat", 10, "underlyings recvWindow"),
    signed("GET exerciseRecord", 5, "symbol startTime endTime limit recvWindow"),
    signed("GET historyOrders", 3, "symbol orderId startTime endTime limit recvWindow"),
    keyed("DELETE listenKey", 1),
    keyed("POST listenKey", 1),
    keyed("PUT listenKey", 1),
    signed("GET marginAccount", 3, "recvWindow"),
    signed("GET mmp", 1, "underlying recvWindow"),
    signed("POST mmpReset", 1, "underlying recvWindow"),
    signed(
        "POST mmpSet",
        1,
        "underlying windowTimeInMilliseconds frozenTimeInMilliseconds qtyLimit deltaLimit recvWindow",
    ),
    signed("GET openOrders", OneSymbol(1, 40), "symbol orderId startTime endTime recvWindow"),
    signed("DELETE order", 1, "symbol orderId clientOrderId recvWindow"),
    signed("GET order", 1, "symbol orderId clientOrderId recvWindow"),
    signed(
        "POST order",
        0,
        "symbol side type quantity price timeInForce reduceOnly postOnly newOrderRespType clientOrderId isMmp "
        "selfTradePreventionMode recvWindow",
    ),
    signed("GET position", 5, "symbol recvWindow"),
    signed("POST stock/contract", 50, "recvWindow"),
    signed("GET userTrades", 5, "symbol fromId startTime endTime limit recvWindow"),
)
"""Orders and accounts."""

TABLE = (*MARKET, *ACCOUNT)
