"""The invented market: what an instrument costs and how much of it is traded at any moment.

Owns prices, volumes, trades and books as functions of the instrument and the time alone, so that an answer can be
asked for again. Times are milliseconds since the epoch. Must not know the form of any answer.
"""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache

TRADE_EVERY_MS = 500
LISTED_MS = 1_546_300_800_000  # nothing was traded before 2019
_TICK = re.compile(rb'"tickSize":"([0-9.]+)"')
_STEP = re.compile(rb'"stepSize":"([0-9.]+)"')


@dataclass(frozen=True, slots=True)
class Instrument:
    """Something that is traded. `places` and `lot_places` are decimals of price and quantity."""

    name: str
    base: str
    quote: str
    places: int
    lot_places: int
    anchor: float
    volume_a_minute: float
    phase: float

    def price(self, at_ms: int) -> float:
        """A multiple of the tick, never under ten ticks."""
        day, minutes, seconds = (math.sin(at_ms / length + self.phase) for length in (7e7, 2.3e5, 7.7e3))
        price = self.anchor * (1 + 0.03 * day + 0.004 * minutes + 0.001 * seconds)
        return max(round(price, self.places), 10 * self.tick)

    @property
    def tick(self) -> float:
        return round(10.0**-self.places, self.places)

    def volume(self, start_ms: int, end_ms: int) -> float:
        """Of the base asset, over 0 for every span of time."""
        busy = 1 + 0.5 * math.sin(end_ms / 3.1e6 + self.phase)
        amount = self.volume_a_minute * busy * max(1, end_ms - start_ms) / 60_000
        return max(round(amount, self.lot_places), 10.0**-self.lot_places)

    def show_price(self, price: float) -> str:
        return f"{price:.{self.places}f}"

    def show_amount(self, amount: float) -> str:
        return f"{amount:.{self.lot_places}f}"


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade. Its number tells its time."""

    number: int
    at_ms: int
    price: float
    amount: float
    is_buyer_maker: bool


@lru_cache(maxsize=8192)
def instrument(name: str, base: str, quote: str, *, seed: int = 0, price: tuple[int, int] = (2, 3)) -> Instrument:
    """The same one for the same name and seed. `price`: decimals of price and of quantity."""
    dice = zlib.crc32(f"{seed}:{name}".encode())
    places, lot_places = price
    anchor = (10_000 + dice % 90_000) * 10.0**-places
    if quote not in ("BTC", "ETH", "BNB"):
        anchor = max(anchor, round(1 + dice % 9_000 / 100, places))
    turnover = 2_000 + dice % 50_021  # of the quote asset, a minute
    return Instrument(name, base, quote, places, lot_places, anchor, turnover / anchor, dice % 6283 / 1000)


def from_symbol(name: str, encoded: bytes, *, base: str, quote: str, seed: int) -> Instrument:
    """An instrument with the tick and the step of an encoded exchangeInfo symbol."""
    decimals = [_decimals(pattern.search(encoded), default) for pattern, default in ((_TICK, 2), (_STEP, 3))]
    return instrument(name, base, quote, seed=seed, price=(decimals[0], decimals[1]))


def _decimals(found: re.Match[bytes] | None, default: int) -> int:
    if found is None:
        return default
    return len(found[1].decode().rstrip("0").partition(".")[2])


def trade(of: Instrument, number: int) -> Trade:
    at_ms = number * TRADE_EVERY_MS
    amount = of.volume(at_ms - TRADE_EVERY_MS, at_ms)
    return Trade(number, at_ms, of.price(at_ms), amount, number % 3 == 0)


def trades(of: Instrument, first: int, last: int) -> list[Trade]:
    """Both ends included."""
    return [trade(of, number) for number in range(first, last + 1)]


def last_trade(at_ms: int) -> int:
    """The number of the newest trade."""
    return at_ms // TRADE_EVERY_MS


def first_trade(at_ms: int) -> int:
    """The number of the oldest trade at this time or later."""
    return -(-at_ms // TRADE_EVERY_MS)


def book(of: Instrument, at_ms: int, levels: int) -> tuple[list[list[str]], list[list[str]]]:
    """Bids and asks as `[price, quantity]`, best first, at most so many of each."""
    middle = of.price(at_ms)
    bids, asks = [], []
    for level in range(levels):
        amount = of.show_amount(of.volume(0, 2000 + 137 * (level % 50)))
        asks.append([of.show_price(middle + (level + 1) * of.tick), amount])
        bid = middle - level * of.tick
        if bid > of.tick / 2:
            bids.append([of.show_price(bid), amount])
    return bids, asks
