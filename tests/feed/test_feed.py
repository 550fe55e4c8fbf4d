"""The feed as its readers see it: with Redis and without, on one replica and on two."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp
import pytest
from redis.asyncio import Redis

from proxy.app import Application
from tests.feed.readers import Event, reading
from tests.gateway.harness import INFO, Client, Clock, Stage, client, gateway, stage
from tests.simulator import Simulator, generate_document
from tests.sizes import sized

STREAM = "binance-sidecar:changes:{binance-sidecar:spot:exchangeInfo:all}"
CHANGES = 300
DOCUMENTS = 4
STATUSES = ("BREAK", "HALT", "TRADING", "END_OF_DAY")


async def renew(on: Stage) -> None:
    """Let the document be too old, and ask for it."""
    on.clock.push(130.0)
    assert (await on.ask()).status == 200


# --- One replica.


@pytest.fixture(params=["memory:", "redis"])
def anywhere(request: pytest.FixtureRequest, redis_url: str) -> str:
    """Without Redis it is all the same."""
    return "memory:" if request.param == "memory:" else redis_url


async def test_as_many_changes_are_kept_as_the_setting_says(anywhere: str) -> None:
    async with stage(redis_url=anywhere, feed_changes=2) as on:
        await on.ask()
        for status in ("HALT", "BREAK", "TRADING"):
            on.origin.set_status("BTCUSDT", status)
            await renew(on)
        listed = (await on.ask("/changes", Accept="application/json")).json
        assert [change["new"] for change in listed["changes"]] == ["BREAK", "TRADING"]


@pytest.mark.no_cover
async def test_a_reader_gets_what_changes_from_now_and_the_rest_when_it_comes_back(anywhere: str) -> None:
    async with stage(redis_url=anywhere) as on:
        await on.ask()
        on.origin.set_status("BTCUSDT", "HALT")
        await renew(on)
        async with reading(on.app.url) as stream:
            await stream.greeted()
            on.origin.set_status("BTCUSDT", "BREAK")
            on.origin.remove_symbol("ETHUSDT")
            on.origin.add_symbol("NEWUSDT")
            await renew(on)
            events = await stream.events(3)
        time_ms = round(on.clock() * 1000)
        assert [(event.kind, event.data) for event in events] == [
            ("delisted", {"symbol": "ETHUSDT", "old": "TRADING", "new": None, "api": "spot", "time": time_ms}),
            ("status", {"symbol": "BTCUSDT", "old": "HALT", "new": "BREAK", "api": "spot", "time": time_ms}),
            ("listed", {"symbol": "NEWUSDT", "old": None, "new": "TRADING", "api": "spot", "time": time_ms}),
        ]
        on.origin.set_status("BTCUSDT", "TRADING")
        await renew(on)
        async with reading(on.app.url, last_id=events[1].id) as stream:
            again = await stream.events(2)
        assert (again[0], again[1].data["new"]) == (events[2], "TRADING")
        listed = (await on.ask("/changes", Accept="application/json")).json
        assert [change["event"] for change in listed["changes"]] == ["status", "delisted", "status", "listed", "status"]
        assert (listed["id"], listed["reset"]) == (again[1].id, False)
        assert on.metric("feed_changes_total", api="spot", kind="status") == 3


async def test_a_reader_that_has_seen_no_change_yet_can_come_back_too(anywhere: str) -> None:
    async with stage(redis_url=anywhere) as on:
        async with reading(on.app.url) as stream:
            await stream.greeted()
        await on.ask()
        on.origin.set_status("BTCUSDT", "BREAK")
        await renew(on)
        async with reading(on.app.url, last_id=stream.last_id) as again:
            assert (await again.event()).data["symbol"] == "BTCUSDT", "the first document is no change"


async def test_what_was_asked_for_is_told_and_nothing_else() -> None:
    async with stage() as on:
        await on.ask()
        async with (
            reading(on.app.url, "?symbols=ETHUSDT,XRPUSDT") as some,
            reading(on.app.url, "?kinds=listed&api=spot") as new,
            reading(on.app.url, "?api=coin-futures") as coin,
        ):
            for stream in (some, new, coin):
                await stream.greeted()
            on.origin.set_status("BTCUSDT", "BREAK")
            on.origin.set_status("ETHUSDT", "BREAK")
            on.origin.add_symbol("NEWUSDT")
            await renew(on)
            assert (await some.event()).data["symbol"] == "ETHUSDT"
            assert (await new.event()).data["symbol"] == "NEWUSDT"
            on.app.hub.close()
            assert await coin.rest() == await some.rest() == []


async def test_headers_and_refusals() -> None:
    async with stage() as on, aiohttp.ClientSession() as session:
        async with session.get(f"{on.app.url}/changes") as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert answer.headers["Cache-Control"] == "no-cache, no-transform"
            assert answer.headers["X-Accel-Buffering"] == "no"
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert (await answer.content.readline()).startswith(b": ")
        head = await on.ask("/changes", method="HEAD")
        assert (head.status, head.raw, head.headers["content-type"]) == (200, b"", "text/event-stream")
        wrong = await on.ask("/changes?kinds=other")
        assert (wrong.status, wrong.json["code"], wrong.headers["access-control-allow-origin"]) == (400, -1130, "*")
        assert (await on.ask("/changes", method="POST")).status == 405
        assert (await on.ask("/changes", method="OPTIONS")).status == 204
        packed = await on.ask("/changes", Accept="application/json, text/plain, */*", Accept_Encoding="gzip")
        assert packed.json["changes"] == []
        for nothing_yet in ({}, {"Last_Event_ID": ""}):
            new = await on.ask("/changes?lastEventId=", Accept="application/json", **nothing_yet)
            assert (new.status, new.json["reset"]) == (200, False)
        both = "text/event-stream, application/json;q=0.9"
        assert (await on.ask("/changes", method="HEAD", Accept=both)).headers["content-type"] == "text/event-stream"


# --- How a stream ends.


async def test_a_reader_that_leaves_is_forgotten_at_once() -> None:
    async with stage() as on:
        async with reading(on.app.url) as stream:
            await stream.greeted()
            assert on.metric("feed_readers") == 1
        async with asyncio.timeout(5):
            while on.app.hub.readers:  # noqa: ASYNC110 - seen from outside there is no event to wait for
                await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while not on.metric("feed_ended_total", end="left"):  # noqa: ASYNC110
                await asyncio.sleep(0)


async def test_when_the_gateway_stops_each_stream_ends_cleanly_and_says_when_to_come_again() -> None:
    async with stage() as on:
        async with reading(on.app.url) as stream:
            await stream.greeted()
            on.app.hub.close()
            assert await stream.rest() == []
        async with reading(on.app.url, last_id=stream.last_id) as late:
            assert (late.response.status, await late.rest()) == (200, [])
        assert all(2000 <= int(each.retry) <= 5000 for each in (stream, late))
        assert on.metric("feed_ended_total", end="draining") == 2


async def test_too_many_readers_are_sent_away_without_an_error() -> None:
    async with stage(feed_readers=1) as on, reading(on.app.url) as first:
        await first.greeted()
        async with reading(on.app.url) as second:
            assert (second.response.status, await second.rest()) == (200, [])
        assert second.retry
        assert on.metric("feed_ended_total", end="full") == 1


# --- Two replicas.


@dataclass(slots=True)
class Pair:
    """Two replicas before one stand-in, with one Redis."""

    origin: Simulator
    clock: Clock
    apps: tuple[Application, Application]
    clients: tuple[Client, Client]
    told: list[tuple[str, str]] = field(default_factory=list)
    """Symbol and status of every change there was."""

    async def change(self, names: list[str], *, by: int) -> None:
        """Change the status of these symbols; one of the replicas asks for the document."""
        for name in names:
            old = self.origin.document.symbols[name].status
            status = STATUSES[(STATUSES.index(old) + 1) % len(STATUSES)]
            self.origin.set_status(name, status)
        order = [name for name in self.origin.document.symbols if name in names]
        self.told += [(name, self.origin.document.symbols[name].status) for name in order]
        self.clock.push(130.0)
        assert (await self.clients[by].ask(f"{INFO}?symbol={quote(names[0])}")).status == 200
        for app in self.apps:
            app.hub.poll_soon()


@asynccontextmanager
async def pair(redis_url: str, symbols: int = 120) -> AsyncIterator[Pair]:
    clock = Clock()
    async with (
        Simulator(clock=clock, document=generate_document(symbols)) as origin,
        gateway(origin, clock, redis_url=redis_url) as one,
        gateway(origin, clock, redis_url=redis_url) as other,
        client(one.url) as asking_one,
        client(other.url) as asking_other,
    ):
        await asking_one.ask()
        yield Pair(origin, clock, (one, other), (asking_one, asking_other))


def seen(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.data["symbol"], event.data["new"]) for event in events]


@pytest.mark.no_cover
@pytest.mark.parametrize("run", range(sized(quick=1, usual=2, long=10)))
async def test_who_leaves_amid_300_changes_misses_nothing_and_gets_nothing_twice(redis_url: str, run: int) -> None:
    chance = random.Random(run)
    async with pair(redis_url) as on:
        listed = [name for name, symbol in on.origin.document.symbols.items() if symbol.is_listed]
        got: list[Event] = []
        last_id, at = None, 0
        done = asyncio.Event()

        async def read_on_and_off() -> None:
            nonlocal last_id, at
            while len(got) < CHANGES:
                stay = chance.randint(1, 70)
                async with reading(on.apps[at].url, last_id=last_id) as stream:
                    await stream.greeted()
                    done.set()
                    got.extend(await stream.events(min(stay, CHANGES - len(got))))
                    last_id = stream.last_id
                at = 1 - at

        reader = asyncio.create_task(read_on_and_off())
        await done.wait()
        for number in range(DOCUMENTS):
            await on.change(chance.sample(listed, CHANGES // DOCUMENTS), by=number % 2)
        await reader
        assert seen(got) == on.told
        async with reading(on.apps[at].url, last_id=last_id) as stream:
            await stream.greeted()
            on.apps[at].hub.close()
            assert await stream.rest() == []


@pytest.mark.no_cover
@pytest.mark.parametrize("loses_document", [False, True])
async def test_who_comes_back_after_redis_lost_the_stream_gets_one_reset(
    redis_url: str, *, loses_document: bool
) -> None:
    async with pair(redis_url) as on:
        listed = [name for name, symbol in on.origin.document.symbols.items() if symbol.is_listed]
        async with reading(on.apps[0].url) as stream, reading(on.apps[1].url) as staying:
            await stream.greeted()
            await staying.greeted()
            await on.change(listed[:50], by=0)
            await stream.events(20)
            async with Redis.from_url(redis_url) as redis:
                await (redis.flushall() if loses_document else redis.delete(STREAM))
                await redis.script_flush()
        await on.change(listed[50:80], by=1)
        async with reading(on.apps[1].url, last_id=stream.last_id) as again:
            event = await again.event()
            assert (event.kind, event.data.get("apis")) == ("reset", ["spot"])
            on.told.clear()
            await on.change(listed[80:90], by=0)
            assert seen(await again.events(10)) == on.told
        on.apps[1].hub.close()
