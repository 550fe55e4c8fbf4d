"""Market data of spot: what `/api/v3/…` answers beside the four general endpoints.

Owns the form of these answers (rest-api.md, market data). Must not know HTTP, weights or limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import orjson

from tests.simulator import market, reading
from tests.simulator.candles import INTERVALS, Span, candles, length_ms
from tests.simulator.document import Document
from tests.simulator.endpoints import Values
from tests.simulator.market import Instrument, Trade
from tests.simulator.reading import RefusedError
from tests.simulator.tickers import Statistics, statistics

_DAY_MS = 86_400_000
_WINDOWS = (
    {f"{number}m" for number in range(1, 60)}
    | {f"{number}h" for number in range(1, 24)}
    | {f"{number}d" for number in range(1, 8)}
)

Answerer: TypeAlias = Callable[[Values, int, int], object]


class SpotMarket:
    """Answers from a document's symbols. `now_ms` is the time; `unit` is 1000 where microseconds are wanted, or 1."""

    def __init__(self, document: Callable[[], Document], seed: int) -> None:
        self._document = document
        self._seed = seed
        self._instruments: dict[str, Instrument] = {}
        self._answerers: Mapping[str, Answerer] = {
            "depth": self._depth,
            "trades": self._trades,
            "historicalTrades": self._trades,
            "historicalBlockTrades": self._block_trades,
            "aggTrades": self._agg_trades,
            "klines": self._klines,
            "uiKlines": self._klines,
            "avgPrice": self._average,
            "ticker/24hr": self._day,
            "ticker/tradingDay": self._trading_day,
            "ticker": self._rolling,
            "ticker/price": self._price,
            "ticker/bookTicker": self._best,
            "referencePrice": self._reference,
            "referencePrice/calculation": self._calculation,
        }

    def answer(self, name: str, values: Values, now_ms: int, unit: int) -> object:
        """JSON values. RefusedError for wrong parameters, KeyError for a name that is not market data."""
        return self._answerers[name](values, now_ms, unit)

    def instrument(self, name: str) -> Instrument:
        """RefusedError -1121 if there is no such symbol."""
        if name not in self._instruments:
            symbol = self._document().symbols.get(name)
            if symbol is None:
                raise reading.unknown_symbol()
            row = orjson.loads(symbol.full)
            base, quote = row.get("baseAsset", name), row.get("quoteAsset", "")
            self._instruments[name] = market.from_symbol(name, symbol.full, base=base, quote=quote, seed=self._seed)
        elif name not in self._document().symbols:
            raise reading.unknown_symbol()
        return self._instruments[name]

    def _one(self, values: Values) -> Instrument:
        name = reading.spot_symbol(values)
        found = self.instrument(name)
        wanted = _status(values)
        if wanted is not None and self._document().symbols[name].status != wanted:
            raise RefusedError(-1220, "The symbol's status does not match the requested symbolStatus.")
        return found

    def _several(self, values: Values, *, most: int | None = None) -> Instrument | list[Instrument]:
        """One for `symbol`; a list for `symbols`; all listed ones for neither, which `most` forbids."""
        if "symbol" in values and "symbols" in values:
            text = "Combination of optional parameters invalid. Recommendation: 'symbol' and 'symbols'"
            raise RefusedError(-1128, f"{text} cannot both be sent.")
        if "symbol" in values:
            return self._one(values)
        wanted, symbols = _status(values), self._document().symbols
        if "symbols" in values:
            names = reading.names(values)
            if most is not None and len(names) > most:
                text = f"Too many values sent for parameter 'symbols', maximum allowed up to {most}."
                raise RefusedError(-1101, text)
            found = [self.instrument(name) for name in names]
        elif most is not None:
            raise RefusedError(-1128, "Combination of optional parameters invalid.")
        else:
            found = [self.instrument(symbol.name) for symbol in symbols.values() if symbol.is_listed]
        return [each for each in found if wanted is None or symbols[each.name].status == wanted]

    def _depth(self, values: Values, now_ms: int, unit: int) -> object:
        of = self._one(values)
        bids, asks = market.book(of, now_ms, reading.limit(values, default=100, most=5000))
        return {"lastUpdateId": now_ms, "bids": bids, "asks": asks}

    def _trades(self, values: Values, now_ms: int, unit: int) -> object:
        return [_trade(self._one(values), each, unit) for each in _some_trades(self._one(values), values, now_ms)]

    def _block_trades(self, values: Values, now_ms: int, unit: int) -> object:
        reading.mandatory(values, "fromId")
        return self._trades(values, now_ms, unit)

    def _agg_trades(self, values: Values, now_ms: int, unit: int) -> object:
        of = self._one(values)
        return [{**agg_trade(of, each, unit), "M": True} for each in _some_trades(of, values, now_ms)]

    def _klines(self, values: Values, now_ms: int, unit: int) -> object:
        of = self._one(values)
        span = Span(
            reading.interval(values, INTERVALS),
            reading.limit(values, default=500, most=1000),
            reading.optional_number(values, "startTime"),
            reading.optional_number(values, "endTime"),
            _zone_ms(values.get("timeZone", "0")),
        )
        return kline_rows(of, span, now_ms, unit)

    def _average(self, values: Values, now_ms: int, unit: int) -> object:
        of = self._one(values)
        average = statistics(of, now_ms - 300_000, now_ms).average
        return {"mins": 5, "price": of.show_price(average), "closeTime": now_ms * unit}

    def _day(self, values: Values, now_ms: int, unit: int) -> object:
        def full(at: Statistics) -> dict[str, object]:
            before = {"prevClosePrice": at.of.show_price(at.open), "lastQty": at.of.show_amount(at.of.volume(0, 500))}
            return {**at.short(unit), **at.change(), **before, **at.best()}

        return self._statistics(values, self._several(values), (now_ms - _DAY_MS, now_ms), unit, full=full)

    def _trading_day(self, values: Values, now_ms: int, unit: int) -> object:
        shift = _zone_ms(values.get("timeZone", "0"))
        start = (now_ms + shift) // _DAY_MS * _DAY_MS - shift
        return self._statistics(values, self._several(values, most=100), (start, now_ms), unit)

    def _rolling(self, values: Values, now_ms: int, unit: int) -> object:
        window = values.get("windowSize", "1d")
        if window not in _WINDOWS:
            raise RefusedError(-1100, "Illegal characters found in parameter 'windowSize'.")
        start = (now_ms - length_ms(window)) // 60_000 * 60_000
        return self._statistics(values, self._several(values, most=100), (start, now_ms), unit)

    def _statistics(
        self,
        values: Values,
        asked: Instrument | list[Instrument],
        span: tuple[int, int],
        unit: int,
        *,
        full: Callable[[Statistics], dict[str, object]] | None = None,
    ) -> object:
        kind = values.get("type", "FULL")
        if kind not in ("FULL", "MINI"):
            raise RefusedError(-1100, "Illegal characters found in parameter 'type'; legal range is 'FULL|MINI'.")

        def row(of: Instrument) -> dict[str, object]:
            at = statistics(of, *span)
            if kind == "MINI":
                return at.short(unit)
            return full(at) if full else {**at.short(unit), **at.change()}

        return _each(asked, row)

    def _price(self, values: Values, now_ms: int, unit: int) -> object:
        return _each(self._several(values), lambda of: {"symbol": of.name, "price": of.show_price(of.price(now_ms))})

    def _best(self, values: Values, now_ms: int, unit: int) -> object:
        return _each(self._several(values), lambda of: {"symbol": of.name, **statistics(of, now_ms, now_ms).best()})

    def _reference(self, values: Values, now_ms: int, unit: int) -> object:
        of = self._one(values)
        return {"symbol": of.name, "referencePrice": of.show_price(of.price(now_ms)), "timestamp": now_ms * unit}

    def _calculation(self, values: Values, now_ms: int, unit: int) -> object:
        return {
            "symbol": self._one(values).name,
            "calculationType": "ARITHMETIC_MEAN",
            "bucketCount": 10,
            "bucketWidthMs": 1000,
        }


