"""The one account behind every key: balances, orders, trades, and its limits of ORDERS.

Owns what a trader has and has done, on all APIs. Must not know HTTP, signatures or the form of any answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from tests.simulator.endpoints import ApiName
from tests.simulator.limits import Window
from tests.simulator.reading import RefusedError
from tests.simulator.signing import Key, KeyKind

HMAC_KEY = "simulatorKeyForHmac"
HMAC_SECRET = "simulatorSecretForHmac"
_START = {"BTC": "10", "ETH": "100", "BNB": "1000", "USDT": "1000000", "USDC": "100000", "FDUSD": "100000"}


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it stands. `filled_quote` is what its executed part was worth."""

    api: ApiName
    number: int
    client_id: str
    symbol: str
    side: str
    kind: str
    time_in_force: str
    price: Decimal
    quantity: Decimal
    status: str
    at_ms: int
    updated_ms: int
    filled: Decimal = Decimal(0)
    filled_quote: Decimal = Decimal(0)

    @property
    def is_open(self) -> bool:
        return self.status == "NEW"


@dataclass(slots=True)
class Balance:
    """Of one asset on spot."""

    free: Decimal = Decimal(0)
    locked: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class OrderSizes:
    """Limits of ORDERS by account: in 10 seconds (COIN-M has none), and in a minute, on spot in a day."""

    spot: tuple[int, int] = (100, 200_000)
    usd_futures: tuple[int, int] = (300, 1200)
    options: tuple[int, int] = (30, 100)


class Account:
    """Keys, balances and orders of one trader. `keys` may be added to at any time."""

    age_clock: Callable[[], float] | None = None
    """What the age of a signed request is measured by, in place of the origin's clock: that of its client."""

    def __init__(self, *, clock: Callable[[], float], sizes: OrderSizes) -> None:
        self._clock = clock
        self.keys: dict[str, Key] = {HMAC_KEY: Key(HMAC_KEY, KeyKind.HMAC, HMAC_SECRET)}
        self.balances: dict[str, Balance] = {name: Balance(Decimal(text)) for name, text in _START.items()}
        self.orders: dict[tuple[ApiName, int], Order] = {}
        self.listen_keys: dict[ApiName, str] = {}
        futures_minute = Window(60, sizes.usd_futures[1])  # USD-M and COIN-M together
        self._windows: Mapping[ApiName, tuple[Window | None, Window]] = {
            ApiName.SPOT: (Window(10, sizes.spot[0]), Window(86_400, sizes.spot[1])),
            ApiName.USD_FUTURES: (Window(10, sizes.usd_futures[0]), futures_minute),
            ApiName.COIN_FUTURES: (None, futures_minute),
            ApiName.OPTIONS: (Window(10, sizes.options[0]), Window(60, sizes.options[1])),
        }

    def add_key(self, key: Key) -> None:
        self.keys[key.name] = key

    # Limits of ORDERS

    def order_limit_text(self, api: ApiName, counted: tuple[int, int]) -> str | None:
        """Why these orders may not be placed now (-1015), or None."""
        now = self._clock()
        for window, more in zip(self._windows[api], counted, strict=True):
            if window is not None and more and window.used(now) + more > window.limit:
                length = {10: "10 SECOND", 60: "1 MINUTE"}.get(window.length_seconds, "1 DAY")
                return f"Too many new orders; current limit is {window.limit} orders per {length}."
        return None

    def count_orders(self, api: ApiName, counted: tuple[int, int]) -> None:
        for window, more in zip(self._windows[api], counted, strict=True):
            if window is not None:
                window.add(more, self._clock())

    def order_counts(self, api: ApiName) -> list[tuple[str, int, int]]:
        """(window as in X-MBX-ORDER-COUNT-<window>, used, limit)."""
        now = self._clock()
        names = {10: "10S", 60: "1M", 86_400: "1D"}
        windows = (window for window in self._windows[api] if window is not None)
        return [(names[window.length_seconds], window.used(now), window.limit) for window in windows]

    # Orders

    def place(self, order: Order, *, base: str, quote: str, best: Decimal) -> Order:
        """Fill it at once if it takes the `best` price of the other side, else leave it open.

        RefusedError -2010 if spot's balance is too low. Derivatives have no balance to run out of.
        """
        takes = order.kind == "MARKET" or (order.price >= best if order.side == "BUY" else order.price <= best)
        worth = order.quantity * (best if takes else order.price)
        if order.api is ApiName.SPOT:
            self._move(order.side, base=base, quote=quote, amounts=(order.quantity, worth), locks=not takes)
        if takes:
            order = replace(order, status="FILLED", filled=order.quantity, filled_quote=worth)
        elif order.time_in_force in ("IOC", "FOK"):
            order = replace(order, status="EXPIRED")
        self.orders[order.api, order.number] = order
        return order

    def _move(self, side: str, *, base: str, quote: str, amounts: tuple[Decimal, Decimal], locks: bool) -> None:
        (paid, price), (got, gain) = ((quote, amounts[1]), (base, amounts[0]))
        if side == "SELL":
            (paid, price), (got, gain) = (got, gain), (paid, price)
        source = self.balances.setdefault(paid, Balance())
        if source.free < price:
            raise RefusedError(-2010, "Account has insufficient balance for requested action.")
        source.free -= price
        if locks:
            source.locked += price
        else:
            self.balances.setdefault(got, Balance()).free += gain

    def cancel(self, order: Order, *, base: str, quote: str) -> Order:
        """Give back what it had locked."""
        if order.api is ApiName.SPOT:
            asset, amount = (quote, order.quantity * order.price) if order.side == "BUY" else (base, order.quantity)
            balance = self.balances[asset]
            balance.locked -= amount
            balance.free += amount
        order = replace(order, status="CANCELED", updated_ms=int(self._clock() * 1000))
        self.orders[order.api, order.number] = order
        return order

    def find(self, api: ApiName, symbol: str | None, *, number: str | None, client_id: str | None) -> Order | None:
        """By number, or else by the client's own name; the newest one that fits."""
        for order in self.listed(api, symbol):
            if (number and str(order.number) == number) or (not number and client_id == order.client_id):
                return order
        return None

    def listed(self, api: ApiName, symbol: str | None) -> Iterator[Order]:
        """Newest first."""
        return (
            order for order in reversed(self.orders.values()) if order.api is api and symbol in (None, order.symbol)
        )

    def next_number(self) -> int:
        return 1_000_001 + len(self.orders)
