"""The rights of a Redis user in deploy/SETTINGS.md are enough, and none of them is too much."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.cache.probe import EntryProbe
from proxy.cache.shared import RedisStore
from proxy.core.document.changes import Change, ChangeKind
from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.log import Bounds
from proxy.core.feed.record import stored
from proxy.core.quota.block import BlockReason
from proxy.core.quota.replicas import ReplicaCount
from proxy.core.quota.view import LeaseState
from proxy.feed.stream import ChangeStreams, Stored
from proxy.quota.heartbeat import Heartbeat
from proxy.quota.scripts import domain_key
from proxy.quota.shared import RedisLedger
from proxy.redis_client.connection import RedisConnection, RedisOperation
from proxy.redis_client.refusals import Part
from tests.cache.entries import entry
from tests.quota.doubles import RATIOS, Ageing, ManualClock, SwitchedConnection
from tests.redis_client.fixtures import Opener, StartValkey, ping
from tests.redis_client.places import serve
from tests.redis_client.valkey import Valkey

PAGE = Path(__file__).parents[2] / "deploy" / "SETTINGS.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("### The rights of a Redis user")[2].partition("\n## ")[0]
KEY = "spot:exchangeInfo:"
DOMAIN = domain_key("test", "spot", "default")


def documented() -> list[str]:
    """The words of the command in the page, for the prefix of the tests."""
    (command,) = re.findall(r"```\n(ACL SETUSER .*?)```", SECTION, re.DOTALL)
    return [word.replace("binance-sidecar:", "test:") for word in str(command).split()]


def rights(words: Sequence[str]) -> set[str]:
    return {word[1:] for word in words if word.startswith("+")}


def also(*what: str) -> list[str]:
    """Rights that the text below the command adds."""
    return [word for word in re.findall(r"`(\+[a-z|]+)`", SECTION) if word[1:] in what]


def used(server: Valkey) -> set[str]:
    """The commands that were called, also by scripts; AUTH needs no right."""
    page = str(server.admin("INFO", "commandstats"))
    return set(re.findall(r"cmdstat_([a-z|]+)", page)) - {"auth", "info", "config|resetstat", "acl|log"}


async def all_of_it(connection: RedisConnection) -> None:
    """Whatever the gateways ask of Redis."""
    clock, count = ManualClock(), ReplicaCount()
    assert await Heartbeat(connection, clock, count, domain_key=DOMAIN, write_entry=EntryProbe(connection).write).ping()
    store = RedisStore(connection)
    lock = await store.acquire(KEY)
    assert lock is not None
    await store.lock_status(KEY)
    assert await lock.renew()
    await store.put(KEY, entry())
    assert await store.get(KEY) == entry()
    assert await store.peek(KEY) is not None
    await lock.release(filled=False)
    await with_changes(connection)
    switched = SwitchedConnection(connection)
    ledger = RedisLedger(switched, domain_key=DOMAIN, clock=clock, ratios=RATIOS)
    switched.away = True
    await ledger.reserve(1)
    switched.away = False
    reservation = await ledger.reserve(20, client="bot")
    await ledger.release(await ledger.reserve(1))
    await ledger.reconcile(reservation, {"x-mbx-used-weight-1m": "30"}, ok=True)
    age = Ageing(connection.client, f"{DOMAIN}:block", clock)
    await ledger.block(BlockReason.BAN, clock.now + 1.0)
    clock.now += 10.0
    await age()
    await ledger.reconcile(await ledger.reserve(1), {}, ok=True)
    assert not ledger.view().local
    assert switched.operations.count(RedisOperation.RECONCILE) >= 3, "also what was counted alone"
    await with_leases(connection)
    await ping(connection)
    assert {part: connection.refusal(part) for part in Part} == dict.fromkeys(Part)


async def with_leases(connection: RedisConnection) -> None:
    """A subscription, and a push that arrives."""
    ledger = RedisLedger(connection, domain_key=DOMAIN, clock=ManualClock(), ratios=RATIOS, leases=True)
    running = asyncio.create_task(ledger.run_leases())
    async with asyncio.timeout(10):
        while ledger.view().leases is not LeaseState.ON:
            await ledger.release(await ledger.reserve(1))
            await asyncio.sleep(0.05)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def with_changes(connection: RedisConnection) -> None:
    """What the feed asks: a stream begins, is read, gets more than it keeps, and is read again."""
    streams = ChangeStreams(connection, {Api.SPOT: "spot:other:"}, Bounds(changes=1))
    fields = {"etag": b"v1"}
    more = {"expiry_ms": 60_000, "now_ms": 1_785_050_100_000}
    await streams.news({}, now_ms=more["now_ms"])
    assert await streams.store(Api.SPOT, fields, (), base="", version="v1", **more) == Stored(0)
    told = stored([Change(ChangeKind.STATUS, ("A",), "HALT", "BREAK")] * 3, api=Api.SPOT, time_ms=more["now_ms"])
    assert await streams.store(Api.SPOT, {"etag": b"v2"}, told, base="v1", version="v2", **more) == Stored(3)
    (news,) = await streams.news({}, now_ms=more["now_ms"])
    assert news.mark.number == 3


async def test_a_user_with_these_rights_can_do_everything_and_needs_them_all(
    start_valkey: StartValkey, opened: Opener
) -> None:
    server = await asyncio.to_thread(start_valkey)
    server.admin(*documented())
    server.admin("CONFIG", "RESETSTAT")
    await all_of_it(opened(f"{server.url}?username=sidecar&password=password"))
    assert server.admin("ACL", "LOG") == []
    assert used(server) == rights(documented())


async def test_a_refused_name_costs_only_the_name(start_valkey: StartValkey, opened: Opener) -> None:
    server = await asyncio.to_thread(start_valkey)
    server.admin(*documented(), "-client|setname")
    await all_of_it(opened(f"{server.url}?username=sidecar&password=password"))
    assert "name=binance-sidecar" not in str(server.admin("CLIENT", "LIST"))


@pytest.mark.parametrize(("query", "more"), [("&protocol=3", "hello"), ("&db=1", "select")])
async def test_what_an_option_needs_more_is_said(
    start_valkey: StartValkey, opened: Opener, query: str, more: str
) -> None:
    server = await asyncio.to_thread(start_valkey)
    server.admin(*documented(), *also(more))
    server.admin("CONFIG", "RESETSTAT")
    await all_of_it(opened(f"{server.url}?username=sidecar&password=password{query}"))
    assert used(server) == rights(documented()) | {more}


async def test_what_a_cluster_needs_more_is_said(start_valkey: StartValkey, opened: Opener, tmp_path: Path) -> None:
    place = await serve("redis+cluster", start_valkey, tmp_path)
    place.server.admin(*documented(), *also("cluster|slots", "command", "ssubscribe", "spublish"))
    place.server.admin("CONFIG", "RESETSTAT")
    await all_of_it(opened(f"redis+cluster://sidecar:password@127.0.0.1:{place.port}"))
    assert place.server.admin("ACL", "LOG") == []
    assert used(place.server) - rights(documented()) == {*("cluster|slots", "command", "ssubscribe", "spublish")}


async def test_what_a_sentinel_needs_is_said(start_valkey: StartValkey, opened: Opener, tmp_path: Path) -> None:
    place = await serve("redis+sentinel", start_valkey, tmp_path)
    assert place.watch is not None
    place.server.admin(*documented())
    place.watch.admin("ACL", "SETUSER", "sidecar", "on", ">secret", "-@all", *also("sentinel|masters"))
    query = "sentinel_username=sidecar&sentinel_password=secret"
    url = f"redis+sentinel://sidecar:password@127.0.0.1:{place.entrance}/main?{query}"
    await all_of_it(opened(url))
    assert place.server.admin("ACL", "LOG") == place.watch.admin("ACL", "LOG") == []
