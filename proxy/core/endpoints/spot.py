"""The endpoints of Binance's spot API, `/api/v3`.

Owns: the tables, one line an endpoint. Must not know: other APIs. Source: rest-api.md of binance-spot-api-docs, July
2026, and the official SDK, 13.3.0.
"""

from __future__ import annotations

from proxy.core.endpoints.endpoint import Api, CachePolicy, Lines
from proxy.core.endpoints.weight_rules import EachSymbol, Given, Limit, OneSymbol, Switched, SymbolCount

_LINES = Lines(Api.SPOT, "/api/v3/")
public, signed = _LINES.public, _LINES.signed

_DEPTH = Limit(((100, 5), (500, 25), (1000, 50)), absent=5, dearest=250)

GENERAL = (
    public("GET ping", 1, policy=CachePolicy.COLLAPSED, has_times=False),
    public("GET time", 1, policy=CachePolicy.FORWARDED),
    public(
        "GET exchangeInfo",
        20,
        "symbol symbols permissions symbolStatus showPermissionSets",
        policy=CachePolicy.CACHED,
        has_rate_limits=True,
        has_document=True,
    ),
    public(
        "GET executionRules",
        EachSymbol(2, 40),
        "symbol symbols symbolStatus",
        takes_one_parameter=True,
        policy=CachePolicy.CACHED,
        on_public_data=False,
    ),
)
"""The endpoints about the exchange itself."""

MARKET = (
    public("GET aggTrades", 4, "symbol fromId startTime endTime limit"),
    public("GET avgPrice", 2, "symbol"),
    public("GET depth", _DEPTH, "symbol limit symbolStatus"),
    public("GET historicalTrades", 25, "symbol limit fromId", on_public_data=False),
    public("GET klines", 2, "symbol interval startTime endTime timeZone limit"),
    public("GET referencePrice", 2, "symbol", on_public_data=False),
    public("GET referencePrice/calculation", 2, "symbol symbolStatus", on_public_data=False),
    public("GET ticker", EachSymbol(4, 200), "symbol symbols windowSize type symbolStatus"),
    public("GET ticker/24hr", SymbolCount(((20, 2), (100, 40)), 80), "symbol symbols type symbolStatus"),
    public("GET ticker/bookTicker", OneSymbol(2, 4), "symbol symbols symbolStatus"),
    public("GET ticker/price", OneSymbol(2, 4), "symbol symbols symbolStatus"),
    public(
        "GET ticker/tradingDay",
        EachSymbol(4, 200),
        "symbol symbols timeZone type symbolStatus",
        on_public_data=False,
    ),
    public("GET trades", 25, "symbol limit"),
    public("GET uiKlines", 2, "symbol interval startTime endTime timeZone limit"),
    public("GET historicalBlockTrades", 25, "symbol fromId limit", on_public_data=False),
)
"""Market data: the same for every caller."""

