"""The invented contracts of the derivatives, and their exchangeInfo documents.

Owns which contracts there are. The delivery dates follow from the time of the start. Must not know market data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.simulator.market import Instrument, instrument

_BASES = (
    "BTC ETH BNB XRP SOL ADA DOGE TRX LTC LINK DOT AVAX BCH UNI ETC XLM ATOM FIL NEAR APT OP ARB INJ SUI AAVE ALGO",
    "EGLD SAND MANA AXS THETA XTZ EOS NEO IOTA DASH ZEC QTUM ONT KNC",
)
_PERPETUAL_END_MS = 4_133_404_800_000
_ONBOARD_MS = 1_569_398_400_000
_ORDER_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]
_TIMES_IN_FORCE = ["GTC", "IOC", "FOK", "GTX"]


@dataclass(frozen=True, slots=True)
class Contract:
    """One futures contract. `size`: units of the quote asset in a contract of COIN-M; None on USD-M."""

    of: Instrument
    pair: str
    kind: str
    delivery_ms: int
    margin: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One option on `underlying`. `side` is CALL or PUT."""

    of: Instrument
    underlying: str
    side: str
    strike: int
    expiry_ms: int


def usd_contracts(count: int, now_ms: int, seed: int) -> list[Contract]:
    """So many perpetual contracts, most with three-letter names, and four with a delivery date."""
    names = [*_bases(), *(f"X{number:03}" for number in range(count))][:count]
    made = [_usd(base, "", "PERPETUAL", _PERPETUAL_END_MS, seed) for base in names]
    for base in names[:2]:
        for kind, end in _quarters(now_ms):
            made.append(_usd(base, f"_{_day(end)}", kind, end, seed))
    return made


def coin_contracts(count: int, now_ms: int, seed: int) -> list[Contract]:
    """So many perpetual contracts, and four with a delivery date."""
    names = _bases()[:count]
    made = [_coin(base, "_PERP", "PERPETUAL", _PERPETUAL_END_MS, seed) for base in names]
    for base in names[:2]:
        for kind, end in _quarters(now_ms):
            made.append(_coin(base, f"_{_day(end)}", kind, end, seed))
    return made


def options(now_ms: int, seed: int) -> list[Option]:
    """Calls and puts on two underlyings, at five strikes, for two dates."""
    made = []
    for base in ("BTC", "ETH"):
        underlying = instrument(f"{base}USDT", base, "USDT", seed=seed)
        unit = 10 ** (len(str(int(underlying.anchor))) - 1)
        for _, end in _quarters(now_ms):
            for step in range(1, 6):
                for side in ("CALL", "PUT"):
                    name = f"{base}-{_day(end)}-{step * unit}-{side[0]}"
                    of = instrument(name, base, "USDT", seed=seed, price=(1, 2))
                    made.append(Option(of, underlying.name, side, step * unit, end))
    return made


def _bases() -> list[str]:
    return " ".join(_BASES).split()


def _usd(base: str, suffix: str, kind: str, end: int, seed: int) -> Contract:
    of = instrument(f"{base}USDT{suffix}", base, "USDT", seed=seed)
    return Contract(of, f"{base}USDT", kind, end, "USDT")


def _coin(base: str, suffix: str, kind: str, end: int, seed: int) -> Contract:
    of = instrument(f"{base}USD{suffix}", base, "USD", seed=seed, price=(2, 0))
    return Contract(of, f"{base}USD", kind, end, base, 100 if base == "BTC" else 10)


def _quarters(now_ms: int) -> list[tuple[str, int]]:
    """The next two last Fridays of a quarter, 08:00 UTC."""
    at = datetime.fromtimestamp(now_ms / 1000, UTC)
    fridays = [_last_friday(at.year + year, month) for year in (0, 1) for month in (3, 6, 9, 12)]
    left = [int(day.timestamp() * 1000) for day in fridays if day > at]
    return list(zip(("CURRENT_QUARTER", "NEXT_QUARTER"), left, strict=False))


