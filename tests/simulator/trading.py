"""How orders are read on every API, and what all APIs do with them.

Owns the checks of an order's parameters. Must not know the form of an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from tests.simulator import reading
from tests.simulator.account import Account, Order
from tests.simulator.endpoints import ApiName, Values
from tests.simulator.market import Instrument
from tests.simulator.reading import RefusedError

_KINDS = (
    *("LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"),
    *("STOP", "STOP_MARKET", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"),
)


@dataclass(frozen=True, slots=True)
class Desk:
    """Orders of one API. `find` gives the instrument, or raises RefusedError."""

    api: ApiName
    account: Account
    find: Callable[[Values], Instrument]
    client_key: str = "origClientOrderId"

    def read(self, values: Values, now_ms: int) -> Order:
        """A new order, not placed yet."""
        of = self.find(values)
        side, kind = reading.mandatory(values, "side"), reading.mandatory(values, "type")
        if side not in ("BUY", "SELL"):
            raise RefusedError(-1117, "Invalid side.")
        if kind not in _KINDS:
            raise RefusedError(-1116, "Invalid orderType.")
        is_limit = "MARKET" not in kind and kind not in ("STOP_LOSS", "TAKE_PROFIT")
        if kind == "LIMIT" and self.api is not ApiName.OPTIONS:
            reading.mandatory(values, "timeInForce")
        price = amount(values, "price") if is_limit else Decimal(0)
        name = values.get("newClientOrderId") or values.get("clientOrderId")
        number = self.account.next_number()
        return Order(
            self.api,
            number,
            name or f"simulated{number}",
            of.name,
            side,
            kind,
            values.get("timeInForce") or "GTC",
            price,
            self._quantity(of, values, now_ms),
            "NEW",
            now_ms,
            now_ms,
        )

    def _quantity(self, of: Instrument, values: Values, now_ms: int) -> Decimal:
        if not values.get("quantity") and values.get("quoteOrderQty"):
            quantity = amount(values, "quoteOrderQty") / Decimal(of.show_price(of.price(now_ms)))
            return quantity.quantize(Decimal(1).scaleb(-8))
        return amount(values, "quantity")

    def place(self, values: Values, now_ms: int) -> Order:
        """RefusedError if it is not a good order, or the balance is too low."""
        order, of = self.read(values, now_ms), self.find(values)
        price = of.price(now_ms) + (of.tick if order.side == "BUY" else 0)
        return self.account.place(order, base=of.base, quote=of.quote, best=Decimal(of.show_price(price)))

    def known(self, values: Values) -> Order:
        """The order that is asked for. RefusedError -2013 if there is none."""
        symbol = self.find(values).name
        number, name = values.get("orderId"), values.get(self.client_key)
        if not number and not name:
            text = f"Param '{self.client_key}' or 'orderId' must be sent, but both were empty/null!"
            raise RefusedError(-1102, text)
        order = self.account.find(self.api, symbol, number=number, client_id=name)
        if order is None:
            raise RefusedError(-2013, "Order does not exist.")
        return order

    def cancel(self, values: Values) -> Order:
        """RefusedError -2011 if it is not open."""
        try:
            order = self.known(values)
        except RefusedError as error:
            raise RefusedError(-2011, "Unknown order sent.") if error.refused.code == -2013 else error from error
        if not order.is_open:
            raise RefusedError(-2011, "Unknown order sent.")
        of = self.find(values)
        return self.account.cancel(order, base=of.base, quote=of.quote)

    def cancel_all(self, values: Values) -> list[Order]:
        """All open orders of the symbol."""
        of = self.find(values)
        found = [order for order in self.account.listed(self.api, of.name) if order.is_open]
        return [self.account.cancel(order, base=of.base, quote=of.quote) for order in found]

    def some(self, values: Values, *, only_open: bool) -> list[Order]:
        """Oldest first; of one symbol if one is named."""
        symbol = self.find(values).name if values.get("symbol") else None
        listed = self.account.listed(self.api, symbol)
        return [order for order in listed if order.is_open or not only_open][::-1]


def amount(values: Values, key: str) -> Decimal:
    """A number over zero. RefusedError -1102, -1100 or -1013."""
    text = reading.mandatory(values, key)
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        text = f"Illegal characters found in parameter '{key}'; legal range is '^([0-9]{{1,20}})(\\.[0-9]{{1,20}})?$'."
        raise RefusedError(-1100, text)
    if found <= 0:
        raise RefusedError(-1013, f"Invalid {key}.")
    return found


def plain(number: Decimal, places: int = 8) -> str:
    return f"{number:.{places}f}"