ACCOUNT = (
    signed("GET account", 20, "omitZeroBalances recvWindow"),
    signed("GET account/commission", 20, "symbol"),
    signed("GET allOrderList", 20, "fromId startTime endTime limit recvWindow"),
    signed("GET allOrders", 20, "symbol orderId startTime endTime limit recvWindow"),
    signed("GET myAllocations", 20, "symbol startTime endTime fromAllocationId limit orderId recvWindow"),
    signed("GET myFilters", 40, "symbol recvWindow"),
    signed(
        "GET myPreventedMatches",
        Given("preventedMatchId", 2, 20),
        "symbol preventedMatchId orderId fromPreventedMatchId limit recvWindow",
    ),
    signed("GET myTrades", Given("orderId", 5, 20), "symbol orderId startTime endTime fromId limit recvWindow"),
    signed("GET openOrderList", 6, "recvWindow"),
    signed("DELETE openOrders", 1, "symbol recvWindow", is_free_on_success=True),
    signed("GET openOrders", OneSymbol(6, 80), "symbol recvWindow"),
    signed(
        "DELETE order",
        1,
        "symbol orderId origClientOrderId newClientOrderId cancelRestrictions recvWindow",
        is_free_on_success=True,
    ),
    signed("GET order", 4, "symbol orderId origClientOrderId recvWindow"),
    signed(
        "POST order",
        1,
        "symbol side type timeInForce quantity quoteOrderQty price newClientOrderId strategyId strategyType "
        "stopPrice trailingDelta icebergQty newOrderRespType selfTradePreventionMode pegPriceType pegOffsetValue "
        "pegOffsetType recvWindow",
        is_free_on_success=True,
    ),
    signed("PUT order/amend/keepPriority", 4, "symbol newQty orderId origClientOrderId newClientOrderId recvWindow"),
    signed("GET order/amendments", 4, "symbol orderId fromExecutionId limit recvWindow"),
    signed(
        "POST order/cancelReplace",
        1,
        "symbol side type cancelReplaceMode timeInForce quantity quoteOrderQty price cancelNewClientOrderId "
        "cancelOrigClientOrderId cancelOrderId newClientOrderId strategyId strategyType stopPrice trailingDelta "
        "icebergQty newOrderRespType selfTradePreventionMode cancelRestrictions orderRateLimitExceededMode "
        "pegPriceType pegOffsetValue pegOffsetType recvWindow",
        is_free_on_success=True,
    ),
    signed(
        "POST order/oco",
        1,
        "symbol side quantity price stopPrice listClientOrderId limitClientOrderId limitStrategyId "
        "limitStrategyType limitIcebergQty trailingDelta stopClientOrderId stopStrategyId stopStrategyType "
        "stopLimitPrice stopIcebergQty stopLimitTimeInForce newOrderRespType selfTradePreventionMode recvWindow",
        is_free_on_success=True,
    ),
    signed(
        "POST order/test",
        Switched("computeCommissionRates", 1, 20),
        "symbol side type computeCommissionRates timeInForce quantity quoteOrderQty price newClientOrderId "
        "strategyId strategyType stopPrice trailingDelta icebergQty newOrderRespType selfTradePreventionMode "
        "pegPriceType pegOffsetValue pegOffsetType recvWindow",
    ),
    signed(
        "DELETE orderList",
        1,
        "symbol orderListId listClientOrderId newClientOrderId recvWindow",
        is_free_on_success=True,
    ),
    signed("GET orderList", 4, "orderListId origClientOrderId recvWindow"),
    signed(
        "POST orderList/oco",
        1,
        "symbol side quantity aboveType belowType listClientOrderId aboveClientOrderId aboveIcebergQty abovePrice "
        "aboveStopPrice aboveTrailingDelta aboveTimeInForce aboveStrategyId aboveStrategyType abovePegPriceType "
        "abovePegOffsetType abovePegOffsetValue belowClientOrderId belowIcebergQty belowPrice belowStopPrice "
        "belowTrailingDelta belowTimeInForce belowStrategyId belowStrategyType belowPegPriceType belowPegOffsetType "
        "belowPegOffsetValue newOrderRespType selfTradePreventionMode recvWindow",
        is_free_on_success=True,
    ),
    signed(
        "POST orderList/opo",
        1,
        "symbol workingType workingSide workingPrice workingQuantity pendingType pendingSide listClientOrderId "
        "newOrderRespType selfTradePreventionMode workingClientOrderId workingIcebergQty workingTimeInForce "
        "workingStrategyId workingStrategyType workingPegPriceType workingPegOffsetType workingPegOffsetValue "
        "pendingClientOrderId pendingPrice pendingStopPrice pendingTrailingDelta pendingIcebergQty "
        "pendingTimeInForce pendingStrategyId pendingStrategyType pendingPegPriceType pendingPegOffsetType "
        "pendingPegOffsetValue recvWindow",
        is_free_on_success=True,
    ),
    signed(
        "POST orderList/opoco",
        1,
        "symbol workingType workingSide workingPrice workingQuantity pendingSide pendingAboveType listClientOrderId "
        "newOrderRespType selfTradePreventionMode workingClientOrderId workingIcebergQty workingTimeInForce "
        "workingStrategyId workingStrategyType workingPegPriceType workingPegOffsetType workingPegOffsetValue "
        "pendingAboveClientOrderId pendingAbovePrice pendingAboveStopPrice pendingAboveTrailingDelta "
        "pendingAboveIcebergQty pendingAboveTimeInForce pendingAboveStrategyId pendingAboveStrategyType "
        "pendingAbovePegPriceType pendingAbovePegOffsetType pendingAbovePegOffsetValue pendingBelowType "
        "pendingBelowClientOrderId pendingBelowPrice pendingBelowStopPrice pendingBelowTrailingDelta "
        "pendingBelowIcebergQty pendingBelowTimeInForce pendingBelowStrategyId pendingBelowStrategyType "
        "pendingBelowPegPriceType pendingBelowPegOffsetType pendingBelowPegOffsetValue recvWindow",
        is_free_on_success=True,
    ),
    signed(
        "POST orderList/oto",
        1,
        "symbol workingType workingSide workingPrice workingQuantity pendingType pendingSide pendingQuantity "
        "listClientOrderId newOrderRespType selfTradePreventionMode workingClientOrderId workingIcebergQty "
        "workingTimeInForce workingStrategyId workingStrategyType workingPegPriceType workingPegOffsetType "
        "workingPegOffsetValue pendingClientOrderId pendingPrice pendingStopPrice pendingTrailingDelta "
        "pendingIcebergQty pendingTimeInForce pendingStrategyId pendingStrategyType pendingPegPriceType "
        "pendingPegOffsetType pendingPegOffsetValue recvWindow",
        is_free_on_success=True,
    ),
    signed(
        "POST orderList/otoco",
        1,
        "symbol workingType workingSide workingPrice workingQuantity pendingSide pendingQuantity pendingAboveType "
        "listClientOrderId newOrderRespType selfTradePreventionMode workingClientOrderId workingIcebergQty "
        "workingTimeInForce workingStrategyId workingStrategyType workingPegPriceType workingPegOffsetType "
        "workingPegOffsetValue pendingAboveClientOrderId pendingAbovePrice pendingAboveStopPrice "
        "pendingAboveTrailingDelta pendingAboveIcebergQty pendingAboveTimeInForce pendingAboveStrategyId "
        "pendingAboveStrategyType pendingAbovePegPriceType pendingAbovePegOffsetType pendingAbovePegOffsetValue "
        "pendingBelowType pendingBelowClientOrderId pendingBelowPrice pendingBelowStopPrice "
        "pendingBelowTrailingDelta pendingBelowIcebergQty pendingBelowTimeInForce pendingBelowStrategyId "
        "pendingBelowStrategyType pendingBelowPegPriceType pendingBelowPegOffsetType pendingBelowPegOffsetValue "
        "recvWindow",
        is_free_on_success=True,
    ),
    signed("GET rateLimit/order", 40, "recvWindow"),
    signed(
        "POST sor/order",
        1,
        "symbol side type quantity timeInForce price newClientOrderId strategyId strategyType icebergQty "
        "newOrderRespType selfTradePreventionMode recvWindow",
        is_free_on_success=True,
    ),
    signed(
        "POST sor/order/test",
        Switched("computeCommissionRates", 1, 20),
        "symbol side type quantity computeCommissionRates timeInForce price newClientOrderId strategyId "
        "strategyType icebergQty newOrderRespType selfTradePreventionMode recvWindow",
    ),
)
"""Orders and accounts."""

TABLE = (*GENERAL, *MARKET, *ACCOUNT)
