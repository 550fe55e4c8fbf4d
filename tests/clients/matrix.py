"""What each client gets straight from the origin and through the gateway, call by call: market data, and trading.

Owns: the programs, one process for a program and a way, the comparison, the table. Must not know: how a client is used.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from tests.clients import signed
from tests.clients.environment import ROOT, client_environment
from tests.gateway.harness import Clock, gateway
from tests.simulator import Simulator, generate_document

PROGRAMS = ROOT / "tests" / "clients" / "programs"
SYMBOLS = 120
PROGRAM_SECONDS = 180.0
LIVE_SECONDS = 600.0
AT_ONCE = 3
"""Most of the time a client waits, for an answer or by its own throttle."""
UNKNOWN = "unknown symbol"
REFUSED = "refused: "
"""The calls that must fail, and alike on both ways, have this name or begin so."""


class Way(Enum):
    """How a client reaches the origin. The value is the word in the table."""

    STRAIGHT = "straight"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Program:
    """A file of the folder. `is_live`: the client compares answers with its own clock, so the origin's must go on.

    `trades`: it makes signed calls. `in_body`: the methods whose parameters it then sends in the body.
    """

    file: str
    is_live: bool = False
    trades: bool = False
    in_body: tuple[str, ...] = ()

    @property
    def is_javascript(self) -> bool:
        return self.file.endswith(".cjs")

    @property
    def most_seconds(self) -> float:
        """It is ended after so long."""
        return LIVE_SECONDS if self.is_live else PROGRAM_SECONDS

    def words(self, python: Path, url: str) -> tuple[str, ...]:
        """The command."""
        if self.is_javascript:
            return ("node", str(PROGRAMS / self.file), url)
        return (str(python), "-m", f"tests.clients.programs.{self.file.removesuffix('.py')}", url)


QUICK = (
    Program("ccxt_async.py"),
    Program("ccxt_sync.py"),
    Program("ccxt.cjs"),
    Program("python_binance.py"),
    Program("binance_connector.py"),
    Program("binance_sdk_spot.py"),
    Program("binance_sdk_usds_futures.py"),
    Program("binance.cjs"),
    Program("binance_api_node.cjs"),
    Program("binance_spot.cjs"),
)
"""The slowest first."""
HEAVY = (Program("nautilus_spot.py"), Program("freqtrade_bot.py", is_live=True))
TRADING = (
    Program("trade_ccxt_async.py", trades=True, in_body=("POST",)),
    Program("trade_ccxt_sync.py", trades=True, in_body=("POST",)),
    Program("trade_ccxt.cjs", trades=True, in_body=("POST",)),
    Program("trade_python_binance.py", trades=True, in_body=("DELETE", "POST")),
    Program("trade_binance_connector.py", trades=True),
    Program("trade_binance_sdk_spot.py", trades=True),
    Program("trade_binance_sdk_usds_futures.py", trades=True),
    Program("trade_binance.cjs", trades=True),
    Program("trade_binance_api_node.cjs", trades=True),
    Program("trade_binance_spot.cjs", trades=True),
)
HEAVY_TRADING = (Program("trade_nautilus.py", trades=True),)


@dataclass(frozen=True, slots=True)
class Told:
    """What one call of one client has come to: its answer, or the exception and Binance's code."""

    client: str
    call: str
    answer: Any = None
    error: str | None = None

    @classmethod
    def from_line(cls, line: str) -> Told:
        """ValueError for a line that is none: clients print too."""
        fields = json.loads(line)
        if not isinstance(fields, dict) or not {"client", "call"} <= fields.keys() <= {*cls.__slots__}:
            raise ValueError("no such line")
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Ran:
    """A program's process on one way: its calls, its length in seconds, what it complained of if it failed."""

    way: Way
    told: tuple[Told, ...]
    seconds: float
    failure: str | None


@dataclass(frozen=True, slots=True)
class Tried:
    """A program on every way."""

    program: Program
    ran: tuple[Ran, ...]


async def try_programs(
    programs: Sequence[Program], python: Path, modules: Path | None, ways: Sequence[Way]
) -> list[Tried]:
    """All of them, a few at once; both ways of one at the same time."""
    turns = asyncio.Semaphore(AT_ONCE)
    environment = client_environment(modules)

    async def try_one(program: Program) -> Tried:
        async with turns:
            now = float(int(time.time()))
            ran = await asyncio.gather(*(_run(program, python, way, environment, now) for way in ways))
            return Tried(program, tuple(ran))

    return list(await asyncio.gather(*map(try_one, programs)))


async def _run(program: Program, python: Path, way: Way, environment: Mapping[str, str], now: float) -> Ran:
    async with _reached(program, way, None if program.is_live else now) as (origin, url):
        began = time.monotonic()
        variables = {**environment, **(signed.variables() if program.trades else {})}
        status, told, complaint = await _communicate(program.words(python, url), variables, program.most_seconds)
        calls = tuple(_told(told.splitlines()))
        if program.trades and calls:
            sent = signed.sent(origin)
            calls += tuple(
                Told(program.file, call, answer, error) for call, answer, error in signed.told(sent, program.in_body)
            )
    is_whole = status == 0 and calls
    failure = None if is_whole else f"status {status}, {len(calls)} calls: {complaint}"
    return Ran(way, calls, time.monotonic() - began, failure)


