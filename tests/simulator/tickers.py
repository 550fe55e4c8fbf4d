"""Statistics of a span of time: the members that the tickers of all APIs share.

Owns the arithmetic and the names of the members. Must not know which ticker has which members.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulator.market import Instrument, first_trade, last_trade


@dataclass(frozen=True, slots=True)
class Statistics:
    """From `start_ms` to `end_ms`; the prices are the instrument's."""

    of: Instrument
    start_ms: int
    end_ms: int
    open: float
    high: float
    low: float
    last: float
    volume: float

    @property
    def average(self) -> float:
        return (self.high + self.low) / 2

    @property
    def quote_volume(self) -> float:
        return self.volume * self.average

    def short(self, unit: int = 1) -> dict[str, object]:
        """What every ticker has. `unit`: parts of a millisecond in which times are told."""
        show = self.of.show_price
        first, last = first_trade(self.start_ms), last_trade(self.end_ms)
        return {
            "symbol": self.of.name,
            "openPrice": show(self.open),
            "highPrice": show(self.high),
            "lowPrice": show(self.low),
            "lastPrice": show(self.last),
            "volume": self.of.show_amount(self.volume),
            "quoteVolume": f"{self.quote_volume:.8f}",
            "openTime": self.start_ms * unit,
            "closeTime": self.end_ms * unit,
            "firstId": first,
            "lastId": last,
            "count": last - first + 1,
        }

    def change(self) -> dict[str, object]:
        """What full tickers have besides."""
        change = self.last - self.open
        return {
            "priceChange": self.of.show_price(change),
            "priceChangePercent": f"{100 * change / self.open:.3f}",
            "weightedAvgPrice": self.of.show_price(self.average),
        }

    def best(self) -> dict[str, object]:
        """The best bid and ask."""
        show, amount = self.of.show_price, self.of.show_amount(self.of.volume(0, 2000))
        ask = show(self.last + self.of.tick)
        return {"bidPrice": show(self.last), "bidQty": amount, "askPrice": ask, "askQty": amount}


def statistics(of: Instrument, start_ms: int, end_ms: int) -> Statistics:
    """Open and last are the prices at the two ends."""
    prices = [of.price(start_ms + (end_ms - start_ms) * part // 4) for part in range(5)]
    volume = of.volume(start_ms, end_ms)
    return Statistics(of, start_ms, end_ms, prices[0], max(prices), min(prices), prices[4], volume)
