"""Signed calls of spot: the account, its orders and its trades.

Owns the form of these answers (rest-api.md, trading and account endpoints). Must not know HTTP or signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.simulator import reading
from tests.simulator.account import Account, Order
from tests.simulator.endpoints import ApiName, Values
from tests.simulator.market import Instrument
from tests.simulator.reading import RefusedError
from tests.simulator.trading import Desk, plain

_COMMISSION = {"maker": "0.00100000", "taker": "0.00100000", "buyer": "0.00000000", "seller": "0.00000000"}


class SpotTrading:
    """Answers from one account. `now_ms` is the time; `unit` is 1000 for microseconds, or 1."""

    def __init__(self, account: Account, find: Callable[[Values], Instrument]) -> None:
        self._account = account
        self._desk = Desk(ApiName.SPOT, account, find)
        lists = ("order/oco", "orderList/oco", "orderList/oto", "orderList/otoco", "orderList/opo", "orderList/opoco")
        self._answerers: Mapping[str, Callable[[Values, int, int], object]] = {
            "GET account": self._balances,
            "GET account/commission": self._commission,
            "POST order": self._place,
            "POST sor/order": self._place,
            "POST order/test": self._test,
            "POST sor/order/test": self._test,
            "GET order": lambda values, now_ms, unit: _shown(self._desk.known(values), unit),
            "DELETE order": lambda values, now_ms, unit: _cancelled(self._desk.cancel(values), values, unit),
            "DELETE openOrders": self._cancel_all,
            "GET openOrders": lambda values, now_ms, unit: self._some(values, unit, only_open=True),
            "GET allOrders": lambda values, now_ms, unit: self._some(values, unit, only_open=False),
            "GET myTrades": self._trades,
            "POST order/cancelReplace": self._replace,
            "GET rateLimit/order": self._rate_limits,
            "GET myFilters": lambda values, now_ms, unit: {
                "exchangeFilters": [],
                "symbolFilters": [],
                "assetFilters": [],
            },
            **{f"POST {name}": self._list for name in lists},
            "DELETE orderList": self._list,
        }

    def answer(self, method: str, name: str, values: Values, now_ms: int, unit: int) -> object:
        """JSON values; an endpoint without an answer of its own gets an empty list. RefusedError as the origin."""
        answerer = self._answerers.get(f"{method} {name}")
        return [] if answerer is None else answerer(values, now_ms, unit)

    def _balances(self, values: Values, now_ms: int, unit: int) -> object:
        rows = [
            {"asset": name, "free": plain(balance.free), "locked": plain(balance.locked)}
            for name, balance in self._account.balances.items()
            if values.get("omitZeroBalances") != "true" or balance.free or balance.locked
        ]
        allowed = dict.fromkeys(("canTrade", "canWithdraw", "canDeposit"), True)
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": _COMMISSION,
            **allowed,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": now_ms * unit,
            "accountType": "SPOT",
            "balances": rows,
            "permissions": ["SPOT"],
            "uid": 354937868,
        }

    def _commission(self, values: Values, now_ms: int, unit: int) -> object:
        none = dict.fromkeys(_COMMISSION, "0.00000000")
        discount = {"enabledForAccount": True, "enabledForSymbol": True, "discountAsset": "BNB", "discount": "0.75"}
        rates = {"standardCommission": _COMMISSION, "specialCommission": none, "taxCommission": none}
        return {"symbol": self._desk.find(values).name, **rates, "discount": discount}

    def _place(self, values: Values, now_ms: int, unit: int) -> object:
        return _placed(self._desk.place(values, now_ms), values, unit)

    def _test(self, values: Values, now_ms: int, unit: int) -> object:
        self._desk.read(values, now_ms)
        if values.get("computeCommissionRates") != "true":
            return {}
        rates = {"maker": "0.00100000", "taker": "0.00100000"}
        return {"standardCommissionForOrder": rates, "specialCommissionForOrder": rates, "taxCommissionForOrder": rates}

    def _cancel_all(self, values: Values, now_ms: int, unit: int) -> object:
        cancelled = self._desk.cancel_all(values)
        if not cancelled:
            raise RefusedError(-2011, "Unknown order sent.")
        return [_cancelled(order, values, unit) for order in cancelled]

    def _some(self, values: Values, unit: int, *, only_open: bool) -> object:
        if not only_open:
            reading.mandatory(values, "symbol")
        orders = self._desk.some(values, only_open=only_open)
        return [_shown(order, unit) for order in orders[-reading.limit(values, default=500, most=1000) :]]

    def _trades(self, values: Values, now_ms: int, unit: int) -> object:
        reading.mandatory(values, "symbol")
        orders = [order for order in self._desk.some(values, only_open=False) if order.filled]
        wanted = values.get("orderId")
        return [_trade(order, unit) for order in orders if wanted in (None, "", str(order.number))]

    def _replace(self, values: Values, now_ms: int, unit: int) -> object:
        reading.mandatory(values, "cancelReplaceMode")
        names = {"orderId": "cancelOrderId", "origClientOrderId": "cancelOrigClientOrderId"}
        old = {"symbol": values.get("symbol", "")} | {key: values.get(name, "") for key, name in names.items()}
        try:
            cancelled = self._desk.cancel(old)
            placed = self._desk.place(values, now_ms)
        except RefusedError as error:
            raise RefusedError(-2022, "Order cancel-replace failed.") from error
        return {
            "cancelResult": "SUCCESS",
            "newOrderResult": "SUCCESS",
            "cancelResponse": _cancelled(cancelled, values, unit),
            "newOrderResponse": _placed(placed, values, unit),
        }

    def _rate_limits(self, values: Values, now_ms: int, unit: int) -> object:
        spans = {"10S": ("SECOND", 10), "1M": ("MINUTE", 1), "1D": ("DAY", 1)}
        return [
            {
                "rateLimitType": "ORDERS",
                "interval": spans[name][0],
                "intervalNum": spans[name][1],
                "limit": limit,
                "count": used,
            }
            for name, used, limit in self._account.order_counts(ApiName.SPOT)
        ]

    def _list(self, values: Values, now_ms: int, unit: int) -> object:
        """Order lists have no effect here: only their answer's head."""
        return {
            "orderListId": 1,
            "contingencyType": "OCO",
            "listStatusType": "EXEC_STARTED",
            "listOrderStatus": "EXECUTING",
            "listClientOrderId": values.get("listClientOrderId") or "simulatedList",
            "transactionTime": now_ms * unit,
            "symbol": self._desk.find(values).name,
            "orders": [],
            "orderReports": [],
        }