def _last_friday(year: int, month: int) -> datetime:
    last = datetime(year + month // 12, month % 12 + 1, 1, 8, tzinfo=UTC) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - 4) % 7)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%y%m%d")


def rate_limits(weight: int, orders: list[tuple[str, int, int]]) -> list[dict[str, object]]:
    """`orders`: (interval, how many, limit)."""
    rows = [("REQUEST_WEIGHT", "MINUTE", 1, weight), *(("ORDERS", *row) for row in orders)]
    keys = ("rateLimitType", "interval", "intervalNum", "limit")
    return [dict(zip(keys, row, strict=True)) for row in rows]


def futures_info(contracts: list[Contract], limits: list[dict[str, object]], now_ms: int) -> dict[str, object]:
    """exchangeInfo of USD-M or COIN-M, told by the contracts' sizes."""
    assets = sorted({each.margin for each in contracts})
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        **({} if contracts[0].size else {"futuresType": "U_MARGINED"}),
        "rateLimits": limits,
        "exchangeFilters": [],
        **({} if contracts[0].size else {"assets": [_asset(name) for name in assets]}),
        "symbols": [_futures_symbol(each) for each in contracts],
    }


def _asset(name: str) -> dict[str, object]:
    return {"asset": name, "marginAvailable": True, "autoAssetExchange": "0"}


def _futures_symbol(each: Contract) -> dict[str, object]:
    of = each.of
    step = of.show_amount(10.0**-of.lot_places)
    status = {"status": "TRADING"} if each.size is None else {"contractStatus": "TRADING", "contractSize": each.size}
    filters: list[dict[str, object]] = [
        {"filterType": "PRICE_FILTER", **_range("Price", of.show_price(of.tick), "4529764"), "tickSize": f"{of.tick}"},
        {"filterType": "LOT_SIZE", **_range("Qty", step, "100000"), "stepSize": step},
        {"filterType": "MARKET_LOT_SIZE", **_range("Qty", step, "12000"), "stepSize": step},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4"},
    ]
    if each.size is None:
        filters.append({"filterType": "MIN_NOTIONAL", "notional": "5"})
    return {
        "symbol": of.name,
        "pair": each.pair,
        "contractType": each.kind,
        "deliveryDate": each.delivery_ms,
        "onboardDate": _ONBOARD_MS,
        **status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": of.base,
        "quoteAsset": of.quote,
        "marginAsset": each.margin,
        "pricePrecision": of.places,
        "quantityPrecision": of.lot_places,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": filters,
        "orderTypes": _ORDER_TYPES,
        "timeInForce": _TIMES_IN_FORCE,
    }


def _range(what: str, least: str, most: str) -> dict[str, object]:
    return {f"min{what}": least, f"max{what}": most}


def options_info(listed: list[Option], limits: list[dict[str, object]], now_ms: int) -> dict[str, object]:
    """exchangeInfo of the options."""
    bases = sorted({each.of.base for each in listed})
    contracts = [
        {"baseAsset": base, "quoteAsset": "USDT", "underlying": f"{base}USDT", "settleAsset": "USDT"} for base in bases
    ]
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "optionContracts": contracts,
        "optionAssets": [{"name": "USDT"}],
        "optionSymbols": [_option_symbol(each) for each in listed],
        "rateLimits": limits,
    }


def _option_symbol(each: Option) -> dict[str, object]:
    of = each.of
    step = of.show_amount(10.0**-of.lot_places)
    return {
        "expiryDate": each.expiry_ms,
        "filters": [
            {"filterType": "PRICE_FILTER", **_range("Price", f"{of.tick}", "80000.0"), "tickSize": f"{of.tick}"},
            {"filterType": "LOT_SIZE", **_range("Qty", step, "1200.00"), "stepSize": step},
        ],
        "symbol": of.name,
        "side": each.side,
        "strikePrice": f"{each.strike}.000",
        "underlying": each.underlying,
        "unit": 1,
        "liquidationFeeRate": "0.0019000",
        "minQty": step,
        "maxQty": "1200.00",
        "initialMargin": "0.15000000",
        "maintenanceMargin": "0.07500000",
        "minInitialMargin": "0.10000000",
        "minMaintenanceMargin": "0.05000000",
        "priceScale": of.places,
        "quantityScale": of.lot_places,
        "quoteAsset": "USDT",
        "status": "TRADING",
    }
