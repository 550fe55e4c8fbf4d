"""Many clients that poll market data without a pause, over three replicas: how much of each budget they get.

Owns: the clients, and the watch over the origin's windows. Run by hand for two minutes of real time:
`python -m tests.chaos.polling --minutes 2`. Must not know: what a test expects.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from proxy.app import Application, run_gateway
from proxy.quota.clock import OriginClock
from proxy.settings import LogFormat, LogLevel, Settings
from proxy.telemetry import logs
from tests.gateway.harness import hosts
from tests.gateway.harness import settings as settings_of
from tests.redis_client.valkey import Valkey
from tests.simulator import Simulator
from tests.sizes import sized

CLIENTS = sized(quick=32, usual=32, long=64)
REPLICAS = 3
MINUTE_SECONDS = 60
TARGETS = (
    "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=100",
    "/api/v3/depth?symbol=BTCUSDT&limit=500",
    "/api/v3/ticker/24hr?symbol=BTCUSDT",
    "/api/v3/ticker/price",
    "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=100",
    "/fapi/v1/depth?symbol=BTCUSDT&limit=50",
    "/dapi/v1/klines?symbol=BTCUSD_PERP&interval=1m&limit=500",
    "/fapi/v1/ticker/24hr?symbol=BTCUSDT",
    "/eapi/v1/mark",
    "/eapi/v1/ticker",
)


DOCUMENTS = ("/api/v3/exchangeInfo", "/fapi/v1/exchangeInfo", "/dapi/v1/exchangeInfo", "/eapi/v1/exchangeInfo")


@dataclass(slots=True)
class Watch:
    """The most that the origin counted in each minute of each pool."""

    origin: Simulator
    now: Callable[[], float]
    used: dict[tuple[str, int], int] = field(default_factory=dict)

    def look(self) -> None:
        """Note what is used at this moment."""
        minute = int(self.now()) // MINUTE_SECONDS
        for pool, used in self.origin.pools.used().items():
            self.used[pool, minute] = max(used, self.used.get((pool, minute), 0))

    async def keep_looking(self) -> None:
        """Look all the time. Runs until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def replicas(
    origin: Simulator, redis_url: str, clock: Callable[[], float] | None, **changed: Any
) -> AsyncIterator[list[Application]]:
    """The gateways on one Redis. `clock`: theirs and the origin's; None: real time. `changed`: their settings."""
    async with AsyncExitStack() as stack:
        chosen: Settings = settings_of(origin, redis_url=redis_url, **hosts(origin), **changed)
        apps = []
        for _ in range(REPLICAS):
            own = OriginClock(clock) if clock else OriginClock(time.time, monotonic=time.monotonic)
            apps.append(await stack.enter_async_context(run_gateway(chosen, clock=own)))
        yield apps


async def poll(
    apps: Sequence[Application], *, named: bool, goes_on: Callable[[int, int], bool], pause_seconds: float = 0.0
) -> Counter[int]:
    """Ask for one target after another, each client from another one on. Returns how often each status came.

    `goes_on`: whether a client asks again; gets its number and the status of its last answer.
    """
    statuses: Counter[int] = Counter()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def client(number: int) -> None:
            headers = {"X-Sidecar-Client": f"bot-{number}"} if named else {}
            status, turn = 200, number
            while goes_on(number, status):
                url = URL(apps[turn % len(apps)].url + TARGETS[turn % len(TARGETS)], encoded=True)
                async with session.get(url, headers=headers) as answer:
                    await answer.read()
                    status = answer.status
                statuses[status] += 1
                turn += 1
                await asyncio.sleep(pause_seconds if status == 429 else 0)

        await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return statuses


async def learn_limits(apps: Sequence[Application]) -> None:
    """Load each API's exchangeInfo, as clients do when they start."""
    async with aiohttp.ClientSession() as session:
        for app in apps:
            for path in DOCUMENTS:
                async with session.get(app.url + path) as answer:
                    await answer.read()
                    assert answer.status == 200, path


async def run(minutes: float, *, named: bool) -> bool:
    """Poll in real time and print what came of it. Returns whether all is well."""
    async with Simulator() as origin:
        valkey = Valkey().start()
        try:
            async with replicas(origin, valkey.url, None) as apps:
                await learn_limits(apps)
                await asyncio.sleep(MINUTE_SECONDS - time.time() % MINUTE_SECONDS)
                ends = time.monotonic() + minutes * MINUTE_SECONDS
                watch = Watch(origin, time.time)
                looking = asyncio.create_task(watch.keep_looking())
                statuses = await poll(apps, named=named, goes_on=lambda *_: time.monotonic() < ends, pause_seconds=0.2)
                looking.cancel()
        finally:
            valkey.kill()
            shutil.rmtree(valkey.folder)
    budgets = {"spot": 5400, "futures": 2160, "options": 360}
    first = min(minute for _, minute in watch.used)
    whole = {key: used for key, used in watch.used.items() if key[1] < first + minutes and key[0] in budgets}
    shares = {f"{pool} minute {minute - first + 1}": used / budgets[pool] for (pool, minute), used in whole.items()}
    print(f"{'named' if named else 'unnamed'}: answers {dict(statuses)}, origin's 429: {origin.answers_429}")
    for name, share in sorted(shares.items()):
        print(f"  {name}: {share:.1%} of the budget")
    return origin.answers_429 == 0 and min(shares.values()) >= 0.85


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=2)
    minutes = parser.parse_args().minutes
    logs.configure(LogLevel.ERROR, LogFormat.CONSOLE)
    good = [asyncio.run(run(minutes, named=named)) for named in (True, False)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
