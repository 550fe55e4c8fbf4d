"""Candles of the invented market, aligned to their interval. Times are milliseconds since the epoch.

Owns intervals and the choice of candles by start, end and limit. Must not know the form of any answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from tests.simulator.market import LISTED_MS, TRADE_EVERY_MS, Instrument

_UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
INTERVALS = frozenset(
    ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
)
_MONDAY = 4 * _UNITS["d"]  # the epoch was a Thursday


@dataclass(frozen=True, slots=True)
class Candle:
    """`close_ms` is the last millisecond that belongs to it. The last candle may still be open."""

    open_ms: int
    close_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int


@dataclass(frozen=True, slots=True)
class Span:
    """Which candles are asked for. `shift_ms` moves the days' beginnings (timeZone)."""

    interval: str
    limit: int
    start_ms: int | None = None
    end_ms: int | None = None
    shift_ms: int = 0


def candles(of: Instrument, span: Span, now_ms: int) -> list[Candle]:
    """In ascending order. With a start: the first ones from it; without: the last ones up to the end, or now."""
    last = _opened(min(now_ms, span.end_ms if span.end_ms is not None else now_ms), span)
    earliest = _opened(LISTED_MS, span)
    if span.start_ms is None:
        first = last
        for _ in range(span.limit - 1):
            first = _opened(first - 1, span)
        opens = _ascending(max(first, earliest), last, span)
    else:
        begin = _opened(span.start_ms, span)
        first = begin if begin == span.start_ms else _next(begin, span)
        opens = _ascending(max(first, earliest), last, span)
    return [candle(of, start, _next(start, span) - 1, now_ms) for start in opens]


def candle(of: Instrument, open_ms: int, close_ms: int, now_ms: int) -> Candle:
    """One candle as it stands now."""
    until = min(close_ms + 1, now_ms)
    first, last = of.price(open_ms), of.price(until)
    middle = of.price((open_ms + until) // 2)
    volume = of.volume(open_ms, until)
    high, low = max(first, last, middle), min(first, last, middle)
    count = max(1, (until - open_ms) // TRADE_EVERY_MS)
    return Candle(open_ms, close_ms, first, high, low, last, volume, volume * (high + low) / 2, count)


def _ascending(first: int, last: int, span: Span) -> list[int]:
    opens: list[int] = []
    while first <= last and len(opens) < span.limit:
        opens.append(first)
        first = _next(first, span)
    return opens


def _opened(at_ms: int, span: Span) -> int:
    """When the candle that holds this moment opened."""
    local = at_ms + span.shift_ms
    if span.interval == "1M":
        day = datetime.fromtimestamp(local / 1000, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000 - span.shift_ms
    length, offset = _length(span.interval), _MONDAY if span.interval.endswith("w") else 0
    return (local - offset) // length * length + offset - span.shift_ms


def _next(open_ms: int, span: Span) -> int:
    if span.interval == "1M":
        return _opened(open_ms + 32 * _UNITS["d"], span)
    return open_ms + _length(span.interval)


def _length(interval: str) -> int:
    return int(interval[:-1]) * _UNITS[interval[-1]]


def length_ms(window: str) -> int:
    """Of a `windowSize` or a `period` such as 15m, 4h or 7d."""
    return _length(window)
