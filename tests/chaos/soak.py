"""`make soak`: one gateway process for a long time, with a Redis, under load, while its networks fail at random.

Owns: the scene, the faults, the samples, the report and its verdict. Must not know: how stops are tried
(`tests.chaos.stops`), what a damaged network does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
import uvloop
from yarl import URL

from proxy.redis_client.url import DEFAULT_CONNECTIONS
from tests.chaos.fleet import Replica, replica
from tests.chaos.relay import Damage, Kind, Relay, relay
from tests.chaos.soak_load import Load
from tests.chaos.stops import Stops, stop_again_and_again
from tests.chaos.trading import MANY_ORDERS
from tests.chaos.vitals import MODULE, Vitals, vitals_of
from tests.environment import forget_settings
from tests.redis_client.valkey import Valkey
from tests.simulator import ApiName, Simulator

MOST_GROWTH = 0.03
CALM_SECONDS = 65.0
"""After the load: connections to the origin that nobody uses are closed within a minute."""
SPARE = 3
"""Descriptors and tasks that may be open at one moment and not at another."""
MOST_TO_REDIS = DEFAULT_CONNECTIONS
"""Connections that the pool may keep for as long as the gateway lives."""
BUDGETS = {"spot": 6000 * 0.98, "futures": 2400 * 0.98, "options": 400 * 0.98}


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how much of each."""

    minutes: float = 20.0
    hits_a_second: float = 500.0
    stops: int = 200
    seed: int = 1
    calm_seconds: float = CALM_SECONDS

    @property
    def settled_seconds(self) -> float:
        """From when on memory is compared: the fifth minute, or a quarter of a shorter run."""
        return min(300.0, 15.0 * self.minutes)


@dataclass(frozen=True, slots=True)
class Rest:
    """The gateway without load."""

    vitals: Vitals
    tasks: int
    connections: Mapping[str, int]
    """Through each network."""

    @property
    def descriptors(self) -> int:
        """Without those of the pool to Redis."""
        return self.vitals.descriptors - self.connections["Redis"]


