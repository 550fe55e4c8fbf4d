"""A new document: when clients see it, that no two answers mix two of them, and when it is not believed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from proxy.app import Application
from proxy.bodies import compress
from proxy.cache.shared import RedisStore
from proxy.core.cache.refresh_schedule import RefreshDecision
from tests.events import capture_logs
from tests.gateway.harness import INFO, Answer, Clock, client, gateway, stage
from tests.gateway.plain import Plain, plain
from tests.simulator import Fault, Simulator, generate_document
from tests.sizes import sized

NEARLY_STALE_SECONDS = 52.0
"""Of 60: a refresh is due, whatever the jitter, and the document is still fresh."""
KEY = "binance-sidecar:spot:exchangeInfo:all"
LOCK = "binance-sidecar:spot:lock"
FLIPPING = "BTCUSDT"
FILTERS = (
    INFO,
    f"{INFO}?showPermissionSets=false",
    f"{INFO}?symbol={FLIPPING}",
    f"{INFO}?symbols=%5B%22{FLIPPING}%22,%22ETHBTC%22%5D",
    f"{INFO}?permissions=SPOT",
    f"{INFO}?symbolStatus=TRADING",
    f"{INFO}?symbolStatus=BREAK&showPermissionSets=false",
)


def shown(answer: Answer) -> dict[str, str]:
    """Status by symbol."""
    return {symbol["symbol"]: symbol["status"] for symbol in answer.json["symbols"]}


# --- When clients see it.


@pytest.fixture(autouse=True)
def no_rounds_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateways look whether a refresh is due when a test tells them, and not also when real time has passed."""
    for name in ("TICK_SECONDS", "_SHORTEST_TICK_SECONDS"):
        monkeypatch.setattr(f"proxy.cache.refresher.{name}", 3600.0)


async def test_a_changed_status_is_seen_within_the_freshness_lifetime_on_every_replica(redis_url: str) -> None:
    clock = Clock()
    async with Simulator(clock=clock) as origin, AsyncExitStack() as stack:
        apps = [
            await stack.enter_async_context(gateway(origin, clock, redis_url=redis_url, keep_warm="always"))
            for _ in range(3)
        ]
        asking = await stack.enter_async_context(client(apps[0].url))
        for app in apps:
            assert shown(await asking.ask(f"{INFO}?symbol={FLIPPING}", url=app.url)) == {FLIPPING: "TRADING"}
        origin.set_status(FLIPPING, "BREAK")
        clock.push(NEARLY_STALE_SECONDS)
        await asyncio.gather(*(app.refresher.tick() for app in apps))
        for app in apps:
            answers = [await asking.ask(target, url=app.url) for target in FILTERS]
            assert [shown(answer).get(FLIPPING) for answer in answers] == ["BREAK"] * 5 + [None, "BREAK"]
            assert len({answer.json["serverTime"] for answer in answers}) == 1
        assert origin.count() == 2, "one replica refreshed for all"


