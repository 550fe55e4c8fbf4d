"""Refusals in the origin's own words, and one key for all spellings: seen from the client and in Redis."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tests.gateway.harness import INFO, Clock, client, gateway, stage
from tests.simulator import Simulator

SYMBOL_RANGE = r"^[\\w\\-._&&[^a-z]]{1,50}$"
LIST_RANGE = r"^\\[(\"[\\w\\-._&&[^a-z]]{1,50}\"(,\"[\\w\\-._&&[^a-z]]{1,50}\"){0,}){0,1}\\]$"
ROWS = [
    ("/api/v3/ping?a=1", "-1101", "Too many parameters; expected '0' and received '1'."),
    ("/api/v3/time?a=1&b=2", "-1101", "Too many parameters; expected '0' and received '2'."),
    (f"{INFO}?symbols=[]&symbols=[]", "-1101", "Duplicate values for parameter 'symbols'."),
    (f"{INFO}?foo=1", "-1104", "Not all sent parameters were read; read '0' parameter(s) but was sent '1'."),
    (f"{INFO}?symbol=", "-1105", "Parameter 'symbol' was empty."),
    (
        f"{INFO}?symbol=btcusdt",
        "-1100",
        f"Illegal characters found in parameter 'symbol'; legal range is '{SYMBOL_RANGE}'.",
    ),
    (
        f"{INFO}?symbols=[%22BTCUSDT%22,%20%22ETHUSDT%22]",
        "-1100",
        f"Illegal characters found in parameter 'symbols'; legal range is '{LIST_RANGE}'.",
    ),
    (
        f"{INFO}?symbols=%5B%27BTCUSDT%27%5D",
        "-1100",
        f"Illegal characters found in parameter 'symbols'; legal range is '{LIST_RANGE}'.",
    ),
    (f"{INFO}?symbols=[%22BTCUSDT%22,%22BTCUSDT%22]", "-1151", "Symbol is present multiple times in the list."),
    (
        f"{INFO}?symbol=BTCUSDT&symbols=[%22BTCUSDT%22]",
        "-1128",
        "Combination of optional parameters invalid. Recommendation: 'symbol' and 'symbols' cannot both be sent.",
    ),
    (f"{INFO}?symbolStatus=OPEN", "-1122", "Invalid symbolStatus."),
]
SPELLINGS = [
    "symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D",
    "symbols=%5B%22BTCUSDT%22,%22ETHUSDT%22%5D",
    "symbols=[%22BTCUSDT%22,%22ETHUSDT%22]",
    'symbols=["BTCUSDT","ETHUSDT"]',
    'symbols=["ETHUSDT","BTCUSDT"]',
    'showPermissionSets=true&symbols=["ETHUSDT","BTCUSDT"]',
    'symbols=["ETHUSDT","BTCUSDT"]&showPermissionSets=true',
]


async def test_certain_refusals_are_the_origins_word_for_word_and_cost_nothing() -> None:
    async with stage() as on:
        for target, code, msg in ROWS:
            answer = await on.ask(target)
            assert (answer.status, answer.body.decode()) == (400, f'{{"code":{code},"msg":"{msg}"}}')
            assert answer.headers["content-type"] == "application/json;charset=UTF-8"
            assert answer.cache_status == "binance-sidecar; detail=rejected"
        unit = await on.ask("/api/v3/time", X_MBX_TIME_UNIT="NANOSECOND")
        assert unit.json == {
            "code": -1194,
            "msg": "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.",
        }
        assert on.asked() == 0


@pytest.mark.no_cover
@pytest.mark.parametrize("target", [row[0] for row in ROWS])
async def test_the_stand_in_refuses_the_same_with_the_same_bytes(target: str) -> None:
    async with stage() as on:
        ours = await on.ask(target)
        theirs = await on.client.ask(target, url=on.origin.url)
        assert (ours.status, ours.body) == (theirs.status, theirs.body)


async def test_an_unknown_symbol_is_the_origins_to_refuse() -> None:
    async with stage() as on:
        for target in (f"{INFO}?symbol=NOSUCH", f"{INFO}?symbols=[%22BTCUSDT%22,%22NOSUCH%22]"):
            answer = await on.ask(target)
            assert (answer.status, answer.body) == (400, b'{"code":-1121,"msg":"Invalid symbol."}')


async def test_every_spelling_is_one_key_that_a_person_can_read(redis_url: str) -> None:
    clock = Clock()
    async with Simulator(clock=clock) as origin, Redis.from_url(redis_url, decode_responses=False) as redis:
        async with (
            gateway(origin, clock, redis_url=redis_url, snapshot=False) as app,
            client(app.url) as asking,
        ):
            bodies = {(await asking.ask(f"{INFO}?{spelling}")).body for spelling in SPELLINGS}
            single = {
                (await asking.ask(f"{INFO}?{spelling}")).body
                for spelling in ("symbol=BTCUSDT", 'symbols=["BTCUSDT"]', "symbols=%5B%22BTCUSDT%22%5D")
            }
        assert (len(bodies), len(single), origin.count()) == (1, 1, 2)
        keys = sorted([key async for key in redis.scan_iter("binance-sidecar:spot:*")])
        assert keys == [
            b"binance-sidecar:spot:exchangeInfo:symbols=BTCUSDT",
            b"binance-sidecar:spot:exchangeInfo:symbols=BTCUSDT,ETHUSDT",
        ]
        entry = await redis.hgetall(keys[0])
        assert entry[b"status"] == b"200"
        assert float(entry[b"stored_at"]) == clock.now
        assert 0 < await redis.ttl(keys[0]) <= 86460


async def test_the_full_document_answers_every_filter_and_is_the_only_key(redis_url: str) -> None:
    clock = Clock()
    async with Simulator(clock=clock) as origin, Redis.from_url(redis_url) as redis:
        async with gateway(origin, clock, redis_url=redis_url) as app, client(app.url) as asking:
            for query in (*SPELLINGS, "symbol=BTCUSDT", "permissions=SPOT", "symbolStatus=BREAK"):
                assert (await asking.ask(f"{INFO}?{query}")).status == 200
        assert origin.count() == 1
        keys = [key async for key in redis.scan_iter("binance-sidecar:spot:*")]
        assert keys == [b"binance-sidecar:spot:exchangeInfo:all"]
