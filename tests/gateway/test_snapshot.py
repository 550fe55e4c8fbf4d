"""One full document answers every query: the same bytes as the origin's, at the price of one."""

from __future__ import annotations

import asyncio
import random
from itertools import combinations, islice, product
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.gateway.harness import INFO, stage
from tests.gateway.plain import plain
from tests.gateway.test_captures import GENERATED, recordings
from tests.simulator import Document, generate_document, recorded
from tests.sizes import sized

NARROW = sized(quick=100, usual=100, long=2000)
"""How many queries that name symbols are made for each document."""
MOST_NAMED = 40
UNLIMITED = {"weight_limit": 10**9, "raw_limit": 10**9}
PERMISSIONS = ("SPOT", "MARGIN", "LEVERAGED")
STATUSES = ("TRADING", "HALT", "BREAK")
UNITS: tuple[dict[str, str], ...] = ({}, {"X-MBX-TIME-UNIT": "MICROSECOND"}, {"X-MBX-TIME-UNIT": "millisecond"})
SHOWN = 3698
QUERIES = sized(quick=200, usual=200, long=10_000)

Asked = tuple[str, dict[str, str]]
"""A target and the headers that select a representation."""


def targets(*parts: str) -> str:
    query = "&".join(part for part in parts if part)
    return f"{INFO}?{query}" if query else INFO


def spelled(names: list[str], dice: random.Random) -> str:
    """A JSON list in one of the encodings that clients use."""
    text = '["' + '","'.join(names) + '"]'
    return quote(text, safe=dice.choice(["", ",", ",[]", ":,[]"]))


def narrow(document: Document, dice: random.Random) -> Asked:
    """A query that names one symbol or some of those that the full document shows."""
    shown = [symbol.name for symbol in document.symbols.values() if symbol.is_listed]
    names = dice.sample(shown, k=min(len(shown), dice.choice([1, 1, 1, 2, 3, dice.randint(4, MOST_NAMED)])))
    listed = f"symbols={spelled(names, dice)}"
    parts = [dice.choice([listed, f"symbol={quote(names[0])}"]), dice.choice(["", "", *sets()])]
    dice.shuffle(parts)
    return targets(*parts), dice.choice(UNITS)


def sets() -> tuple[str, str]:
    return "showPermissionSets=true", "showPermissionSets=false"


def broad(dice: random.Random) -> list[Asked]:
    """Every query that names no symbol, each in one of its spellings."""
    chosen = [list(some) for count in range(4) for some in combinations(PERMISSIONS, count)]
    asked: list[Asked] = []
    for some, status, shows, unit in product(chosen, ("", *STATUSES), ("", sets()[1]), UNITS[:2]):
        dice.shuffle(some)
        permissions = f"permissions={some[0] if len(some) == 1 else spelled(some, dice)}" if some else ""
        asked.append((targets(permissions, f"symbolStatus={status}" if status else "", shows), unit))
    return asked


@pytest.mark.no_cover
@pytest.mark.parametrize("name", recordings(), ids=lambda name: Path(name).name)
@pytest.mark.slow
async def test_any_legal_query_gets_the_bytes_that_the_origin_would_send(name: str) -> None:
    document = generate_document(120) if name == GENERATED else recorded(name)
    dice = random.Random(name.rpartition("/")[2])
    asked = [narrow(document, dice) for _ in range(NARROW)]
    asked += broad(dice) if name == GENERATED else dice.sample(broad(dice), k=40)
    dice.shuffle(asked)
    async with stage(origin={"document": document, **UNLIMITED}) as on:
        async with plain(on.origin.url) as origin, plain(on.app.url) as gateway:
            for target, unit in asked:
                theirs = await origin.ask(target, unit)
                ours = await gateway.ask(target, unit)
                packed = await gateway.ask(target, {**unit, "Accept-Encoding": "gzip"})
                assert (ours.status, ours.raw) == (theirs.status, theirs.raw), (target, unit)
                assert (packed.status, packed.body) == (200, theirs.raw), (target, unit)
                assert packed.headers.get("content-encoding") == "gzip", (target, unit)
        if name == GENERATED:
            assert on.asked() == 1 + len(asked), "the gateway asked once"


