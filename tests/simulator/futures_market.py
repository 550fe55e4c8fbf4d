"""Market data of the USD-M and COIN-M futures.

Owns the form of these answers (SDK documents of 2026-10) and how the two APIs differ: COIN-M answers lists where USD-M
answers one row, and has `pair`. Must not know HTTP, weights or limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from tests.simulator import market, reading
from tests.simulator.candles import INTERVALS, Span
from tests.simulator.contracts import Contract
from tests.simulator.endpoints import ApiName, Values
from tests.simulator.futures_data import FUNDING_EVERY_MS, FuturesData
from tests.simulator.market import Instrument
from tests.simulator.reading import RefusedError
from tests.simulator.spot_market import agg_trade, kline_rows, select_trades
from tests.simulator.tickers import statistics

_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_DAY_MS = 86_400_000

Answerer: TypeAlias = Callable[[Values, int], object]


class FuturesMarket:
    """Answers of one of the two APIs. `now_ms` is the time."""

    def __init__(self, api: ApiName, contracts: Sequence[Contract]) -> None:
        self._is_coin = api is ApiName.COIN_FUTURES
        self._contracts = {each.of.name: each for each in contracts}
        self._data = FuturesData(is_coin=self._is_coin, contracts=contracts)
        klines = dict.fromkeys(("klines", "markPriceKlines", "premiumIndexKlines"), self._klines)
        self._answerers: Mapping[str, Answerer] = {
            "depth": self._depth,
            "rpiDepth": self._depth,
            "trades": self._trades,
            "historicalTrades": self._trades,
            "aggTrades": self._agg_trades,
            **klines,
            "indexPriceKlines": self._pair_klines,
            "continuousKlines": self._continuous_klines,
            "premiumIndex": self._premium,
            "fundingRate": self._funding,
            "fundingInfo": self._funding_info,
            "ticker/24hr": self._day,
            "ticker/price": self._price,
            "ticker/bookTicker": self._best,
            "openInterest": self._open_interest,
            "constituents": self._constituents,
            "indexInfo": lambda values, now_ms: [],
            "symbolAdlRisk": self._adl_risk,
            "insuranceBalance": lambda values, now_ms: {"symbols": [], "assets": []},
            "assetIndex": self._asset_index,
            "tradingSchedule": lambda values, now_ms: {"updateTime": now_ms, "marketSchedules": {}},
            "convert/exchangeInfo": lambda values, now_ms: [],
        }

    def answer(self, name: str, values: Values, now_ms: int) -> object:
        """JSON values. RefusedError for wrong parameters, KeyError for a name that is not market data."""
        return self._answerers[name](values, now_ms)

    def data(self, name: str, values: Values, now_ms: int) -> object:
        """What `/futures/data/` answers. Errors as for `answer`."""
        return self._data.answer(name, values, now_ms)

    def contract(self, values: Values, key: str = "symbol") -> Contract:
        """Lower case will do."""
        name = reading.mandatory(values, key).upper()
        if name not in self._contracts:
            raise reading.unknown_symbol()
        return self._contracts[name]

    def _chosen(self, values: Values) -> list[Contract]:
        if values.get("symbol"):
            return [self.contract(values)]
        if self._is_coin and values.get("pair"):
            return self._of_pair(values["pair"].upper())
        return list(self._contracts.values())

    def _of_pair(self, pair: str) -> list[Contract]:
        found = [each for each in self._contracts.values() if each.pair == pair]
        if not found:
            raise reading.unknown_symbol()
        return found

    def _rows(self, values: Values, row: Callable[[Contract], dict[str, object]]) -> object:
        """USD-M answers one row for one symbol, COIN-M a list always."""
        rows = [row(each) for each in self._chosen(values)]
        return rows[0] if values.get("symbol") and not self._is_coin else rows

    def _named(self, each: Contract) -> dict[str, object]:
        return {"symbol": each.of.name, **({"pair": each.pair} if self._is_coin else {})}

    def _depth(self, values: Values, now_ms: int) -> object:
        each = self.contract(values)
        asked = values.get("limit") or "500"
        if asked not in map(str, _DEPTHS):
            raise RefusedError(-4021, f"{asked} is not valid depth limit")
        bids, asks = market.book(each.of, now_ms, int(asked))
        times = {"E": now_ms, "T": now_ms - 3}
        return {"lastUpdateId": now_ms, **(self._named(each) if self._is_coin else {}), **times} | {
            "bids": bids,
            "asks": asks,
        }

    def _trades(self, values: Values, now_ms: int) -> object:
        of = self.contract(values).of
        other = "baseQty" if self._is_coin else "quoteQty"
        return [
            {
                "id": each.number,
                "price": of.show_price(each.price),
                "qty": of.show_amount(each.amount),
                other: f"{each.amount / each.price if self._is_coin else each.amount * each.price:.8f}",
                "time": each.at_ms,
                "isBuyerMaker": each.is_buyer_maker,
            }
            for each in select_trades(of, values, now_ms, default=500)
        ]

    def _agg_trades(self, values: Values, now_ms: int) -> object:
        of = self.contract(values).of
        return [agg_trade(of, each) for each in select_trades(of, values, now_ms, default=500)]

    def _klines(self, values: Values, now_ms: int) -> object:
        return self._candles(self.contract(values).of, values, now_ms)

    def _pair_klines(self, values: Values, now_ms: int) -> object:
        return self._candles(self._of_pair(reading.mandatory(values, "pair").upper())[0].of, values, now_ms)

    def _continuous_klines(self, values: Values, now_ms: int) -> object:
        kind = reading.mandatory(values, "contractType")
        pair = self._of_pair(reading.mandatory(values, "pair").upper())
        found = next((each for each in pair if each.kind == kind), None)
        if found is None:
            raise RefusedError(-1130, "Data sent for parameter 'contractType' is not valid.")
        return self._candles(found.of, values, now_ms)

    def _candles(self, of: Instrument, values: Values, now_ms: int) -> object:
        if (reading.optional_number(values, "limit") or 500) > 1500:
            raise RefusedError(-1130, "Data sent for parameter 'limit' is not valid.")
        span = Span(
            reading.interval(values, INTERVALS),
            reading.limit(values, default=500, most=1500),
            reading.optional_number(values, "startTime"),
            reading.optional_number(values, "endTime"),
        )
        return kline_rows(of, span, now_ms, in_base=self._is_coin)

    def _premium(self, values: Values, now_ms: int) -> object:
        def row(each: Contract) -> dict[str, object]:
            price = each.of.show_price(each.of.price(now_ms))
            is_perpetual = each.kind == "PERPETUAL"
            return {
                **self._named(each),
                "markPrice": price,
                "indexPrice": price,
                "estimatedSettlePrice": price,
                "lastFundingRate": "0.00010000" if is_perpetual else "",
                "interestRate": "0.00010000" if is_perpetual else "",
                "nextFundingTime": (now_ms // FUNDING_EVERY_MS + 1) * FUNDING_EVERY_MS if is_perpetual else 0,
                "time": now_ms,
            }

        return self._rows(values, row)

    def _funding(self, values: Values, now_ms: int) -> object:
        if self._is_coin or values.get("symbol"):
            return self._data.funding(self.contract(values), values, now_ms)
        count = reading.limit(values, default=100, most=1000)
        rows = [self._data.funding(each, {"limit": "1"}, now_ms) for each in self._contracts.values()]
        return [row for listed in rows for row in listed][:count]

    def _funding_info(self, values: Values, now_ms: int) -> object:
        return [
            {
                "symbol": each.of.name,
                "adjustedFundingRateCap": "0.02000000",
                "adjustedFundingRateFloor": "-0.02000000",
                "fundingIntervalHours": 8,
                "disclaimer": False,
            }
            for each in self._contracts.values()
            if each.kind == "PERPETUAL"
        ]

    def _day(self, values: Values, now_ms: int) -> object:
        def row(each: Contract) -> dict[str, object]:
            at = statistics(each.of, now_ms - _DAY_MS, now_ms)
            full = {**at.short(), **self._named(each), **at.change()}
            full["lastQty"] = each.of.show_amount(each.of.volume(0, 500))
            if self._is_coin:
                del full["quoteVolume"]
                full["baseVolume"] = f"{at.volume / at.last:.8f}"
            return full

        return self._rows(values, row)

    def _price(self, values: Values, now_ms: int) -> object:
        def row(each: Contract) -> dict[str, object]:
            pair = {"ps": each.pair} if self._is_coin else {}
            price = each.of.show_price(each.of.price(now_ms))
            return {"symbol": each.of.name, **pair, "price": price, "time": now_ms}

        return self._rows(values, row)

    def _best(self, values: Values, now_ms: int) -> object:
        def row(each: Contract) -> dict[str, object]:
            best = statistics(each.of, now_ms, now_ms).best()
            return {"lastUpdateId": now_ms, **self._named(each), **best, "time": now_ms}

        return self._rows(values, row)

    def _open_interest(self, values: Values, now_ms: int) -> object:
        each = self.contract(values)
        amount = each.of.show_amount(each.of.volume(0, _DAY_MS))
        kind = {"contractType": each.kind} if self._is_coin else {}
        return {**self._named(each), "openInterest": amount, **kind, "time": now_ms}

    def _constituents(self, values: Values, now_ms: int) -> object:
        name = reading.mandatory(values, "symbol").upper()
        return {"symbol": name, "time": now_ms, "constituents": [{"exchange": "binance", "symbol": name}]}

    def _adl_risk(self, values: Values, now_ms: int) -> object:
        return self._rows(values, lambda each: {**self._named(each), "adlRisk": "low", "updateTime": now_ms})

    def _asset_index(self, values: Values, now_ms: int) -> object:
        names = [values["symbol"].upper()] if values.get("symbol") else ["BTCUSD", "ETHUSD", "USDTUSD"]
        rows = [{"symbol": name, "time": now_ms, "index": "1.00000000"} for name in names]
        return rows[0] if values.get("symbol") else rows
