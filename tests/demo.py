"""`make tour`: a stand-in for Binance, a gateway in front of it, and a transcript of what happens.

Owns: the story and how it is told. Must not know: how gateway and stand-in work; it sees both from outside.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import combinations, islice
from urllib.parse import quote

import uvloop

from proxy.app import Application, run_gateway
from proxy.quota.clock import OriginClock
from proxy.redis_client.embedded import EmbeddedUnavailable, EmbeddedValkey
from proxy.settings import LogFormat, LogLevel
from proxy.telemetry import logs
from tests.environment import allow_open_files, forget_settings
from tests.gateway.harness import INFO, Answer, Client, age_block, client, settings
from tests.simulator import Fault, Simulator, generate_document
from tests.transcript import Teller, counted, cut, milliseconds, section

SYMBOLS = 3698
CLIENTS = 1000
OPEN_FILES = 4 * CLIENTS
"""Both ends of every connection are in this process."""
BAN_SECONDS = 2 * 3600
INFO_WEIGHT = 20


@dataclass(slots=True)
class Clock:
    """The time of gateway and stand-in: it runs, and can be put forward (seconds)."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass(slots=True)
class Spending:
    """What the gateways of this demo did, summed over their metrics."""

    answered: float = 0.0
    sent: float = 0.0
    spent: float = 0.0
    saved: float = 0.0

    def add(self, app: Application) -> None:
        """Read the counters of a gateway that is about to stop."""
        self.answered += counted(app, "requests")
        self.sent += counted(app, "upstream_requests")
        self.spent += counted(app, "weight_spent")
        self.saved += counted(app, "weight_saved")


@dataclass(frozen=True, slots=True)
class Stage:
    """The stand-in, the Redis that outlives each gateway, and the one clock."""

    origin: Simulator
    redis_url: str
    clock: Clock = field(default_factory=Clock)
    spending: Spending = field(default_factory=Spending)

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[tuple[Application, Teller]]:
        """A gateway that is ready, and who asks it. Says how long its start took, and what it cost."""
        started, spent = time.perf_counter(), self.origin.weight_spent
        chosen = settings(self.origin, redis_url=self.redis_url, keep_warm="demand", shutdown_seconds=1.0)
        async with run_gateway(chosen, clock=OriginClock(self.clock)) as app, client(app.url) as asking:
            await app.refresher.started.wait()
            cost = self.origin.weight_spent - spent
            print(f"  ready at {app.url} after {milliseconds(time.perf_counter() - started)}; weight spent: {cost}")
            yield app, Teller(self.origin, asking)
            self.spending.add(app)


async def tell(symbols: int) -> bool:
    """The whole story. Whether it went as it should."""
    print(f"A stand-in for Binance with {symbols:,} symbols; cost is the weight that it counts for our IP.")
    clock, redis = Clock(), await EmbeddedValkey.start()
    try:
        async with Simulator(clock=clock, document=generate_document(symbols)) as origin:
            stage = Stage(origin, redis.url, clock)
            section("A gateway starts, with a Valkey of its own, and fetches the full document once", answers=False)
            async with stage.gateway() as (_, teller):
                await basics(teller)
                await refusals(teller)
                good = await crowd(teller)
            section("The gateway stopped; another one starts with the same Redis", answers=False)
            async with stage.gateway() as (_, teller):
                good &= await restarted(teller)
                good &= await banned(stage, teller)
            summary(stage)
    finally:
        await redis.stop()
    return good


async def basics(teller: Teller) -> None:
    """What each endpoint costs, and the filters that one document answers."""
    section("Time and ping are always Binance's own")
    for name in ("ping", "time"):
        await teller.ask(f"/api/v3/{name}")
    section("The full document, and any part of it")
    await teller.ask(INFO)
    await teller.ask(INFO, Accept_Encoding="gzip")
    await teller.ask(f"{INFO}?symbol=BTCUSDT")
    await teller.ask(f'{INFO}?symbols=["BTCUSDT","ETHUSDT"]')
    await teller.ask(f"{INFO}?symbols=%5B%22ETHUSDT%22%2C%22BTCUSDT%22%5D")
    await teller.ask(f"{INFO}?permissions=MARGIN", Accept_Encoding="gzip")
    await teller.ask(f"{INFO}?symbolStatus=BREAK&showPermissionSets=false", Accept_Encoding="gzip")


async def refusals(teller: Teller) -> None:
    """Errors that are certain."""
    section("What Binance would refuse is refused here, and costs nothing")
    for query in ("symbol=btcusdt", "symbols=[%22BTCUSDT%22,%20%22ETHUSDT%22]", "foo=1"):
        answer = await teller.ask(f"{INFO}?{query}")
        print(f"      {cut(answer.body.decode(), 110)}")
    print("  …but only Binance knows which symbols there are:")
    await teller.ask(f"{INFO}?symbol=NOSUCHCOIN")


