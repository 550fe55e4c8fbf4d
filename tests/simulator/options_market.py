"""Market data of the options.

Owns the form of these answers (SDK documents of 2026-10). Must not know HTTP, weights or limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tests.simulator import market, reading
from tests.simulator.candles import INTERVALS, Span, candles
from tests.simulator.contracts import Option
from tests.simulator.endpoints import Values
from tests.simulator.market import instrument
from tests.simulator.spot_market import select_trades
from tests.simulator.tickers import statistics

_DAY_MS = 86_400_000


class OptionsMarket:
    """Answers about these options. `now_ms` is the time."""

    def __init__(self, listed: Sequence[Option], seed: int) -> None:
        self._options = {each.of.name: each for each in listed}
        self._seed = seed
        self._answerers: Mapping[str, Callable[[Values, int], object]] = {
            "index": self._index,
            "klines": self._klines,
            "openInterest": self._open_interest,
            "exerciseHistory": self._exercised,
            "trades": self._trades,
            "blockTrades": lambda values, now_ms: [],
            "mark": self._mark,
            "ticker": self._ticker,
            "depth": self._depth,
        }

    def answer(self, name: str, values: Values, now_ms: int) -> object:
        """JSON values. RefusedError for wrong parameters, KeyError for a name that is not market data."""
        return self._answerers[name](values, now_ms)

    def option(self, values: Values) -> Option:
        """RefusedError -1121 if there is no such symbol."""
        name = reading.mandatory(values, "symbol")
        if name not in self._options:
            raise reading.unknown_symbol()
        return self._options[name]

    def _chosen(self, values: Values) -> list[Option]:
        return [self.option(values)] if values.get("symbol") else list(self._options.values())

    def _index(self, values: Values, now_ms: int) -> object:
        name = reading.mandatory(values, "underlying")
        if all(each.underlying != name for each in self._options.values()):
            raise reading.unknown_symbol()
        of = instrument(name, name.removesuffix("USDT"), "USDT", seed=self._seed)
        return {"time": now_ms, "indexPrice": of.show_price(of.price(now_ms))}

    def _klines(self, values: Values, now_ms: int) -> object:
        of = self.option(values).of
        span = Span(
            reading.interval(values, INTERVALS),
            reading.limit(values, default=500, most=1500),
            reading.optional_number(values, "startTime"),
            reading.optional_number(values, "endTime"),
        )
        return [
            {
                "open": of.show_price(each.open),
                "high": of.show_price(each.high),
                "low": of.show_price(each.low),
                "close": of.show_price(each.close),
                "volume": of.show_amount(each.volume),
                "amount": f"{each.quote_volume:.4f}",
                "interval": span.interval,
                "tradeCount": each.trades,
                "takerVolume": of.show_amount(each.volume / 2),
                "takerAmount": f"{each.quote_volume / 2:.4f}",
                "openTime": each.open_ms,
                "closeTime": each.close_ms,
            }
            for each in candles(of, span, now_ms)
        ]

    def _open_interest(self, values: Values, now_ms: int) -> object:
        base, day = (reading.mandatory(values, key) for key in ("underlyingAsset", "expiration"))
        found = [each for name, each in self._options.items() if name.startswith(f"{base}-{day}-")]
        return [
            {
                "symbol": each.of.name,
                "sumOpenInterest": "120.50",
                "sumOpenInterestUsd": f"{120.5 * each.strike:.2f}",
                "timestamp": str(now_ms),
            }
            for each in found
        ]

    def _exercised(self, values: Values, now_ms: int) -> object:
        count = reading.limit(values, default=100, most=100)
        found = [each for each in self._options.values() if values.get("underlying") in (None, "", each.underlying)]
        return [
            {
                "symbol": each.of.name,
                "strikePrice": f"{each.strike}",
                "realStrikePrice": f"{each.strike}",
                "expiryDate": each.expiry_ms - 91 * _DAY_MS,
                "strikeResult": "EXTRINSIC_VALUE_EXPIRED",
            }
            for each in found[:count]
        ]

    def _trades(self, values: Values, now_ms: int) -> object:
        of = self.option(values).of
        return [
            {
                "id": each.number,
                "symbol": of.name,
                "price": of.show_price(each.price),
                "qty": of.show_amount(each.amount),
                "quoteQty": f"{each.price * each.amount:.4f}",
                "side": -1 if each.is_buyer_maker else 1,
                "time": each.at_ms,
            }
            for each in select_trades(of, {"limit": values.get("limit", "")}, now_ms, default=100)
        ]

    def _mark(self, values: Values, now_ms: int) -> object:
        greeks = {"delta": "0.5", "theta": "-1.2", "gamma": "0.0001", "vega": "3.4"}
        return [
            {
                "symbol": each.of.name,
                "markPrice": each.of.show_price(each.of.price(now_ms)),
                "bidIV": "0.50",
                "askIV": "0.52",
                "markIV": "0.51",
                **greeks,
                "highPriceLimit": each.of.show_price(2 * each.of.price(now_ms)),
                "lowPriceLimit": each.of.show_price(each.of.tick),
                "riskFreeInterest": "0.1",
            }
            for each in self._chosen(values)
        ]

    def _ticker(self, values: Values, now_ms: int) -> object:
        return [self._ticker_row(each, now_ms) for each in self._chosen(values)]

    def _ticker_row(self, each: Option, now_ms: int) -> dict[str, object]:
        at = statistics(each.of, now_ms - _DAY_MS, now_ms)
        show, best = each.of.show_price, at.best()
        return {
            "symbol": each.of.name,
            **at.change(),
            "lastPrice": show(at.last),
            "lastQty": best["bidQty"],
            "open": show(at.open),
            "high": show(at.high),
            "low": show(at.low),
            "volume": each.of.show_amount(at.volume),
            "amount": f"{at.quote_volume:.4f}",
            "bidPrice": best["bidPrice"],
            "askPrice": best["askPrice"],
            "openTime": at.start_ms,
            "closeTime": at.end_ms,
            "firstTradeId": at.short()["firstId"],
            "tradeCount": at.short()["count"],
            "strikePrice": f"{each.strike}",
            "exercisePrice": f"{each.strike}",
        }

    def _depth(self, values: Values, now_ms: int) -> object:
        of = self.option(values).of
        bids, asks = market.book(of, now_ms, reading.limit(values, default=100, most=1000))
        return {"bids": bids, "asks": asks, "T": now_ms, "lastUpdateId": now_ms}
