"""Which market data cannot change any more: candles and trades of a range that has ended.

Owns: that rule. Must not know: how long such an answer is kept, where. Source: Binance's API documents.

A candle of one interval that begins at `endTime` at the latest ends one interval later. Trades by time are complete
once `endTime` is past. Trades from an id are complete when the answer is full: `limit` of them.
"""

from __future__ import annotations

import re

import msgspec

from proxy.core.query.market import MarketQuery, read_parameters

SETTLED_SECONDS = 10.0
"""How long after its end a range may still get a late trade, or one of our clocks may be wrong."""

_CANDLES = frozenset(
    {"klines", "uiKlines", "continuousKlines", "indexPriceKlines", "markPriceKlines", "premiumIndexKlines"}
)
_TRADES = frozenset({"aggTrades", "historicalTrades"})
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "M": 31 * 86_400}
_INTERVAL = re.compile(r"([1-9][0-9]{0,2})([smhdwM])")
_MILLISECONDS = re.compile(r"[0-9]{1,14}")
_MAX_TRADES_BYTES = 1 << 20
"""As many trades as can be asked for have a fifth of it."""
_COUNT = re.compile(r"[1-9][0-9]{0,3}")
_DEFAULT_LIMIT = 500


def may_be_final(query: MarketQuery, now: float) -> bool:
    """Whether an answer to this query can be final. `now`: seconds since the epoch by the origin's clock."""
    parameters = _parameters(query)
    kind = _kind(query)
    if kind in _CANDLES:
        return _candles_have_ended(parameters, now)
    return kind in _TRADES and (_range_has_ended(parameters, now) or "fromId" in parameters)


def is_final(query: MarketQuery, body: bytes, now: float) -> bool:
    """Whether this answer, which is complete JSON, cannot change any more."""
    parameters = _parameters(query)
    if _kind(query) in _CANDLES:
        return _candles_have_ended(parameters, now)
    if _kind(query) not in _TRADES:
        return False
    if "fromId" in parameters:
        return _is_full(parameters, body)
    return _range_has_ended(parameters, now)


def _kind(query: MarketQuery) -> str:
    return query.endpoint.path.rpartition("/")[2]


def _parameters(query: MarketQuery) -> dict[str, str]:
    """Those that the endpoint reads: an answer does not depend on any other."""
    read = read_parameters(query.upstream_query)
    known = query.endpoint.parameters
    return {} if read is None else {name: value for name, value in read.values.items() if name in known}


def _range_has_ended(parameters: dict[str, str], now: float) -> bool:
    end = _time(parameters)
    return end is not None and end + SETTLED_SECONDS < now


def _candles_have_ended(parameters: dict[str, str], now: float) -> bool:
    interval = _INTERVAL.fullmatch(parameters.get("interval", ""))
    end = _time(parameters)
    if interval is None or end is None:
        return False
    return end + int(interval[1]) * _UNIT_SECONDS[interval[2]] + SETTLED_SECONDS < now


def _time(parameters: dict[str, str]) -> float | None:
    """`endTime` in seconds; None if there is none in milliseconds, the only unit that every endpoint takes."""
    text = parameters.get("endTime", "")
    return int(text) / 1000 if _MILLISECONDS.fullmatch(text) else None


def _is_full(parameters: dict[str, str], body: bytes) -> bool:
    """Whether the answer has as many trades as were asked for: no later one belongs to it."""
    limit = parameters.get("limit", str(_DEFAULT_LIMIT))
    if not _COUNT.fullmatch(limit) or len(body) > _MAX_TRADES_BYTES:
        return False
    try:
        trades = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return len(trades) == int(limit)