async def crowd(teller: Teller) -> bool:
    """Many clients at once, each with a connection and a filter of its own. Whether all got what they asked for."""
    section(f"{CLIENTS:,} clients at once, each with a connection and a filter of its own", answers=False)
    names = [name for name, symbol in teller.origin.document.symbols.items() if symbol.is_listed]
    wanted = list(islice((*((name,) for name in names[: CLIENTS // 2]), *combinations(names[:100], 2)), CLIENTS))
    spent, started = teller.origin.weight_spent, time.perf_counter()
    answers = await asyncio.gather(*(_ask_for(teller.asking, some) for some in wanted))
    seconds, cost = time.perf_counter() - started, teller.origin.weight_spent - spent
    right = sum(map(_is_right, answers, wanted))
    print(f"  {right:,} of {len(wanted):,} got what they asked for, in {milliseconds(seconds)} together")
    print(f"  weight spent: {cost}; asked of Binance itself: {INFO_WEIGHT * len(wanted):,}, of 6,000 a minute")
    return right == len(wanted) == CLIENTS


async def _ask_for(asking: Client, names: tuple[str, ...]) -> Answer:
    listed = ",".join(f'"{name}"' for name in names)
    return await asking.ask(f"{INFO}?symbols={quote(f'[{listed}]')}")


def _is_right(answer: Answer, names: tuple[str, ...]) -> bool:
    return answer.status == 200 and {symbol["symbol"] for symbol in answer.json["symbols"]} == set(names)


async def restarted(teller: Teller) -> bool:
    """What the last gateway knew, this one knows. Whether the stand-in was left alone."""
    spent = teller.origin.weight_spent
    section("It answers from Redis what the other one fetched")
    await teller.ask(INFO, Accept_Encoding="gzip")
    await teller.ask(f"{INFO}?symbol=BTCUSDT")
    return teller.origin.weight_spent == spent


async def banned(stage: Stage, teller: Teller) -> bool:
    """A ban, an hour of it, and its end. Whether exchangeInfo was answered throughout."""
    origin, clock = stage.origin, stage.clock
    section(f"Binance bans the IP for {BAN_SECONDS // 3600} hours (418): who asks for exchangeInfo does not notice")
    origin.set_fault(Fault.TEAPOT_418, retry_after=BAN_SECONDS)
    await teller.ask("/api/v3/time")
    print("  …who asked Binance has learned it; nothing is sent any more:")
    seen = origin.count()
    await teller.ask("/api/v3/time")
    during = [await teller.ask(f"{INFO}?symbol=BTCUSDT")]
    print("  …an hour later (the clock of this demo is put forward):")
    clock.ahead += 3600
    await age_block(stage.redis_url, 3600)
    during += [await teller.ask(f"{INFO}?symbol=BTCUSDT"), await teller.ask(INFO, Accept_Encoding="gzip")]
    unasked = origin.count() == seen
    print(f"  requests that reached Binance in that hour: {origin.count() - seen}")
    origin.clear_fault()
    clock.ahead += BAN_SECONDS
    await age_block(stage.redis_url, BAN_SECONDS)
    spent = origin.weight_spent
    await refreshed(teller.asking)
    print(
        "  …the ban is over; the document was fetched anew in the background, "
        f"weight spent: {origin.weight_spent - spent}"
    )
    during.append(await teller.ask(f"{INFO}?symbol=BTCUSDT"))
    await teller.ask("/api/v3/time")
    return unasked and all(answer.status == 200 for answer in during)


async def refreshed(asking: Client) -> None:
    """Wait for the fill that runs in the background. TimeoutError when there is none."""
    async with asyncio.timeout(10):
        # Seen from outside there is no event to wait for.
        while "ttl=-" in (await asking.ask(method="HEAD")).cache_status:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def summary(stage: Stage) -> None:
    """What the gateways' own metrics say, beside the stand-in's count."""
    section("In all, by the metrics of both gateways", answers=False)
    total = stage.spending
    asked = total.spent + total.saved
    print(f"  requests  {total.answered:>9,.0f} answered, {total.sent:,.0f} sent to Binance")
    print(f"  weight    {asked:>9,.0f} asked, {total.spent:,.0f} spent, {total.saved:,.0f} saved")
    print(f"  of every 100 weight asked, {100 * total.saved / max(1.0, asked):.1f} were saved")
    print(f"  the stand-in's own count of weight: {stage.origin.weight_spent:,}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, 1 when something did not go as told, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser("python -m tests.demo", description="What the gateway does, without any internet.")
    parser.add_argument("--symbols", type=int, default=SYMBOLS, help="size of the stand-in's document; at least 50")
    symbols = max(50, parser.parse_args(arguments).symbols)
    logs.configure(LogLevel.ERROR, LogFormat.CONSOLE)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the story is told as it happens, through a pipe too
    allow_open_files(OPEN_FILES)
    forget_settings(os.environ)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            good = runner.run(tell(symbols))
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except (EmbeddedUnavailable, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