async def test_a_client_that_comes_while_the_document_is_loaded_waits_for_that_load(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Simulator() as origin, gateway(origin, redis_url=redis_url, keep_warm="always") as app:
        looks, peek = [], RedisStore.peek

        async def counted(store: RedisStore, key: str) -> float | None:
            looks.append(key)
            return await peek(store, key)

        monkeypatch.setattr(RedisStore, "peek", counted)
        is_fresh, entry = await asyncio.gather(app.fills.warm(), app.fills.load(app.local.document_query))
        assert (is_fresh, entry, len(looks)) == (True, app.local.document(), 1)


async def test_each_refresh_leaves_one_line_and_its_numbers() -> None:
    async with stage(keep_warm="always") as on:
        on.origin.set_status(FLIPPING, "HALT")
        on.origin.add_symbol("NEWUSDT")
        on.origin.remove_symbol("ETHBTC")
        on.clock.push(NEARLY_STALE_SECONDS)
        with capture_logs() as logs:
            await on.app.refresher.tick()
        (line,) = [line for line in logs if line["event"] == "document_adopted"]
        told = {name: line[name] for name in ("source", "symbols", "added", "removed", "changed_status")}
        assert told == {"source": "origin", "symbols": 97, "added": 1, "removed": 1, "changed_status": 1}
        assert line["bytes"] > 100_000
        assert line["seconds"] > 0
        assert on.metric("documents_adopted_total") == 2
        for change in ("added", "removed", "status"):
            assert on.metric("symbol_changes_total", change=change) == 1
        assert on.metric("fills_total", endpoint="exchangeInfo", result="stored") == 2
        assert on.metric("fill_duration_seconds_count", endpoint="exchangeInfo") == 2


async def test_a_document_that_stays_fresh_for_long_is_in_demand_even_if_nobody_asked_for_ten_minutes() -> None:
    async with stage(keep_warm="demand", fresh_seconds=3600.0) as on:
        for _ in range(3):
            for seconds in (300.0, 600.0, 900.0, 500.0):
                on.clock.push(seconds)
                assert (await on.ask()).cache_status.startswith("binance-sidecar; hit")
            on.clock.push(800.0)
            assert await on.app.refresher.tick() is RefreshDecision.NOW
        assert on.asked() == 4


# --- No answer mixes two documents.


class Reader:
    """Asks one replica for everything, again and again, and believes only what fits."""

    def __init__(self, statuses: dict[int, str]) -> None:
        self._statuses = statuses
        self.seen: set[int] = set()
        self.answers = 0

    async def read(self, asking: Plain, targets: Iterable[str]) -> None:
        newest = 0
        for target in targets:
            answer = await asking.ask(target)
            document: int = answer.json["serverTime"]
            assert document >= newest, "an older document after a newer one"
            status = self._statuses[document]
            listed = status == "TRADING" if "TRADING" in target else status == "BREAK" if "BREAK" in target else True
            assert shown(answer).get(FLIPPING) == (status if listed else None), (target, document)
            newest = document
            self.seen.add(document)
            self.answers += 1


@pytest.mark.slow
@pytest.mark.no_cover
async def test_every_filter_agrees_with_every_other_at_all_times_on_every_replica(redis_url: str) -> None:
    clock = Clock()
    statuses = {int(clock.now * 1000): "TRADING"}
    over = False

    def round_and_round(start: int) -> Iterable[str]:
        turn = start
        while not over:
            yield FILTERS[turn % len(FILTERS)]
            turn += 1

    async def refresh(apps: list[Application]) -> None:
        for turn in range(sized(quick=3, usual=3, long=12)):
            status = ("BREAK", "TRADING")[turn % 2]
            origin.set_status(FLIPPING, status)
            clock.push(NEARLY_STALE_SECONDS)
            statuses[int(clock.now * 1000)] = status
            await asyncio.gather(*(app.refresher.tick() for app in apps))
            await asyncio.sleep(0.02)

    async with Simulator(clock=clock) as origin, AsyncExitStack() as stack:
        apps = [
            await stack.enter_async_context(gateway(origin, clock, redis_url=redis_url, keep_warm="always"))
            for _ in range(2)
        ]
        reader = Reader(statuses)
        reading = [
            asyncio.create_task(reader.read(await stack.enter_async_context(plain(app.url)), round_and_round(start)))
            for app in apps
            for start in range(len(FILTERS))
        ]
        await refresh(apps)
        over = True
        await asyncio.gather(*reading)
        assert reader.seen == set(statuses)
        assert reader.answers > 300
        assert origin.count() == len(statuses)


# --- A document that is not believed.


async def stored_at(redis_url: str) -> float:
    async with Redis.from_url(redis_url) as redis:
        return float(await redis.hget(KEY, "stored_at") or 0)


async def forget_failures(redis_url: str) -> None:
    """As if a second had passed for Redis too, which has a clock of its own."""
    async with Redis.from_url(redis_url) as redis:
        for key in [key async for key in redis.scan_iter("binance-sidecar:lock:*")]:
            await redis.delete(key)


@pytest.mark.no_cover
@pytest.mark.parametrize(("shrunk", "reason"), [(40, "half-missing"), (80, "trading-missing")])
async def test_a_document_that_lost_much_is_used_nowhere_until_a_second_refresh_confirms_it(
    redis_url: str, shrunk: int, reason: str
) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock) as origin,
        gateway(origin, clock, redis_url=redis_url, keep_warm="always") as one,
        gateway(origin, clock, redis_url=redis_url, keep_warm="always") as two,
        client(one.url) as asking,
    ):
        before = clock.now
        names = list(shown(await asking.ask()))
        origin.replace_document(generate_document(shrunk))
        clock.push(NEARLY_STALE_SECONDS)
        with capture_logs() as logs:
            await one.refresher.tick()
        assert [line["reason"] for line in logs if line["event"] == "document_quarantined"] == [reason]
        quarantined = one.metrics.registry.get_sample_value(
            "binance_sidecar_documents_quarantined_total", {"reason": reason}
        )
        assert quarantined == 1
        assert await stored_at(redis_url) == before, "other replicas must not find it"
        for url in (one.url, two.url):
            assert list(shown(await asking.ask(url=url))) == names
            assert (await asking.ask(f"{INFO}?symbol=BTCUSDT", url=url)).cache_status.endswith("detail=snapshot")
        clock.push(2.0)
        await forget_failures(redis_url)
        with capture_logs() as logs:
            assert await one.refresher.tick() is RefreshDecision.NOW
        assert [line["reason"] for line in logs if line["event"] == "document_confirmed"] == [reason]
        assert await stored_at(redis_url) == clock.now
        assert await two.refresher.tick() is RefreshDecision.NOW
        for url in (one.url, two.url):
            assert len(shown(await asking.ask(url=url))) == shrunk - 3
        assert origin.count() == 3, "one to see it, one to confirm it, for all replicas"


