"""Fills that bring the origin's error: what is kept, how often the origin is asked, what clients see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.events import capture_logs
from tests.gateway.harness import INFO, Clock, Stage, client, gateway, stage
from tests.simulator import Simulator
from tests.simulator.api import Api, Asked
from tests.simulator.wire import JSON, Answer, Body

RULES = "/api/v3/executionRules"
KEY = "binance-sidecar:spot:exchangeInfo:all"
REFUSAL = b'{"code":-1102,"msg":"Mandatory parameter was not sent."}'
WORDS = "with code -1102: Mandatory parameter was not sent."
MOST_IN_TEN_MINUTES = 32
"""Waits of 1, 2, 4, ... 60 seconds, of which half may be jitter, and one of each kind more."""

Refuse = Callable[..., None]


@pytest.fixture(autouse=True)
def no_ticks_but_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateways look whether a refresh is due when a test tells them, and not also when real time has passed."""
    for name in ("TICK_SECONDS", "_SHORTEST_TICK_SECONDS"):
        monkeypatch.setattr(f"proxy.cache.refresher.{name}", 3600.0)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """From now on the origin answers every request, or those without a query, in this way."""
    right = Api.answer

    def start(status: int, body: bytes = REFUSAL, *, bare_only: bool = False) -> None:
        def answer(self: Api, asked: Asked, pairs: Any) -> Answer:
            if bare_only and asked.raw_query:
                return right(self, asked, pairs)
            return Answer(status, Body(body), content_type=JSON)

        monkeypatch.setattr(Api, "answer", answer)

    return start


async def minutes_pass(on: Stage, target: str, *, seconds: int = 600) -> set[str]:
    """Clients ask once a second, and the refresher looks as often. Returns the ends of the answers' Cache-Status."""
    details = set()
    for _ in range(seconds):
        on.clock.push(1)
        await on.app.refresher.tick()
        answer = await on.ask(target)
        assert answer.status == 200
        details.add(answer.cache_status.partition("ttl=")[2].partition("; ")[2])
        await on.app.fills.drain(5.0)
    return details


@pytest.mark.no_cover
@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("target", [INFO, f"{INFO}?symbol=BTCUSDT"])
async def test_a_refresh_that_brings_an_error_backs_off_to_a_minute(refuse: Refuse, status: int, target: str) -> None:
    async with stage(keep_warm="demand") as on:
        assert (await on.ask(target)).status == 200
        refuse(status)
        with capture_logs() as logs:
            details = await minutes_pass(on, target)
        assert 8 < on.asked() <= MOST_IN_TEN_MINUTES
        assert details - {"", "detail=snapshot"} == {"detail=origin-refused"}
        failed = [line for line in logs if line["event"] == "refresh_failed"]
        assert {line["log_level"] for line in failed} == {"warning"}
        assert {line["error"] for line in failed} == {f"The origin answered {status} {WORDS}"}
        fills = on.metric("fills_total", endpoint="exchangeInfo", result="origin-refused")
        assert fills == on.asked() - 1


async def test_while_stale_while_revalidate_lasts_clients_are_told_as_well(refuse: Refuse) -> None:
    async with stage(keep_warm="demand") as on:
        await on.ask()
        refuse(404)
        on.clock.push(108)
        await on.app.refresher.tick()
        assert (await on.ask()).cache_status == "binance-sidecar; hit; ttl=-48; detail=origin-refused"


@pytest.mark.no_cover
async def test_the_fills_of_other_keys_back_off_too(refuse: Refuse) -> None:
    async with stage() as on:
        assert (await on.ask(RULES)).status == 200
        refuse(404)
        on.clock.push(100)
        details = await minutes_pass(on, RULES)
        assert 8 < on.asked(RULES) <= MOST_IN_TEN_MINUTES
        assert details == {"", "detail=origin-refused"}, "only the first one cannot know yet"


