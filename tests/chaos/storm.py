"""`python -m tests.chaos.storm`: gateways with full queues, bans, wrong dates and a failing Redis, all at random.

Owns: the load, the summary, the exit status. Must not know: what goes wrong, how the origin counts.

Two things must hold whatever happens: no process sends a request while a refusal is known to it, and no rate-limit
window passes its limit. Each process logs both, and by its own clock: on a busy machine the origin may see a request
seconds after it was sent. The origin has seen no more than the processes logged. The same seed gives the same order of
events.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import uvloop

from tests.chaos.fleet import Replica, replica
from tests.chaos.relay import relay
from tests.chaos.weather import StormOrigin, Weather
from tests.gateway.harness import INFO
from tests.redis_client.valkey import Valkey

TARGETS = (*["/api/v3/time"] * 6, "/api/v3/ping", f"{INFO}?symbol=BTCUSDT", f"{INFO}?permissions=NONE")
ANSWER_SECONDS = 0.3
"""How long the origin takes: so that requests wait for a connection when a refusal arrives."""
SHOWN = 5
ROUNDING_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """How a storm goes."""

    seconds: float = 60.0
    processes: int = 8
    burst: int = 400
    """Requests at once to one process: more than it has connections."""
    pause_seconds: float = 10.0
    """The mean time between two bursts."""
    weight_limit: int = 3000
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """One that a process logged: from then on it is known to the process. Seconds since the epoch."""

    door: str
    known_at: float
    ends_at: float


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    plan: Plan
    weather: Weather
    answers: Counter[int] = field(default_factory=Counter)
    """What the clients got, by status; 0: no answer."""
    refusals: list[Refusal] = field(default_factory=list)
    sent: dict[str, list[float]] = field(default_factory=dict)
    """When each process began to write a request, in seconds since the epoch."""

    def late(self) -> list[str]:
        """The requests of a process that knew of a refusal: there may be none."""
        return [
            f"a request {at - refusal.known_at:.3f} s after it logged a refusal, {refusal.ends_at - at:.3f} s early"
            for refusal in self.refusals
            for at in self.sent.get(refusal.door, [])
            if refusal.known_at < at < refusal.ends_at
        ]

    def faults(self) -> list[str]:
        """The promises that were broken, and what was not tried at all."""
        record, late = self.weather.origin.storm, self.late()
        found = [f"a process sent {one}" for one in late[:SHOWN]]
        if len(late) > SHOWN:
            found.append(f"and {len(late) - SHOWN} more")
        if any(number > len(self.sent.get(door, [])) for door, number in record.arrivals.items()):
            found.append("the origin saw requests that no process logged")
        if not self.refusals:
            found.append("no process logged a refusal")
        if record.most_used > self.plan.weight_limit:
            found.append(f"{record.most_used} weight in one minute of {self.plan.weight_limit}")
        if not record.statuses[418] + record.statuses[429]:
            found.append("the origin refused nothing: the storm was none")
        if not record.statuses[200]:
            found.append("the origin answered nothing")
        return found

    def summary(self) -> str:
        """Some lines for a person."""
        record = self.weather.origin.storm
        events = ", ".join(f"{number} {event.value}" for event, number in self.weather.events.most_common())
        return (
            f"{self.plan.processes} processes, {self.plan.seconds:.0f} s, seed {self.plan.seed}\n"
            f"events:        {events}\n"
            f"clients got:   {_counts(self.answers)}\n"
            f"origin saw:    {record.arrivals.total()} requests; answered {_counts(record.statuses)}\n"
            f"most used:     {record.most_used} of {self.plan.weight_limit} in one minute\n"
            f"refusals:      {len(self.refusals)} logged by the processes; {len(self.late())} requests sent after that"
        )


def _counts(counter: Counter[int]) -> str:
    return ", ".join(f"{status}: {number}" for status, number in sorted(counter.items()))


async def storm(plan: Plan) -> Outcome:
    """Let it rage, and tell what came of it."""
    async with _scene(plan) as (outcome, replicas, session):
        raging = asyncio.create_task(outcome.weather.rage())
        clients = [asyncio.create_task(_ask_on(plan, outcome, one, session)) for one in replicas.values()]
        tasks = [raging, *clients]
        done, _ = await asyncio.wait(tasks, timeout=plan.seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()  # a storm that ended early has failed
        outcome.refusals = [refusal for door, one in replicas.items() for refusal in _refusals(door, one)]
        outcome.sent = {door: [at for at, _ in _logged(one, "sending")] for door, one in replicas.items()}
        return outcome


@asynccontextmanager
async def _scene(plan: Plan) -> AsyncIterator[tuple[Outcome, dict[str, Replica], aiohttp.ClientSession]]:
    """Origin, Redis behind a network, and the gateways: all know the origin's limits."""
    chance = random.Random(plan.seed)
    server = Valkey()
    try:
        await asyncio.to_thread(server.start)
        async with AsyncExitStack() as stack:
            origin = StormOrigin(weight_limit=plan.weight_limit, chance=chance)
            await stack.enter_async_context(origin)
            network = await stack.enter_async_context(relay(str(server.folder / "s")))
            session = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(30))
            )
            url = f"redis://127.0.0.1:{network.port}"
            replicas: dict[str, Replica] = {}
            for _ in range(plan.processes):
                door = origin.door()
                one = await stack.enter_async_context(
                    replica(session, door, url, redis_seconds="0.25", client_ratio="1", log_level="debug")
                )
                one.log = deque(one.log)  # all of it
                replicas[door] = one
                async with session.get(f"{one.url}{INFO}") as answer:
                    assert answer.status == 200, await answer.text()
            origin.answer_delay_seconds = ANSWER_SECONDS
            yield Outcome(plan, Weather(origin, server, network, chance)), replicas, session
    finally:
        server.remove()


