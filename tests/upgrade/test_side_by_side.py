"""A replica of an earlier version and one of this, on one Redis, as in every rolling upgrade.

Both are processes of their own, in either order of start, and spend what they can for a while. The earlier version runs
with the packages of this one; its own locked versions differ in nothing that it uses.
"""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

from proxy.core.quota.push_trust import TRUST_SECONDS
from proxy.quota.scripts import domain_key
from tests.chaos.fleet import Replica, replica
from tests.redis_client.valkey import Valkey
from tests.simulator import Fault, Simulator
from tests.simulator.endpoints import Endpoints
from tests.sizes import sized

ROOT = Path(__file__).resolve().parent.parent.parent
EARLIER = "495600c"
"""The commit of the earlier version."""
SPEND_SECONDS = sized(quick=4, usual=4, long=120)
INFO, TIME = "/api/v3/exchangeInfo", "/api/v3/time"
DOMAIN = domain_key("binance-sidecar", "spot", "default")
FOREIGN = 100
"""What another program on the same IP spends."""
LIMIT, BUDGET = 1200, 1080
WORKERS = 8
UNDER_WAY = 20
"""A header that holds what is under way beside it makes the count so much too high."""
NOT_SENT = 80
"""A replica that stands still for a third of a second, on a busy machine, sends nothing out of its leases: it charges
what it had begun once more. Four requests may do so."""
BLOCK_SECONDS = 2
PAUSE_SECONDS = 3
"""Nothing is sent so near the edge of a window: there a request is charged in two."""


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the earlier version."""
    git = ["git", "-C", str(ROOT)]
    try:
        known = subprocess.run([*git, "cat-file", "-e", f"{EARLIER}^{{commit}}"], check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if known.returncode:
        pytest.skip(f"this clone does not have the commit {EARLIER}")
    packed = subprocess.run([*git, "archive", EARLIER, "proxy"], check=True, capture_output=True).stdout
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    where = [sys.executable, "-c", "import proxy; print(proxy.__file__)"]
    found = subprocess.run(where, cwd=folder, check=True, capture_output=True, text=True).stdout
    assert Path(found.strip()).parent == folder / "proxy"
    return folder


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    server = Valkey().start()
    yield server
    server.remove()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two replicas in the order of their start, and what they share."""

    origin: Simulator
    valkey: Valkey
    session: aiohttp.ClientSession
    first: Replica
    second: Replica

    async def ask(self, one: Replica, target: str, client: str = "") -> aiohttp.ClientResponse:
        """One request. The answer is read to its end."""
        headers = {"X-Sidecar-Client": client} if client else {}
        async with self.session.get(one.url + target, headers=headers) as answer:
            await answer.read()
            return answer

    def charged(self) -> Counter[int]:
        """What the origin has charged for our requests, by the start of the minute."""
        charged = Counter[int]()
        for seen in self.origin.requests:
            charged[int(seen.at // 60) * 60] += seen.weight
        return charged

    async def used(self) -> dict[int, dict[str, int]]:
        """The windows of a minute in Redis by their start: `used`, `pending` and `leased`."""
        windows: dict[int, dict[str, int]] = {}
        async with Redis.from_url(self.valkey.url) as client:
            async for key in client.scan_iter(f"{DOMAIN}:REQUEST_WEIGHT:1m:*"):
                stored = await client.hgetall(key)
                start = int(key.rpartition(b":")[2])
                windows[start] = {name: int(stored.get(name.encode(), 0)) for name in ("used", "pending", "leased")}
        return windows


class Clock:
    """Real time, moved so that a minute begins soon after."""

    def __init__(self) -> None:
        self._offset = (PAUSE_SECONDS - time.time()) % 60

    def __call__(self) -> float:
        return time.time() + self._offset

    def is_near_edge(self) -> bool:
        return not PAUSE_SECONDS <= self() % 60 <= 60 - PAUSE_SECONDS


@asynccontextmanager
async def pair(clock: Clock, valkey: Valkey, folders: tuple[Path | None, Path | None]) -> AsyncIterator[Pair]:
    """Both replicas; the second starts when the first has filled exchangeInfo, and has it from Redis."""
    async with (
        Simulator(clock=clock, weight_limit=LIMIT, ban_after=10**6) as origin,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        replica(session, origin.url, valkey.url, folder=folders[0]) as first,
    ):
        async with session.get(first.url + INFO) as answer:
            body = await answer.read()
        async with replica(session, origin.url, valkey.url, folder=folders[1]) as second:
            async with session.get(second.url + INFO) as answer:
                assert (await answer.read(), answer.status) == (body, 200)
                assert "hit" in answer.headers["Cache-Status"]
            assert origin.count(INFO) == 1
            yield Pair(origin, valkey, session, first, second)


async def obey(on: Pair, meets: Replica, other: Replica) -> None:
    """A 429 that one replica meets stops the other, at once or as soon as a push must have come."""
    on.origin.set_fault(Fault.TOO_MANY_429, times=1, retry_after=BLOCK_SECONDS)
    assert (await on.ask(meets, TIME)).status == 429
    await asyncio.sleep(TRUST_SECONDS)
    asked = on.origin.count()
    refused = await on.ask(other, TIME)
    assert (refused.status, refused.headers["Cache-Status"]) == (429, "binance-sidecar; detail=back-off")
    assert on.origin.count() == asked
    async with asyncio.timeout(BLOCK_SECONDS + 10):
        for one in (other, meets):  # each by its own clock
            while (await on.ask(one, TIME)).status != 200:  # noqa: ASYNC110 - seen from outside there is no event
                await asyncio.sleep(0.1)


async def learn_what_another_spent(on: Pair) -> None:
    """The header of an answer to one replica raises what both count. From then on no answer has that header.

    The header of one answer may hold what is under way beside it, which the ledger then counts twice, to be safe.
    """
    on.origin.spend(FOREIGN)
    assert (await on.ask(on.second, TIME)).status == 200
    on.origin.endpoints = Endpoints(replace(line, tells_weight=False) for line in on.origin.endpoints)


async def spend(on: Pair, clock: Clock) -> Counter[tuple[str, int]]:
    """Ask both for what only the origin can answer, until the time is over. Returns replica and status, counted."""
    ends, answers = time.monotonic() + SPEND_SECONDS, Counter[tuple[str, int]]()

    async def work(name: str) -> None:
        number = 0
        while time.monotonic() < ends:
            if clock.is_near_edge():
                await asyncio.sleep(0.1)
                continue
            number += 1
            which, one = (("first", on.first), ("second", on.second))[number % 2]
            answer = await on.ask(one, f"{INFO}?symbol=NO{name}{number}", name)
            answers[which, answer.status] += 1
            await asyncio.sleep(0.05)

    await asyncio.gather(*(work(f"BOT{number}") for number in range(WORKERS)))
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("starts_first", ["earlier", "this"])
async def test_versions_share_budget_block_and_entries(starts_first: str, earlier: Path, valkey: Valkey) -> None:
    clock = Clock()
    folders = (earlier, None) if starts_first == "earlier" else (None, earlier)
    async with pair(clock, valkey, folders) as on:
        await obey(on, on.first, on.second)
        await obey(on, on.second, on.first)
        # Before a replica knows the origin's time, it charges the minutes around its own as well.
        at_start, charged = await on.used(), on.charged()
        # What is leased then is used as far as everybody knows, and may be returned later.
        most = Counter({start: window["used"] - charged[start] for start, window in at_start.items()})
        least = Counter({start: most[start] - window["leased"] for start, window in at_start.items()})
        minute = int(clock() // 60) * 60
        await learn_what_another_spent(on)
        most[minute] += FOREIGN
        # The earlier version takes a part of it for what is leased: the next header, if there were one, would show it.
        least[minute] += FOREIGN - (await on.used())[minute]["leased"]
        refused_before = on.origin.answers_429
        answers = await spend(on, clock)

        assert on.origin.answers_429 == refused_before
        assert {(which, status) for which in ("first", "second") for status in (400, 429)} == set(answers), answers
        windows, charged = await on.used(), on.charged()
        assert sum(window["pending"] for window in windows.values()) == 0
        assert len(charged) >= SPEND_SECONDS // 60
        for start, weight in charged.items():
            assert windows[start]["leased"] == 0
            assert (
                weight + max(0, least[start]) <= windows[start]["used"] <= weight + most[start] + UNDER_WAY + NOT_SENT
            )
            assert BUDGET - 20 < windows[start]["used"] <= BUDGET