def _head(order: Order) -> dict[str, object]:
    return {"symbol": order.symbol, "orderId": order.number, "orderListId": -1, "clientOrderId": order.client_id}


def _state(order: Order) -> dict[str, object]:
    return {
        "price": plain(order.price),
        "origQty": plain(order.quantity),
        "executedQty": plain(order.filled),
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": plain(order.filled_quote),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.kind,
        "side": order.side,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def _shown(order: Order, unit: int) -> dict[str, object]:
    times = {"time": order.at_ms * unit, "updateTime": order.updated_ms * unit, "workingTime": order.at_ms * unit}
    return {**_head(order), **_state(order), "stopPrice": "0.00000000", "icebergQty": "0.00000000", **times} | {
        "isWorking": True
    }


def _placed(order: Order, values: Values, unit: int) -> dict[str, object]:
    """ACK, RESULT or FULL; market and limit orders have FULL unless asked otherwise."""
    kind = values.get("newOrderRespType") or ("FULL" if order.kind in ("LIMIT", "MARKET") else "ACK")
    head = {**_head(order), "transactTime": order.at_ms * unit}
    if kind == "ACK":
        return head
    result = {**head, **_state(order), "workingTime": order.at_ms * unit}
    if kind != "FULL":
        return result
    fill = {key: value for key, value in _trade(order, unit).items() if key in ("price", "qty", "commission")}
    fills = [{**fill, "commissionAsset": "BNB", "tradeId": order.number}] if order.filled else []
    return {**result, "fills": fills}


def _cancelled(order: Order, values: Values, unit: int) -> dict[str, object]:
    name = values.get("newClientOrderId") or f"cancelled{order.number}"
    own = {"origClientOrderId": order.client_id, "clientOrderId": name, "transactTime": order.updated_ms * unit}
    return {**_head(order), **own, **_state(order)}


def _trade(order: Order, unit: int) -> dict[str, object]:
    return {
        "symbol": order.symbol,
        "id": order.number,
        "orderId": order.number,
        "orderListId": -1,
        "price": plain(order.filled_quote / order.filled) if order.filled else "0",
        "qty": plain(order.filled),
        "quoteQty": plain(order.filled_quote),
        "commission": "0.00000000",
        "commissionAsset": "BNB",
        "time": order.at_ms * unit,
        "isBuyer": order.side == "BUY",
        "isMaker": False,
        "isBestMatch": True,
    }