@dataclass(slots=True)
class Soak:
    """What came of it."""

    plan: Plan
    load: Load
    stops: Stops
    samples: list[tuple[float, Vitals]] = field(default_factory=list)
    """Seconds since the load began, and what the process took."""
    faults: Counter[str] = field(default_factory=Counter)
    used: dict[str, int] = field(default_factory=dict)
    """The most weight of a pool in one minute."""
    refused: int = 0
    """The origin's 429."""
    before: Rest | None = None
    after: Rest | None = None
    complaints: list[str] = field(default_factory=list)
    """Lines of the log that tell of a fault of the gateway."""

    @property
    def memory_bytes(self) -> tuple[float, float]:
        """The median of the minute from which on memory is compared, and of the last one."""
        span = min(60.0, self.plan.settled_seconds)
        start, end = self.plan.settled_seconds, self.samples[-1][0] - span
        first = [now.memory_bytes for at, now in self.samples if start <= at < start + span]
        last = [now.memory_bytes for at, now in self.samples if at >= end]
        return statistics.median(first), statistics.median(last)

    def broken(self) -> list[str]:
        """The promises that were broken."""
        first, last = self.memory_bytes
        assert self.before is not None
        assert self.after is not None
        over = [f"{pool} used {used}" for pool, used in self.used.items() if used > BUDGETS[pool]]
        checks = {
            f"memory grew by {last / first - 1:.1%}": last <= first * (1 + MOST_GROWTH),
            f"descriptors: {self.before.descriptors} before, {self.after.descriptors} after": (
                self.after.descriptors <= self.before.descriptors + SPARE
            ),
            f"{self.after.connections['Redis']} connections to Redis": self.after.connections["Redis"] <= MOST_TO_REDIS,
            f"tasks: {self.before.tasks} before, {self.after.tasks} after": (
                self.after.tasks <= self.before.tasks + SPARE
            ),
            f"hits failed: {self.load.failed[:3]}": not self.load.failed,
            "nothing was hit": self.load.hits > 0,
            f"over budget: {over}": not over,
            f"the origin refused {self.refused} requests": not self.refused,
            f"requests lost in stops: {self.stops.lost[:3]}": not self.stops.lost,
            f"stops that failed: {self.stops.failed[:3]}": not self.stops.failed,
            f"in the log: {self.complaints[:3]}": not self.complaints,
        }
        return [words for words, kept in checks.items() if not kept]

    def report(self) -> str:
        """For a person."""
        first, last = self.memory_bytes
        assert self.before is not None
        assert self.after is not None
        load, stops = self.load, self.stops
        seconds = self.samples[-1][0]
        return "\n".join(
            (
                f"{seconds / 60:.1f} minutes, seed {self.plan.seed}",
                f"faults:       {', '.join(f'{number} {name}' for name, number in sorted(self.faults.items()))}",
                f"hits:         {load.hits:,} ({load.hits / seconds:.0f} a second), {len(load.failed)} failed; "
                f"slowest {load.slowest_seconds * 1000:.0f} ms",
                f"forwarded:    {_counts(load.forwarded)}",
                f"signed:       {_counts(load.signed)}",
                f"used weight:  {', '.join(f'{pool} {used}' for pool, used in sorted(self.used.items()))} at most "
                f"in a minute; the origin refused {self.refused}",
                f"memory:       {first / 2**20:.1f} MiB when settled, {last / 2**20:.1f} MiB in the last minute "
                f"({last / first - 1:+.1%}); most {max(now.memory_bytes for _, now in self.samples) / 2**20:.1f} MiB",
                f"descriptors:  {self.before.vitals.descriptors} before, {self.after.vitals.descriptors} after",
                f"connections:  {_told(self.before.connections)} before; {_told(self.after.connections)} after",
                f"tasks:        {self.before.tasks} before, {self.after.tasks} after",
                f"stops:        {stops.count} by SIGTERM under load, {stops.answered:,} requests answered, "
                f"{len(stops.lost)} lost, {len(stops.failed)} failed",
            )
        )


def _counts(counter: Counter[int]) -> str:
    return ", ".join(f"{status}: {number:,}" for status, number in sorted(counter.items()))


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))


@dataclass(slots=True)
class Scene:
    """All that takes part."""

    origin: Simulator
    gateway: Replica
    networks: dict[str, Relay]
    chance: random.Random


@asynccontextmanager
async def scene(plan: Plan) -> AsyncIterator[Scene]:
    """Origin and Redis behind networks, and the gateway."""
    server = Valkey()
    try:
        await asyncio.to_thread(server.start)
        async with AsyncExitStack() as stack:
            origin = await stack.enter_async_context(Simulator(order_sizes=MANY_ORDERS))
            session = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(30))
            )
            networks = {"Redis": await stack.enter_async_context(relay(str(server.folder / "s")))}
            for name in (ApiName.SPOT, ApiName.USD_FUTURES):
                url = URL(origin.url_of(name))
                networks[name.value] = await stack.enter_async_context(relay((url.host or "", url.port or 0)))
            gateway = await stack.enter_async_context(
                replica(
                    session,
                    f"http://127.0.0.1:{networks[ApiName.SPOT.value].port}",
                    f"redis://127.0.0.1:{networks['Redis'].port}",
                    module=MODULE,
                    usd_futures_upstreams=f"http://127.0.0.1:{networks[ApiName.USD_FUTURES.value].port}",
                    forward="all",
                    keep_warm="always",
                    fresh_seconds="30",
                    stale_if_error_seconds="86400",
                    redis_seconds="0.25",
                    upstream_seconds="5",
                    client_ratio="1",
                )
            )
            yield Scene(origin, gateway, networks, random.Random(plan.seed))
    finally:
        server.remove()