def different_queries(document: Document) -> list[str]:
    """10,000 queries of different meaning; every symbol that is shown is asked for by name."""
    shown = [symbol.name for symbol in document.symbols.values() if symbol.is_listed]
    assert len(shown) == SHOWN
    pairs = ([shown[place], shown[-1 - place // 3]] for place in range(SHOWN))
    lists = (sorted({*pair, shown[7 * place % SHOWN]}) for place, pair in enumerate(pairs))
    named = {",".join(names): names for names in lists if len(names) == 3}
    made = [targets(f"symbol={quote(name)}") for name in shown]
    made += [targets(f"symbol={quote(name)}", sets()[1]) for name in shown]
    made += [targets(f"symbolStatus={status}", shows) for status in STATUSES for shows in ("", sets()[1])]
    made += [
        targets(f"symbols={quote(str(names).replace(chr(39), chr(34)).replace(' ', ''))}") for names in named.values()
    ]
    return list(islice(dict.fromkeys(made), QUERIES))


@pytest.mark.no_cover
@pytest.mark.parametrize("keep_warm", ["always", "never"])
async def test_thousands_of_different_queries_cost_the_weight_of_one(keep_warm: str) -> None:
    document = generate_document(SHOWN + 3)
    asked = different_queries(document)
    assert len(asked) == QUERIES
    async with stage(origin={"document": document}, keep_warm=keep_warm) as on:
        assert on.asked() == (1 if keep_warm == "always" else 0)

        async def ask(some: list[str]) -> None:
            async with plain(on.app.url) as client:
                for target in some:
                    assert (await client.ask(target)).status == 200

        await asyncio.gather(*(ask(asked[start::4]) for start in range(4)))
        assert (on.asked(), on.origin.weight_spent) == (1, 20)
        assert on.metric("weight_saved_total", endpoint="exchangeInfo") == 20 * (QUERIES - 1)
        assert on.metric("weight_spent_total", endpoint="exchangeInfo") == 20


async def test_an_unknown_symbol_is_asked_for_once_and_its_refusal_is_kept_for_a_while() -> None:
    async with stage(negative_seconds=10.0) as on:
        await on.ask()
        for _ in range(3):
            refused = await on.ask(f"{INFO}?symbol=NEWUSDT")
            assert (refused.status, refused.body) == (400, b'{"code":-1121,"msg":"Invalid symbol."}')
        assert on.asked() == 2
        on.clock.push(9.9)
        await on.ask(f"{INFO}?symbol=NEWUSDT")
        assert on.asked() == 2
        on.clock.push(0.1)
        await on.ask(f"{INFO}?symbol=NEWUSDT")
        assert on.asked() == 3
        on.origin.add_symbol("NEWUSDT")
        on.clock.push(10)
        assert (await on.ask(f"{INFO}?symbol=NEWUSDT")).status == 200


async def test_a_symbol_that_was_listed_meanwhile_appears_with_the_next_refresh_whatever_is_remembered() -> None:
    async with stage(negative_seconds=3600.0, keep_warm="always") as on:
        assert (await on.ask(f"{INFO}?symbol=NEWUSDT")).status == 400
        assert (await on.ask(f"{INFO}?symbol=NEWUSDT")).status == 400
        on.origin.add_symbol("NEWUSDT")
        on.clock.push(52)
        await on.app.refresher.tick()
        listed = await on.ask(f"{INFO}?symbol=NEWUSDT")
        assert (listed.status, listed.cache_status) == (200, "binance-sidecar; hit; ttl=60; detail=snapshot")
        assert on.asked() == 3


@pytest.mark.no_cover
async def test_many_who_ask_for_the_same_large_answer_at_once_get_one_that_is_made_once() -> None:
    async with stage(origin={"symbols": 400}) as on:
        await on.ask()
        answers = await asyncio.gather(*(on.ask(f"{INFO}?showPermissionSets=false") for _ in range(50)))
        assert len({answer.raw for answer in answers}) == 1
        assert {answer.cache_status for answer in answers} == {"binance-sidecar; hit; ttl=60; detail=snapshot"}
        assert on.metric("entries", kind="selection") == 1