def _refusals(door: str, one: Replica) -> list[Refusal]:
    """Those of the origin. The log rounds the seconds."""
    return [Refusal(door, at, at + line["seconds"] - ROUNDING_SECONDS) for at, line in _logged(one, "origin_blocks")]


def _logged(one: Replica, event: str) -> list[tuple[float, dict[str, Any]]]:
    """The lines of an event in the log of a process, each with its time in seconds since the epoch."""
    lines = [json.loads(line) for line in one.log if f'"{event}"' in line]
    return [(datetime.fromisoformat(line["timestamp"]).timestamp(), line) for line in lines if line["event"] == event]


async def _ask_on(plan: Plan, outcome: Outcome, one: Replica, session: aiohttp.ClientSession) -> None:
    """Burst after burst, without waiting for the answers."""
    chance = random.Random(f"{plan.seed} {one.url}")
    async with asyncio.TaskGroup() as bursts:
        while True:
            started = time.monotonic()
            for _ in range(plan.burst):
                bursts.create_task(_ask(outcome, f"{one.url}{chance.choice(TARGETS)}", session))
            pause_seconds = chance.uniform(0.5, 1.5) * plan.pause_seconds
            await asyncio.sleep(max(0.0, pause_seconds - (time.monotonic() - started)))


async def _ask(outcome: Outcome, url: str, session: aiohttp.ClientSession) -> None:
    try:
        async with session.get(url) as answer:
            await answer.read()
            outcome.answers[answer.status] += 1
    except (aiohttp.ClientError, TimeoutError):
        outcome.answers[0] += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when a promise was broken."""
    usual = Plan()
    parser = argparse.ArgumentParser("python -m tests.chaos.storm", description="Everything at once, at random.")
    parser.add_argument("--minutes", type=float, default=usual.seconds / 60)
    parser.add_argument("--processes", type=int, default=usual.processes)
    parser.add_argument("--burst", type=int, default=usual.burst, help="requests at once to one process")
    parser.add_argument("--pause", type=float, default=usual.pause_seconds, help="mean seconds between two bursts")
    parser.add_argument("--limit", type=int, default=usual.weight_limit, help="the origin's weight a minute")
    parser.add_argument("--seed", type=int, default=usual.seed)
    flags = parser.parse_args(arguments)
    plan = Plan(
        seconds=60 * flags.minutes,
        processes=flags.processes,
        burst=flags.burst,
        pause_seconds=flags.pause,
        weight_limit=flags.limit,
        seed=flags.seed,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the faster this program, the less it hides
        outcome = runner.run(storm(plan))
    print(outcome.summary())
    faults = outcome.faults()
    for fault in faults:
        print(f"    BROKEN: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