async def fail_at_random(on: Scene, faults: Counter[str]) -> None:
    """One network after the other, and calm in between. Runs until it is cancelled."""
    while True:
        await asyncio.sleep(on.chance.uniform(1.0, 6.0))
        name = on.chance.choice(sorted(on.networks))
        network, seconds = on.networks[name], on.chance.uniform(0.5, 4.0)
        kind = on.chance.choice([*Kind, None])
        faults[f"{name} {kind.value if kind else 'refused'}"] += 1
        try:
            if kind is None:
                network.refuse()
            else:
                network.damage = Damage(kind, on.chance.choice((0.002, 0.05, 0.5, 2.0)), on.chance.randrange(1 << 30))
            await asyncio.sleep(seconds)
        finally:
            network.damage = None
            network.accept()


async def watch(on: Scene, soak: Soak) -> None:
    """A sample every second. Runs until it is cancelled."""
    began = time.monotonic()
    while True:
        await asyncio.sleep(1.0)
        soak.samples.append((time.monotonic() - began, vitals_of(on.gateway.process.pid)))
        for pool, used in on.origin.pools.used().items():
            if pool in BUDGETS:
                soak.used[pool] = max(used, soak.used.get(pool, 0))
        told = {line[:500] for line in on.gateway.log if _complains(line)}
        soak.complaints += sorted(told.difference(soak.complaints))


def _complains(line: str) -> bool:
    """Whether a line tells of a fault of ours, or is no line of the log."""
    try:
        told = json.loads(line)
    except ValueError:
        return True
    return told.get("level") in ("error", "critical") or told.get("event") == "unexpected_error"


async def at_rest(on: Scene) -> Rest:
    """What the process takes now, its tasks, its connections."""
    on.gateway.process.send_signal(signal.SIGWINCH)
    async with asyncio.timeout(10):
        while not (told := [line for line in on.gateway.log if line.startswith('{"event": "tasks"')]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    for line in told:
        on.gateway.log.remove(line)
    connections = {name: network.connections for name, network in on.networks.items()}
    return Rest(vitals_of(on.gateway.process.pid), json.loads(told[-1])["tasks"], connections)


async def soak(plan: Plan) -> Soak:
    """Let it all run, and tell what came of it."""
    async with scene(plan) as on:
        load = Load(on.gateway.url, random.Random(plan.seed))
        came = Soak(plan, load, Stops())
        await load.warm()
        await asyncio.sleep(min(plan.calm_seconds, 5.0))
        came.before = await at_rest(on)
        seconds = 60.0 * plan.minutes
        tasks = [
            asyncio.create_task(fail_at_random(on, came.faults)),
            asyncio.create_task(watch(on, came)),
            asyncio.create_task(load.run(plan.hits_a_second)),
            asyncio.create_task(stop_again_and_again(came.stops, plan.stops, seconds, plan.seed)),
        ]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()  # what ended early has failed, but for the stops
        await load.close()
        await asyncio.sleep(plan.calm_seconds)
        came.after = await at_rest(on)
        came.refused = on.origin.answers_429
        return came


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when a promise was broken."""
    usual = Plan()
    parser = argparse.ArgumentParser("python -m tests.chaos.soak", description="A long time under load and faults.")
    parser.add_argument("--minutes", type=float, default=usual.minutes)
    parser.add_argument("--hits", type=float, default=usual.hits_a_second, help="requests a second")
    parser.add_argument("--stops", type=int, default=None, help="gateways that are stopped; usual: 10 a minute")
    parser.add_argument("--seed", type=int, default=usual.seed)
    flags = parser.parse_args(arguments)
    stops = round(10 * flags.minutes) if flags.stops is None else flags.stops
    forget_settings(os.environ)
    plan = Plan(flags.minutes, flags.hits, stops, flags.seed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, suppress(KeyboardInterrupt):
        came = runner.run(soak(plan))
        print(came.report())
        for fault in (broken := came.broken()):
            print(f"    BROKEN: {fault}")
        return 1 if broken else 0
    return 130


if __name__ == "__main__":
    sys.exit(main())
