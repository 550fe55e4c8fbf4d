"""`make clients`: real clients against the gateway: general endpoints, market data, and each fault of the origin.

Owns: the flags, and the first table with its processes. Must not know: how a client is used.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from proxy.app import Application
from proxy.settings import LogFormat, LogLevel
from proxy.telemetry import logs
from tests.clients import faults, matrix
from tests.clients.checks import Call, Result, Wanted
from tests.clients.environment import HEAVY, QUICK, ROOT, client_environment, node_modules
from tests.clients.matrix import Program, Way
from tests.environment import forget_settings
from tests.gateway.harness import gateway
from tests.simulator import Document, Simulator, generate_document
from tests.transcript import counted

RUNNERS = ("run_binance_connector", "run_binance_sdk_spot", "run_python_binance", "run_ccxt")
RUNNER_SECONDS = 180
HEADING = "each fault: the exception, or `straight > through the gateway (the narrowest class that catches both)`"
LEAST_RESULTS = 7
"""Every client must have said how each of the first seven calls went."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A runner's process: its results, and what it complained of if it failed."""

    runner: str
    results: tuple[Result, ...]
    failure: str | None


def main(words: Sequence[str]) -> int:
    """Exit status 0 when every call went as it should, and every fault is what the client knows from Binance."""
    flags = _parser().parse_args(words)
    forget_settings(os.environ)
    logs.configure(LogLevel.ERROR, LogFormat.CONSOLE)
    try:
        python = (HEAVY if flags.heavy else QUICK).python()
        modules = None if flags.heavy else node_modules()
    except subprocess.CalledProcessError as error:
        print(f"clients: cannot install them: {error}", file=sys.stderr)
        return 1
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_try_all(flags, python, modules))
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("make clients", description="Real clients against the gateway.")
    parser.add_argument("--heavy", action="store_true", help="freqtrade and nautilus_trader, in place of the libraries")
    parser.add_argument("--market", action="store_true", help="market data only")
    parser.add_argument("--trading", action="store_true", help="trading only")
    parser.add_argument("--straight", action="store_true", help="both straight from the stand-in only")
    parser.add_argument("--only", metavar="WORD", default="", help="the programs that have this in their names")
    return parser


async def _try_all(flags: argparse.Namespace, python: Path, modules: Path | None) -> int:
    problems: list[str] = []
    if not (flags.heavy or flags.market or flags.trading or flags.straight):
        problems += await _try_general(python)
    problems += await _try_programs(flags, python, modules)
    print("\n".join(problems) if problems else "everything that was tried went as it should")
    return 1 if problems else 0


async def _try_programs(flags: argparse.Namespace, python: Path, modules: Path | None) -> list[str]:
    market = () if flags.trading else matrix.HEAVY if flags.heavy else matrix.QUICK
    trading = () if flags.market else matrix.HEAVY_TRADING if flags.heavy else matrix.TRADING
    ways = [Way.STRAIGHT] if flags.straight else list(Way)
    problems: list[str] = []
    for title, programs in (("market data", market), ("trading", trading)):
        chosen = [program for program in programs if flags.only in program.file]
        if chosen:
            tried = await matrix.try_programs(_runnable(chosen, modules), python, modules, ways)
            print("\n".join(["", f"{title}: calls that went as they should", *matrix.table(tried), ""]), flush=True)
            problems += matrix.problems(tried)
    return problems


def _runnable(programs: Sequence[Program], modules: Path | None) -> list[Program]:
    found = [program for program in programs if modules is not None or not program.is_javascript]
    if len(found) < len(programs):
        print("left out, without node and npm on the path: the JavaScript clients")
    return found


async def _try_general(python: Path) -> list[str]:
    """The general endpoints through the gateway, and what each fault becomes."""
    document = generate_document()
    async with Simulator(document=document) as origin, gateway(origin, keep_warm="always") as app:
        argument = _wanted(app.url, document).to_argument()
        ended = [await _run(python, runner, argument) for runner in RUNNERS]
        print("\n".join(_table([result for each in ended for result in each.results])))
        print(_costs(app, origin))
    compared = await faults.compare(python, document)
    print("\n".join(["", HEADING, *faults.table(compared)]))
    return [*_problems(ended), *faults.differences(compared)]


def _wanted(url: str, document: Document) -> Wanted:
    shown = [symbol for symbol in document.symbols.values() if symbol.is_listed]
    margin = [symbol for symbol in document.symbols.values() if "MARGIN" in symbol.permissions]
    return Wanted(url, listed=len(shown), margin=len(margin))


async def _run(python: Path, runner: str, argument: str) -> Ended:
    """One process for one client; killed when it takes too long or when we are stopped."""
    process = await asyncio.create_subprocess_exec(
        *(python, "-m", f"tests.clients.{runner}", argument),
        cwd=ROOT,
        env=client_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RUNNER_SECONDS):
            told, complaints = await process.communicate()
    except TimeoutError:
        return Ended(runner, (), f"no end after {RUNNER_SECONDS} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    results = tuple(_results(told.decode().splitlines()))
    if process.returncode == 0 and len(results) >= LEAST_RESULTS:
        return Ended(runner, results, None)
    last = complaints.decode().strip().splitlines()[-3:]
    return Ended(runner, results, f"status {process.returncode}, {len(results)} results: {' | '.join(last)}")


def _results(lines: Iterable[str]) -> Iterable[Result]:
    for line in lines:
        try:
            yield Result.from_line(line)
        except ValueError:  # clients print too
            continue


def _table(results: Sequence[Result]) -> Iterable[str]:
    """A row for each client, a column for each call; `-` where the client was not asked for it."""
    cells = {(result.client, result.call): "FAILED" if result.problem else "ok" for result in results}
    clients = list(dict.fromkeys(result.client for result in results))
    width = max((len(client) for client in clients), default=0)
    yield "  ".join(["client".ljust(width), *(call.value for call in Call)])
    for client in clients:
        row = (cells.get((client, call), "-").ljust(len(call.value)) for call in Call)
        yield "  ".join([client.ljust(width), *row]).rstrip()


def _costs(app: Application, origin: Simulator) -> str:
    asked = counted(app, "weight_spent") + counted(app, "weight_saved")
    return (
        f"\nthe clients sent {counted(app, 'requests'):.0f} requests of weight {asked:.0f}; "
        f"the origin saw {origin.count()} of weight {origin.weight_spent}"
    )


def _problems(ended: Iterable[Ended]) -> Iterable[str]:
    for each in ended:
        if each.failure is not None:
            yield f"{each.runner}: {each.failure}"
        for result in each.results:
            if result.problem is not None:
                yield f"{result.client}, {result.call.value}: {result.problem}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