async def test_a_replica_that_kept_it_aside_too_takes_what_another_has_confirmed(redis_url: str) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock) as origin,
        gateway(origin, clock, redis_url=redis_url, keep_warm="always") as one,
        gateway(origin, clock, redis_url=redis_url, keep_warm="always") as two,
        client(one.url) as asking,
    ):
        origin.replace_document(generate_document(40))
        clock.push(NEARLY_STALE_SECONDS)
        for app in (one, two):
            await app.refresher.tick()
            await forget_failures(redis_url)
        assert len(shown(await asking.ask(url=two.url))) > 90
        clock.push(2.0)
        for app in (one, two):
            await app.refresher.tick()
        for url in (one.url, two.url):
            assert len(shown(await asking.ask(url=url))) == 37
        assert origin.count() == 4


async def test_one_that_was_a_glitch_leaves_no_trace() -> None:
    async with stage(keep_warm="always") as on:
        whole = on.origin.document
        on.origin.replace_document(generate_document(40))
        on.clock.push(NEARLY_STALE_SECONDS)
        await on.app.refresher.tick()
        on.origin.replace_document(whole)
        on.clock.push(2.0)
        await on.app.refresher.tick()
        answer = await on.ask()
        assert len(shown(answer)) == 97
        assert answer.cache_status == "binance-sidecar; hit; ttl=60"


async def test_an_answer_that_was_overtaken_by_a_refresh_is_a_fresh_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage() as on:
        await on.ask()

        async def slow(body: bytes) -> bytes | None:
            await on.app.fills.drain(5.0)
            return await compress(body)

        monkeypatch.setattr("proxy.cache.selections.compress", slow)
        on.clock.push(90.0)
        answer = await on.ask(f"{INFO}?symbolStatus=TRADING")  # one that is compressed beside the loop
        assert answer.cache_status == "binance-sidecar; hit; ttl=60; detail=snapshot"
        assert on.metric("requests_total", endpoint="exchangeInfo", status="200", cache="snapshot") == 1


# --- No document at all.


@pytest.mark.parametrize("fault", [Fault.TEAPOT_418, Fault.INTERNAL_500])
async def test_what_was_kept_of_a_query_is_its_answer_when_no_document_is_to_be_had(
    redis_url: str, fault: Fault
) -> None:
    clock, hidden = Clock(), f"{INFO}?permissions=TRD_GRP_003"
    async with Simulator(clock=clock) as origin, Redis.from_url(redis_url) as redis:
        async with gateway(origin, clock, redis_url=redis_url) as app, client(app.url) as asking:
            first = await asking.ask(hidden)
        await redis.delete(KEY)
        origin.set_fault(fault)
        async with gateway(origin, clock, redis_url=redis_url) as app, client(app.url) as asking:
            again: Any = await asking.ask(hidden)
            assert (again.status, again.body) == (200, first.body)
            assert again.cache_status == "binance-sidecar; hit; ttl=60"
            clock.push(300)
            stale = await asking.ask(hidden)
            assert (stale.status, stale.body) == (200, first.body)
            assert "ttl=-240; detail=" in stale.cache_status
            assert (await asking.ask(f"{INFO}?permissions=SPOT")).status == int(fault.value[-3:])
