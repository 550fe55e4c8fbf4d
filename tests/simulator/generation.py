"""A made-up exchangeInfo document in today's shape and size: the same one for the same seed.

Owns what the invented symbols look like. Must not know queries, HTTP or the clock.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from itertools import islice

from tests.simulator.document import Document, Symbol

_ENVELOPE = (
    ("timezone", b'"UTC"'),
    ("serverTime", b"0"),
    (
        "rateLimits",
        b'[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000},'
        b'{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":100},'
        b'{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":200000},'
        b'{"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"limit":300000}]',
    ),
    ("exchangeFilters", b"[]"),
    ("symbols", b"[]"),
)
_QUOTES = ("USDT", "BTC", "FDUSD", "USDC", "BNB", "ETH", "TRY", "EUR", "BRL", "JPY")
# The oldest pairs, in their listing order; the generated ones follow.
_FIRST = (
    *(("ETH", "BTC"), ("LTC", "BTC"), ("BNB", "BTC"), ("NEO", "BTC"), ("QTUM", "ETH"), ("EOS", "ETH")),
    *(("SNT", "ETH"), ("BNT", "ETH"), ("BCC", "BTC"), ("GAS", "BTC"), ("BNB", "ETH"), ("BTC", "USDT")),
    *(("ETH", "USDT"), ("HSR", "BTC"), ("OAX", "ETH"), ("DNT", "ETH")),
)
_FIRST_BROKEN = frozenset(("QTUMETH", "EOSETH", "SNTETH", "BNTETH", "BCCBTC", "GASBTC", "HSRBTC", "OAXETH"))
_FIRST_HALTED = "DNTETH"
# The newest ones: three that only a TRD_GRP permission shows, and one that is not ASCII.
_HIDDEN = (("NBT", "BIDR"), ("NBT", "USDT"), ("AXS", "BIDR"))
_NOT_ASCII = ("币安人生", "USDT")

_SYMBOL = (
    '{{"symbol":"{base}{quote}","status":"{status}","baseAsset":"{base}","baseAssetPrecision":8,"quoteAsset":"{quote}",'
    '"quotePrecision":8,"quoteAssetPrecision":8,"baseCommissionPrecision":8,"quoteCommissionPrecision":8,"orderTypes":'
    '["LIMIT","LIMIT_MAKER","MARKET","STOP_LOSS","STOP_LOSS_LIMIT","TAKE_PROFIT","TAKE_PROFIT_LIMIT"],'
    '"icebergAllowed":true,"ocoAllowed":true,"otoAllowed":true,"opoAllowed":true,"quoteOrderQtyMarketAllowed":true,'
    '"allowTrailingStop":true,"cancelReplaceAllowed":true,"amendAllowed":true,"pegInstructionsAllowed":true,'
    '"isSpotTradingAllowed":{spot},"isMarginTradingAllowed":{margin},"filters":['
    '{{"filterType":"PRICE_FILTER","minPrice":"{tick}","maxPrice":"{dearest}","tickSize":"{tick}"}},'
    '{{"filterType":"LOT_SIZE","minQty":"{step}","maxQty":"{largest}","stepSize":"{step}"}},'
    '{{"filterType":"ICEBERG_PARTS","limit":100}},'
    '{{"filterType":"MARKET_LOT_SIZE","minQty":"0.00000000","maxQty":"{at_market}","stepSize":"0.00000000"}},'
    '{{"filterType":"TRAILING_DELTA","minTrailingAboveDelta":10,"maxTrailingAboveDelta":2000,'
    '"minTrailingBelowDelta":10,"maxTrailingBelowDelta":2000}},'
    '{{"filterType":"PERCENT_PRICE_BY_SIDE","bidMultiplierUp":"2","bidMultiplierDown":"0.5",'
    '"askMultiplierUp":"2","askMultiplierDown":"0.5","avgPriceMins":5}},'
    '{{"filterType":"NOTIONAL","minNotional":"{notional}","applyMinToMarket":true,'
    '"maxNotional":"9000000.00000000","applyMaxToMarket":false,"avgPriceMins":5}},'
    '{{"filterType":"MAX_NUM_ORDERS","maxNumOrders":200}},{{"filterType":"MAX_NUM_ORDER_LISTS","maxNumOrderLists":20}},'
    '{{"filterType":"MAX_NUM_ALGO_ORDERS","maxNumAlgoOrders":5}},'
    '{{"filterType":"MAX_NUM_ORDER_AMENDS","maxNumOrderAmends":10}}],"permissions":[],"permissionSets":[{sets}],'
    '"defaultSelfTradePreventionMode":"EXPIRE_MAKER","allowedSelfTradePreventionModes":'
    '["EXPIRE_TAKER","EXPIRE_MAKER","EXPIRE_BOTH","DECREMENT","TRANSFER"]}}'
)


def generate_document(symbols: int = 3698, seed: int = 0) -> Document:
    """Invent a document of so many symbols; 3,698 of them make about 17.6 MB, as on 2026-09-13.

    From 20 symbols on, the last four are three that only TRD_GRP_003 shows, and one that is not ASCII.
    """
    dice = random.Random(seed)
    groups = [_group_names(dice) for _ in range(40)]
    last = (*_HIDDEN, _NOT_ASCII) if symbols >= 20 else ()
    listed = [*islice(_pairs(dice), symbols - len(last)), *last]
    made = (_invent(base, quote, dice, groups) for base, quote in listed)
    return Document(_ENVELOPE, {symbol.name: symbol for symbol in made})


def invent_symbol(name: str, status: str = "TRADING") -> Symbol:
    """A newly listed SPOT symbol of this name: the same one for the same name."""
    dice = random.Random(name)
    quote = next((quote for quote in _QUOTES if name.endswith(quote) and name != quote), "")
    base = name.removesuffix(quote)
    return _encode(base, quote, status=status, names=("SPOT", *_group_names(dice)), dice=dice)


def _pairs(dice: random.Random) -> Iterator[tuple[str, str]]:
    yield from _FIRST
    taken = {base + quote for base, quote in (*_FIRST, *_HIDDEN, _NOT_ASCII)}
    while True:
        base = "".join(dice.choices(string.ascii_uppercase, k=dice.choice((3, 3, 4, 4, 5))))
        for quote in sorted(dice.sample(_QUOTES, k=dice.randint(1, 4)), key=_QUOTES.index):
            if base + quote not in taken:
                taken.add(base + quote)
                yield base, quote


def _group_names(dice: random.Random) -> tuple[str, ...]:
    starts = dice.sample(range(4, 250, 12), k=4)
    missing = {start + step for start in starts for step in range(dice.randint(6, 10))}
    return tuple(f"TRD_GRP_{number:03}" for number in range(4, 268) if number not in missing)


def _invent(base: str, quote: str, dice: random.Random, groups: list[tuple[str, ...]]) -> Symbol:
    status = _status(base + quote, is_first=(base, quote) in _FIRST, dice=dice)
    group = groups[sum(map(ord, base)) % len(groups)]
    names: tuple[str, ...] = ("SPOT", *group)
    if (base, quote) in _HIDDEN:
        names = ("TRD_GRP_003",)
        status = "TRADING"
    elif status == "BREAK" and dice.random() < 0.24:
        names = ("SPOT",)  # long-delisted pairs lost their groups (YOYOBTC, record of 2025-08-07)
    elif status == "TRADING" and dice.random() < 0.45:
        names = ("SPOT", "MARGIN", *group)
    return _encode(base, quote, status=status, names=names, dice=dice)


def _status(name: str, *, is_first: bool, dice: random.Random) -> str:
    lot = dice.random()
    if name == _FIRST_HALTED:
        return "HALT"
    if is_first:
        return "BREAK" if name in _FIRST_BROKEN else "TRADING"
    if lot < 0.003:
        return "HALT"
    return "BREAK" if lot < 0.35 else "TRADING"


def _encode(base: str, quote: str, *, status: str, names: tuple[str, ...], dice: random.Random) -> Symbol:
    fields = {
        "base": base,
        "quote": quote,
        "status": status,
        "spot": "true" if "SPOT" in names else "false",
        "margin": "true" if "MARGIN" in names else "false",
        "tick": f"{10.0 ** -dice.randint(1, 8):.8f}",
        "dearest": f"{10 ** dice.randint(3, 6)}.00000000",
        "step": f"{10.0 ** -dice.randint(0, 5):.8f}",
        "largest": f"{dice.choice((9, 90, 900, 9000)) * 1000}.00000000",
        "at_market": f"{dice.uniform(1, 500000):.8f}",
        "notional": {"BTC": "0.00010000", "ETH": "0.00100000"}.get(quote, "5.00000000"),
    }
    full, bare = (_SYMBOL.format(**fields, sets=sets).encode() for sets in (_set_text(names), ""))
    return Symbol(base + quote, status, frozenset(names), full=full, bare=bare)


def _set_text(names: tuple[str, ...]) -> str:
    return '["' + '","'.join(names) + '"]'