@asynccontextmanager
async def _reached(program: Program, way: Way, now: float | None) -> AsyncIterator[tuple[Simulator, str]]:
    """An origin of its own, and the base URL. At a time that stands still, equal calls have equal answers."""
    clock = None if now is None else Clock(now)
    async with Simulator(document=generate_document(SYMBOLS), clock=clock or time.time) as origin:
        if program.trades:
            signed.admit(origin)
        if way is Way.STRAIGHT:
            yield origin, origin.url
            return
        derivatives = dict.fromkeys(
            ("usd_futures_upstreams", "coin_futures_upstreams", "options_upstreams"), (origin.url,)
        )
        forward = "all" if program.trades else "market"
        async with gateway(origin, clock, forward=forward, **derivatives) as app:
            yield origin, app.url


async def _communicate(
    words: Sequence[str], environment: Mapping[str, str], most_seconds: float
) -> tuple[int | None, str, str]:
    """Exit status (None: it took too long), what it printed, the end of what it complained of. It never outlives us."""
    with tempfile.TemporaryFile() as complaints:
        process = await asyncio.create_subprocess_exec(
            *words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=complaints, start_new_session=True
        )
        printed = b""
        try:
            async with asyncio.timeout(most_seconds):
                printed, _ = await process.communicate()
        except TimeoutError:
            return None, "", f"no end after {most_seconds:.0f} s"
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)  # a program may have started others
                await process.wait()
        complaints.seek(0)
        last = complaints.read().decode().strip().splitlines()[-3:]
        return process.returncode, printed.decode(), " | ".join(last)


def _told(lines: Iterable[str]) -> Iterable[Told]:
    for line in lines:
        try:
            yield Told.from_line(line)
        except ValueError:  # clients print too
            continue


def table(tried: Sequence[Tried]) -> Iterable[str]:
    """A row for each client: how many calls went as they should on each way, and the seconds of its program."""
    ways = [ran.way for ran in tried[0].ran] if tried else []
    rows = [("client", *(way.value for way in ways), "equal", "seconds")]
    for each in tried:
        clients = dict.fromkeys(told.client for ran in each.ran for told in ran.told)
        rows += [(client, *_row(each, client)) for client in clients]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _row(tried: Tried, client: str) -> Iterable[str]:
    calls = [_calls(ran, client) for ran in tried.ran]
    for told in calls:
        yield f"{sum(_is_good(each) for each in told.values())} of {len(told)}"
    same = [name for name in calls[0] if all(told.get(name) == calls[0][name] for told in calls)]
    yield f"{len(same)}" if len(calls) > 1 else "-"
    yield " ".join(f"{ran.seconds:.0f}" for ran in tried.ran)


def problems(tried: Sequence[Tried]) -> Iterable[str]:
    """A line for each program that failed, each call that did, and each answer that differs."""
    for each in tried:
        for ran in each.ran:
            if ran.failure is not None:
                yield f"{each.program.file}, {ran.way.value}: {ran.failure}"
            for told in ran.told:
                if not _is_good(told):
                    yield f"{told.client}, {told.call}, {ran.way.value}: {told.error or 'no error'}"
        yield from _differences(each)


def _differences(tried: Tried) -> Iterable[str]:
    first, *others = tried.ran
    for other in others:
        theirs = {(told.client, told.call): told for told in other.told}
        for told in first.told:
            found = theirs.pop((told.client, told.call), None)
            if found is not None and found != told:
                where = difference((told.answer, told.error), (found.answer, found.error))
                yield f"{told.client}, {told.call}: {other.way.value} differs {where}"
            elif found is None:
                yield f"{told.client}, {told.call}: not told, {other.way.value}"
        yield from (f"{client}, {call}: only told, {other.way.value}" for client, call in theirs)


def _calls(ran: Ran, client: str) -> dict[str, Told]:
    return {told.call: told for told in ran.told if told.client == client}


def _is_good(told: Told) -> bool:
    return (told.error is not None) == (told.call == UNKNOWN or told.call.startswith(REFUSED))


def difference(one: Any, other: Any, path: str = "") -> str:
    """Where two answers first differ, and how."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return f"at {path or '/'}: members {sorted(one.keys() ^ other.keys())[:5]}"
        name = next(name for name in one if one[name] != other[name])
        return difference(one[name], other[name], f"{path}/{name}")
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        place = next(place for place, value in enumerate(one) if value != other[place])
        return difference(one[place], other[place], f"{path}/{place}")
    return f"at {path or '/'}: {str(one)[:80]!r}, {str(other)[:80]!r}"
