"""Signed calls of the futures and options: account, orders, listen keys.

Owns the form of these answers (SDK documents of 2026-10). Must not know HTTP or signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from tests.simulator import reading
from tests.simulator.account import Account, Order
from tests.simulator.endpoints import ApiName, Values
from tests.simulator.market import Instrument
from tests.simulator.reading import RefusedError
from tests.simulator.trading import Desk, plain

_DONE = {"code": 200, "msg": "The operation of cancel all open order is done."}


class DerivativesTrading:
    """Answers of one API from one account. `now_ms` is the time."""

    def __init__(self, api: ApiName, account: Account, find: Callable[[Values], Instrument]) -> None:
        self._api = api
        self._account = account
        self._assets = ("BTC", "ETH") if api is ApiName.COIN_FUTURES else ("USDT", "USDC")
        name = "clientOrderId" if api is ApiName.OPTIONS else "origClientOrderId"
        self._desk = Desk(api, account, find, name)
        self._answerers: Mapping[str, Callable[[Values, int], object]] = {
            "POST order": lambda values, now_ms: _shown(self._desk.place(values, now_ms)),
            "POST order/test": lambda values, now_ms: _shown(self._desk.read(values, now_ms)),
            "PUT order": lambda values, now_ms: _shown(self._desk.known(values)),
            "GET order": lambda values, now_ms: _shown(self._desk.known(values)),
            "GET openOrder": lambda values, now_ms: _shown(self._desk.known(values)),
            "DELETE order": lambda values, now_ms: _shown(self._desk.cancel(values)),
            "POST batchOrders": self._batch,
            "DELETE allOpenOrders": self._cancel_all,
            "GET openOrders": lambda values, now_ms: self._some(values, only_open=True),
            "GET allOrders": lambda values, now_ms: self._some(values, only_open=False),
            "GET historyOrders": lambda values, now_ms: self._some(values, only_open=False),
            "GET account": self._summary,
            "GET marginAccount": self._summary,
            "GET balance": lambda values, now_ms: self._balances(now_ms),
            "GET positionSide/dual": lambda values, now_ms: {"dualSidePosition": False},
            "GET multiAssetsMargin": lambda values, now_ms: {"multiAssetsMargin": False},
            "POST leverage": self._leverage,
            "GET commissionRate": self._commission,
            "POST listenKey": self._listen,
            "PUT listenKey": self._listen,
            "DELETE listenKey": self._unlisten,
        }

    def answer(self, method: str, name: str, values: Values, now_ms: int) -> object:
        """JSON values; an endpoint without an answer of its own gets an empty list, or a note that it is done."""
        answerer = self._answerers.get(f"{method} {name}")
        if answerer is not None:
            return answerer(values, now_ms)
        return [] if method == "GET" else {"code": 200, "msg": "success"}

    def _batch(self, values: Values, now_ms: int) -> object:
        """Each order has its own answer, good or bad; the whole is 200."""
        text = values.get("batchOrders") or reading.mandatory(values, "orders")
        try:
            asked = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise RefusedError(-1130, "Data sent for parameter 'batchOrders' is not valid.") from error
        rows: list[dict[str, object]] = []
        for each in asked:
            try:
                rows.append(_shown(self._desk.place({key: str(value) for key, value in each.items()}, now_ms)))
            except RefusedError as error:
                rows.append({"code": error.refused.code, "msg": error.refused.text})
        return rows

    def _cancel_all(self, values: Values, now_ms: int) -> object:
        self._desk.cancel_all(values)
        return _DONE

    def _some(self, values: Values, *, only_open: bool) -> object:
        return [_shown(order) for order in self._desk.some(values, only_open=only_open)]

    def _balances(self, now_ms: int) -> list[dict[str, object]]:
        money = ("balance", "crossWalletBalance", "availableBalance", "maxWithdrawAmount", "withdrawAvailable")
        amounts = dict.fromkeys(money, "100000.00000000")
        fixed = {"accountAlias": "simulated", "crossUnPnl": "0.00000000", "marginAvailable": True}
        return [{"asset": asset, **fixed, **amounts, "updateTime": now_ms} for asset in self._assets]

    def _summary(self, values: Values, now_ms: int) -> object:
        zero = ("initialMargin", "maintMargin", "unrealizedProfit", "positionInitialMargin", "openOrderInitialMargin")
        full = ("walletBalance", "marginBalance", "availableBalance", "maxWithdrawAmount", "crossWalletBalance")
        amounts = dict.fromkeys(zero, "0.00000000") | dict.fromkeys(full, "100000.00000000")
        totals = {f"total{name[0].upper()}{name[1:]}": amount for name, amount in amounts.items()}
        held = {**amounts, "crossUnPnl": "0.00000000", "marginAvailable": True, "updateTime": now_ms}
        assets = [{"asset": asset, **held} for asset in self._assets]
        allowed = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "updateTime": 0}
        available = {key: amounts[key] for key in ("availableBalance", "maxWithdrawAmount")}
        return {**allowed, **totals, **available, "assets": assets, "asset": assets, "positions": []}

    def _leverage(self, values: Values, now_ms: int) -> object:
        leverage = int(reading.mandatory(values, "leverage"))
        return {"symbol": self._desk.find(values).name, "leverage": leverage, "maxNotionalValue": "1000000"}

    def _commission(self, values: Values, now_ms: int) -> object:
        rates = {"makerCommissionRate": "0.0002", "takerCommissionRate": "0.0004"}
        return {"symbol": self._desk.find(values).name, **rates}

    def _listen(self, values: Values, now_ms: int) -> object:
        key = self._account.listen_keys.setdefault(self._api, f"simulatedListenKey{self._api.value}")
        return {"listenKey": key}

    def _unlisten(self, values: Values, now_ms: int) -> object:
        if self._account.listen_keys.pop(self._api, None) is None:
            raise RefusedError(-1125, "This listenKey does not exist.")
        return {}


def _shown(order: Order) -> dict[str, object]:
    average = order.filled_quote / order.filled if order.filled else order.filled
    return {
        "orderId": order.number,
        "symbol": order.symbol,
        "pair": order.symbol.partition("_")[0],
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": plain(order.price, 2),
        "avgPrice": plain(average, 2),
        "origQty": plain(order.quantity, 3),
        "quantity": plain(order.quantity, 3),
        "executedQty": plain(order.filled, 3),
        "cumQty": plain(order.filled, 3),
        "cumQuote": plain(order.filled_quote, 5),
        "cumBase": "0",
        "timeInForce": order.time_in_force,
        "type": order.kind,
        "origType": order.kind,
        "side": order.side,
        "positionSide": "BOTH",
        "reduceOnly": False,
        "closePosition": False,
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "time": order.at_ms,
        "createTime": order.at_ms,
        "updateTime": order.updated_ms,
    }
