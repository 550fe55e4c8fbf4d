"""`make demo`: twenty bots that ask Binance themselves, beside twenty that ask through the gateway.

Owns: the bots, the two stand-ins for Binance, and the table. Must not know: how gateway and stand-in work.

The clock runs six times faster, so that a minute of Binance's limits takes ten seconds. The bots do what most do: load
the symbols, poll prices, and try again at once when they are refused.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count

import uvloop

from proxy.app import run_gateway
from proxy.quota.clock import OriginClock
from proxy.settings import LogFormat, LogLevel
from proxy.telemetry import logs
from tests.environment import forget_settings
from tests.gateway.harness import INFO, Client, client, settings
from tests.simulator import Simulator, generate_document

BOTS = 20
SYMBOLS = 300
SPEED = 6.0
SECONDS = 24.0
LINE_SECONDS = 1.0
PAUSE_SECONDS = 2.0
"""Between two requests of a bot, by the clock of the demo."""
ASKED = (
    "/api/v3/ticker/24hr",
    "/api/v3/ticker/price",
    f"{INFO}?symbol=BTCUSDT",
    "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=50",
)
FRESH_SECONDS = 2.0
"""How long the gateway keeps market data: SIDECAR_MARKET_FRESH_SECONDS."""


@dataclass(slots=True)
class Clock:
    """Time that runs faster. Starts five seconds into a minute."""

    started: float = field(default_factory=time.monotonic)
    begin: float = field(default_factory=lambda: time.time() // 60 * 60 + 5)

    def __call__(self) -> float:
        return self.begin + (time.monotonic() - self.started) * SPEED


@dataclass(slots=True)
class Side:
    """Twenty bots and the stand-in that counts what they spend."""

    name: str
    origin: Simulator
    asking: Client
    statuses: Counter[int] = field(default_factory=Counter)

    async def bot(self, number: int) -> None:
        """Ask for ever. The bots are not in step."""
        await asyncio.sleep(PAUSE_SECONDS / SPEED * number / BOTS)
        for turn in count(number):
            answer = await self.asking.ask(INFO if turn == number else ASKED[turn % len(ASKED)])
            self.statuses[answer.status] += 1
            await asyncio.sleep(PAUSE_SECONDS / SPEED)

    @property
    def cells(self) -> str:
        """What the table shows: totals up to now."""
        answered, refused, banned = (self.statuses[status] for status in (200, 429, 418))
        return f"{answered:>8,} {refused:>6,} {banned:>7,} {self.origin.weight_spent:>8,}"


async def show(seconds: float, *, weight_limit: int = 6000, until_ban: bool = False) -> bool:
    """Run both sides at once. Whether the gateway's bots got all their answers, and its IP was never refused.

    `until_ban`: go on, on a slow machine too, until the other side is banned; at most ten times as long.
    """
    clock, document = Clock(), generate_document(SYMBOLS)
    async with AsyncExitStack() as stack:
        origins = [
            await stack.enter_async_context(Simulator(clock=clock, document=document, weight_limit=weight_limit))
            for _ in range(2)
        ]
        chosen = settings(origins[1], keep_warm="demand", market_fresh_seconds=FRESH_SECONDS, shutdown_seconds=1.0)
        app = await stack.enter_async_context(run_gateway(chosen, clock=OriginClock(clock)))
        urls = [origins[0].url, app.url]
        asking = [await stack.enter_async_context(client(url)) for url in urls]
        sides = [Side(*parts) for parts in zip(("alone", "with the gateway"), origins, asking, strict=True)]
        bots = [asyncio.create_task(side.bot(number)) for side in sides for number in range(BOTS)]
        try:
            await _watch(clock, sides, seconds, until_ban=until_ban)
        finally:
            for task in bots:
                task.cancel()
            await asyncio.gather(*bots, return_exceptions=True)
        return _sums(sides)


async def _watch(clock: Clock, sides: Sequence[Side], seconds: float, *, until_ban: bool) -> None:
    print(f"{BOTS} bots each, {SPEED:.0f} times faster than life. Totals:")
    head = f"{'answers':>8} {'429':>6} {'banned':>7} {'weight':>8}"
    print(f"{'':>8}" + "".join(f" | {side.name:^32}" for side in sides))
    print(f"{'minute':>8} | {head} | {head}")
    started = clock()
    while (elapsed := (clock() - started) / SPEED) < seconds or (
        until_ban and not sides[0].statuses[418] and elapsed < 10 * seconds
    ):
        await asyncio.sleep(LINE_SECONDS)
        print(f"{(clock() - started) / 60:>8.1f}" + "".join(f" | {side.cells}" for side in sides), flush=True)


def _sums(sides: Sequence[Side]) -> bool:
    print()
    for side in sides:
        asked = sum(side.statuses.values())
        good = side.statuses[200]
        print(
            f"{side.name + ':':<18}{good:,} of {asked:,} answered ({100 * good / max(1, asked):.0f} %), "
            f"{side.origin.weight_spent:,} weight spent, Binance answered 429 {side.origin.answers_429:,} times "
            f"and 418 {side.origin.answers_418:,} times"
        )
    behind = sides[-1]
    return set(behind.statuses) == {200} and behind.origin.answers_429 == behind.origin.answers_418 == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, 1 when the gateway's bots were refused, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser("python -m tests.side_by_side", description="Bots with and without the gateway.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long it takes")
    seconds = parser.parse_args(arguments).seconds
    logs.configure(LogLevel.ERROR, LogFormat.CONSOLE)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    forget_settings(os.environ)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return 0 if runner.run(show(seconds)) else 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
