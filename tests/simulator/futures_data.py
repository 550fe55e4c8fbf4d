"""Statistics of the futures: `/futures/data/…` of both APIs, and the history of funding.

Owns the form of these answers (SDK documents of 2026-10). Must not know HTTP, weights or limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from tests.simulator import reading
from tests.simulator.candles import length_ms
from tests.simulator.contracts import Contract
from tests.simulator.endpoints import Values
from tests.simulator.reading import RefusedError

FUNDING_EVERY_MS = 8 * 3_600_000
_PERIODS = frozenset(["5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d"])

_Row: TypeAlias = Callable[[Contract, int, int], dict[str, object]]


class FuturesData:
    """One of the two APIs: USD-M reads `symbol`, COIN-M `pair`."""

    def __init__(self, *, is_coin: bool, contracts: Sequence[Contract]) -> None:
        self._is_coin = is_coin
        self._contracts = contracts
        self._rows: Mapping[str, _Row] = {
            "openInterestHist": self._open_interest,
            "globalLongShortAccountRatio": self._ratio,
            "topLongShortAccountRatio": self._ratio,
            "topLongShortPositionRatio": self._ratio,
            "takerlongshortRatio": self._taken,
            "takerBuySellVol": self._taken,
            "basis": self._basis,
        }

    def answer(self, name: str, values: Values, now_ms: int) -> object:
        """The last ones of `limit` periods, ascending. KeyError for a name that is not known."""
        if name == "delivery-price":
            return self._deliveries(values)
        row = self._rows[name]
        each = self._contract(values, "pair" if self._is_coin or name == "basis" else "symbol")
        period = reading.mandatory(values, "period")
        if period not in _PERIODS:
            raise RefusedError(-1130, "Data sent for parameter 'period' is not valid.")
        return [row(each, start, length_ms(period)) for start in _starts(values, now_ms, length_ms(period))]

    def funding(self, each: Contract, values: Values, now_ms: int) -> list[dict[str, object]]:
        """One row for every eight hours."""
        price = each.of.price
        return [
            {
                "symbol": each.of.name,
                "fundingTime": start,
                "fundingRate": f"{0.0001 * (1 + start // FUNDING_EVERY_MS % 7 / 10):.8f}",
                "markPrice": each.of.show_price(price(start)),
            }
            for start in _starts(values, now_ms, FUNDING_EVERY_MS, default=100, most=1000)
        ]

    def _contract(self, values: Values, key: str) -> Contract:
        name = reading.mandatory(values, key).upper()
        found = next((each for each in self._contracts if name in (each.of.name, each.pair)), None)
        if found is None:
            raise reading.unknown_symbol()
        return found

    def _deliveries(self, values: Values) -> object:
        each = self._contract(values, "pair")
        ends = [end.delivery_ms - 91 * 86_400_000 for end in self._contracts if end.pair == each.pair]
        return [{"deliveryTime": end, "deliveryPrice": each.of.price(end)} for end in ends[1:]]

    def _named(self, each: Contract) -> dict[str, object]:
        return {"pair": each.pair} if self._is_coin else {"symbol": each.of.name}

    def _open_interest(self, each: Contract, start: int, length: int) -> dict[str, object]:
        amount = each.of.volume(start, start + 86_400_000)
        value = amount * each.of.price(start)
        sums = {"sumOpenInterest": f"{amount:.8f}", "sumOpenInterestValue": f"{value:.8f}"}
        return {**self._named(each), **sums, "timestamp": start}

    def _ratio(self, each: Contract, start: int, length: int) -> dict[str, object]:
        long = 0.4 + start // length % 20 / 100
        accounts = {"longAccount": f"{long:.4f}", "shortAccount": f"{1 - long:.4f}"}
        return {**self._named(each), "longShortRatio": f"{long / (1 - long):.4f}", **accounts, "timestamp": start}

    def _taken(self, each: Contract, start: int, length: int) -> dict[str, object]:
        volume = each.of.volume(start, start + length)
        if self._is_coin:
            taken = {"takerBuyVol": f"{volume:.4f}", "takerSellVol": f"{volume:.4f}"}
            return {"pair": each.pair, "contractType": each.kind, **taken, "timestamp": start}
        return {"buySellRatio": "1.0000", "buyVol": f"{volume:.4f}", "sellVol": f"{volume:.4f}", "timestamp": start}

    def _basis(self, each: Contract, start: int, length: int) -> dict[str, object]:
        price = each.of.price(start)
        return {
            "pair": each.pair,
            "contractType": each.kind,
            "futuresPrice": each.of.show_price(price),
            "indexPrice": each.of.show_price(price),
            "basis": "0.00",
            "basisRate": "0.0000",
            "annualizedBasisRate": "",
            "timestamp": start,
        }


def _starts(values: Values, now_ms: int, length: int, *, default: int = 30, most: int = 500) -> list[int]:
    count = reading.limit(values, default=default, most=most)
    start_ms = reading.optional_number(values, "startTime")
    last = min(now_ms, reading.optional_number(values, "endTime") or now_ms) // length
    first = last - count + 1 if start_ms is None else max(-(-start_ms // length), 0)
    return [number * length for number in range(first, min(last, first + count - 1) + 1)]