def _each(asked: Instrument | list[Instrument], row: Callable[[Instrument], dict[str, object]]) -> object:
    return [row(of) for of in asked] if isinstance(asked, list) else row(asked)


def _status(values: Values) -> str | None:
    status = values.get("symbolStatus")
    if status not in (None, "TRADING", "HALT", "BREAK"):
        raise RefusedError(-1122, "Invalid symbolStatus.")
    return status


def _zone_ms(text: str) -> int:
    """`timeZone` is hours, or hours and minutes, from -12:00 to +14:00."""
    hours, _, minutes = text.lstrip("+-").partition(":")
    if not hours.isdigit() or not (minutes or "0").isdigit() or int(hours) > 14:
        raise RefusedError(-1100, "Illegal characters found in parameter 'timeZone'.")
    shift = int(hours) * 3_600_000 + int(minutes or 0) * 60_000
    return -shift if text.startswith("-") else shift


def _some_trades(of: Instrument, values: Values, now_ms: int) -> list[Trade]:
    return select_trades(of, values, now_ms, default=500)


def select_trades(of: Instrument, values: Values, now_ms: int, *, default: int) -> list[Trade]:
    """By `fromId`, or by `startTime` and `endTime`, or the newest ones; ascending, at most 1000."""
    count = reading.limit(values, default=default, most=1000)
    newest = market.last_trade(min(now_ms, reading.optional_number(values, "endTime") or now_ms))
    first = reading.optional_number(values, "fromId")
    start_ms = reading.optional_number(values, "startTime")
    if first is None and start_ms is not None:
        first = market.first_trade(start_ms)
    if first is None:
        first = newest - count + 1
    return market.trades(of, first, min(newest, first + count - 1))


def _trade(of: Instrument, each: Trade, unit: int) -> dict[str, object]:
    return {
        "id": each.number,
        "price": of.show_price(each.price),
        "qty": of.show_amount(each.amount),
        "quoteQty": f"{each.price * each.amount:.8f}",
        "time": each.at_ms * unit,
        "isBuyerMaker": each.is_buyer_maker,
        "isBestMatch": True,
    }


def agg_trade(of: Instrument, each: Trade, unit: int = 1) -> dict[str, object]:
    """What spot and futures have in common. Every aggregate holds one trade and has its number."""
    return {
        "a": each.number,
        "p": of.show_price(each.price),
        "q": of.show_amount(each.amount),
        "f": each.number,
        "l": each.number,
        "T": each.at_ms * unit,
        "m": each.is_buyer_maker,
    }


def kline_rows(of: Instrument, span: Span, now_ms: int, unit: int = 1, *, in_base: bool = False) -> list[list[object]]:
    """Twelve fields each. `in_base`: as on COIN-M, the volume counts contracts and the other one the base asset."""
    rows: list[list[object]] = []
    for each in candles(of, span, now_ms):
        prices = [of.show_price(price) for price in (each.open, each.high, each.low, each.close)]
        volume, other = each.volume, each.volume / each.close if in_base else each.quote_volume
        taken = [of.show_amount(volume / 2), f"{other / 2:.8f}"]
        close = (each.close_ms + 1) * unit - 1
        amounts = [of.show_amount(volume), close, f"{other:.8f}", each.trades]
        rows.append([each.open_ms * unit, *prices, *amounts, *taken, "0"])
    return rows
