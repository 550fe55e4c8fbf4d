"""One API of the derivatives: its general endpoints, market data and trading behind one call.

Owns which part answers which path, and the exchangeInfo document. Must not know HTTP, weights or limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from tests.simulator import contracts
from tests.simulator.account import Account, OrderSizes
from tests.simulator.derivatives_trading import DerivativesTrading
from tests.simulator.endpoints import FUTURES_DATA, ApiName, Security, Values
from tests.simulator.futures_market import FuturesMarket
from tests.simulator.market import Instrument
from tests.simulator.options_market import OptionsMarket
from tests.simulator.pools import Sizes
from tests.simulator.wire import Body, Tail

_DIGITS = b'"serverTime":0'


@dataclass(frozen=True, slots=True)
class World:
    """What the derivatives are made from: contracts on USD-M, on COIN-M, the time of the start, the seed."""

    usd_count: int
    coin_count: int
    started_ms: int
    seed: int
    sizes: Sizes
    order_sizes: OrderSizes


class Derivatives:
    """USD-M, COIN-M or options."""

    def __init__(self, api: ApiName, world: World, account: Account) -> None:
        self._info = _Info(lambda: _exchange_info(api, world))
        self._market: FuturesMarket | OptionsMarket
        if api is ApiName.OPTIONS:
            options = OptionsMarket(contracts.options(world.started_ms, world.seed), world.seed)
            self._market, find = options, _finder(options)
        else:
            futures = FuturesMarket(api, _contracts(api, world))
            self._market, find = futures, _contract_finder(futures)
        self._trading = DerivativesTrading(api, account, find)

    def answer(self, method: str, path: str, security: Security, values: Values, now_ms: int) -> Body | object:
        """A body, or JSON values. RefusedError as the origin."""
        if path.startswith(FUTURES_DATA) and isinstance(self._market, FuturesMarket):
            return self._market.data(path.removeprefix(FUTURES_DATA), values, now_ms)
        name = path.split("/", 3)[3]
        if name == "ping":
            return {}
        if name == "time":
            return {"serverTime": now_ms}
        if name == "exchangeInfo":
            return self._info.body(now_ms)
        if security is Security.PUBLIC or name == "historicalTrades":
            return self._market.answer(name, values, now_ms)
        return self._trading.answer(method, name, values, now_ms)


class _Info:
    """An exchangeInfo document, encoded when first needed but for the digits of `serverTime`."""

    def __init__(self, make: Callable[[], dict[str, object]]) -> None:
        self._make = make
        self._parts: tuple[bytes, Tail] | None = None

    def body(self, now_ms: int) -> Body:
        if self._parts is None:
            before, _, after = orjson.dumps(self._make()).partition(_DIGITS)
            self._parts = before + _DIGITS[:-1], Tail(after)
        return Body(self._parts[0] + str(now_ms).encode(), self._parts[1])


def _exchange_info(api: ApiName, world: World) -> dict[str, object]:
    sizes, orders = world.sizes, world.order_sizes
    if api is ApiName.OPTIONS:
        windows = [("MINUTE", 1, orders.options[1]), ("SECOND", 10, orders.options[0])]
        limits = contracts.rate_limits(sizes.options, windows)
        return contracts.options_info(contracts.options(world.started_ms, world.seed), limits, 0)
    windows = [("MINUTE", 1, orders.usd_futures[1])]
    if api is ApiName.USD_FUTURES:
        windows.append(("SECOND", 10, orders.usd_futures[0]))
    return contracts.futures_info(_contracts(api, world), contracts.rate_limits(sizes.futures, windows), 0)


def _contracts(api: ApiName, world: World) -> list[contracts.Contract]:
    if api is ApiName.USD_FUTURES:
        return contracts.usd_contracts(world.usd_count, world.started_ms, world.seed)
    return contracts.coin_contracts(world.coin_count, world.started_ms, world.seed)


def _contract_finder(market: FuturesMarket) -> Callable[[Values], Instrument]:
    return lambda values: market.contract(values).of


def _finder(market: OptionsMarket) -> Callable[[Values], Instrument]:
    return lambda values: market.option(values).of