@pytest.mark.no_cover
async def test_a_good_answer_ends_the_back_off(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(keep_warm="demand") as on:
        await on.ask()
        with monkeypatch.context() as patch:
            patch.setattr(Api, "answer", lambda *_: Answer(400, Body(REFUSAL)))
            await minutes_pass(on, INFO, seconds=90)
        on.clock.push(60)
        await on.app.refresher.tick()
        assert (await on.ask()).cache_status == "binance-sidecar; hit; ttl=60"


async def test_a_symbol_that_the_origin_no_longer_knows_is_news_and_no_failure() -> None:
    async with stage() as on:
        listed = {symbol["symbol"] for symbol in (await on.ask()).json["symbols"]}
        hidden = next(name for name in on.origin.document.symbols if name not in listed)
        target = f"{INFO}?symbol={hidden}"
        assert (await on.ask(target)).status == 200
        on.origin.remove_symbol(hidden)
        on.clock.push(75)
        await on.ask(target)
        await on.app.fills.drain(5.0)
        assert (await on.ask(target)).status == 400


async def test_a_refusal_without_a_document_is_the_answer_for_the_negative_lifetime(refuse: Refuse) -> None:
    async with stage(negative_seconds=10.0) as on:
        refuse(400, bare_only=True)
        for _ in range(5):
            answer = await on.ask()
            assert (answer.status, answer.body) == (400, REFUSAL)
            on.clock.push(1.5)
        assert on.asked() == 1
        one = await on.ask(f"{INFO}?symbol=BTCUSDT")
        assert (one.status, one.json["symbols"][0]["symbol"]) == (200, "BTCUSDT")
        on.clock.push(10.0)
        assert (await on.ask()).status == 400
        assert on.asked() == 3


async def test_a_first_refresh_that_is_refused_is_a_failure(refuse: Refuse) -> None:
    refuse(400)
    with capture_logs() as logs:
        async with stage(keep_warm="always") as on:
            for _ in range(20):
                on.clock.push(0.5)
                await on.app.refresher.tick()
            assert on.asked() <= 8
    assert len([line for line in logs if line["event"] == "refresh_failed"]) == on.asked()


# --- Several replicas.


async def test_what_another_replica_was_refused_does_not_replace_a_good_document(
    redis_url: str, refuse: Refuse
) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock) as origin,
        Redis.from_url(redis_url) as redis,
        gateway(origin, clock, redis_url=redis_url) as one,
        client(one.url) as asking,
    ):
        good = await asking.ask()
        await redis.delete(KEY)
        refuse(400)
        async with gateway(origin, clock, redis_url=redis_url) as two:
            assert (await asking.ask(url=two.url)).status == 400
        clock.push(125)
        await redis.hset(KEY, "stored_at", str(clock.now))
        await redis.persist(KEY)
        for _ in range(3):
            kept = await asking.ask()
            assert (kept.status, kept.body) == (200, good.body)
            assert kept.cache_status == "binance-sidecar; hit; ttl=-65; detail=origin-refused"
        assert await redis.hget(KEY, "status") == b"400", "that one was found, and is still there"


async def test_a_refused_fill_leaves_the_good_entry_in_redis(redis_url: str, refuse: Refuse) -> None:
    clock = Clock()
    async with Simulator(clock=clock) as origin, Redis.from_url(redis_url) as redis:
        async with gateway(origin, clock, redis_url=redis_url) as one, client(one.url) as asking:
            for target in (INFO, RULES):
                await asking.ask(target)
            refuse(404)
            clock.push(125)
            for target in (INFO, RULES):
                assert (await asking.ask(target)).status == 200
            await one.fills.drain(5.0)
        assert await redis.hget(KEY, "status") == b"200"
        async with gateway(origin, clock, redis_url=redis_url) as two, client(two.url) as asking:
            for target in (INFO, RULES):
                assert (await asking.ask(target)).status == 200


async def test_a_refusal_in_redis_does_not_make_a_replica_warm(redis_url: str) -> None:
    clock = Clock()
    async with Simulator(clock=clock) as origin:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Api, "answer", lambda *_: Answer(400, Body(REFUSAL)))
            async with gateway(origin, clock, redis_url=redis_url) as one, client(one.url) as asking:
                assert (await asking.ask()).status == 400
        async with gateway(origin, clock, redis_url=redis_url, keep_warm="always") as two, client(two.url) as asking:
            assert two.local.document() is not None
            assert (await asking.ask()).cache_status == "binance-sidecar; hit; ttl=60"
