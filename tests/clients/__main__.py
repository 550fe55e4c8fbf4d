"""`make clients`: real clients against the gateway, each call a cell of a table, and each fault of the origin another.

Owns: the stand-in, the gateway, one process a client, the first table. Must not know: how a client is used.
"""

from __future__ import annotations

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
from tests.clients import faults
from tests.clients.checks import Call, Result, Wanted
from tests.clients.environment import ROOT, client_environment, clients_python
from tests.environment import forget_settings
from tests.gateway.harness import gateway
from tests.simulator import Document, Simulator, generate_document
from tests.transcript import counted

RUNNERS = ("run_binance_connector", "run_binance_sdk_spot", "run_python_binance", "run_ccxt")
RUNNER_SECONDS = 180
LEAST_RESULTS = 7
"""Every client must have said how each of the first seven calls went."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A runner's process: its results, and what it complained of if it failed."""

    runner: str
    results: tuple[Result, ...]
    failure: str | None


def main() -> int:
    """Exit status 0 when every call went as it should, and every fault is what the client knows from Binance."""
    forget_settings(os.environ)
    logs.configure(LogLevel.ERROR, LogFormat.CONSOLE)
    try:
        python = clients_python()
    except subprocess.CalledProcessError as error:
        print(f"clients: cannot install them: {error}", file=sys.stderr)
        return 1
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_try_all(python))
    except KeyboardInterrupt:
        return 130


async def _try_all(python: Path) -> int:
    document = generate_document()
    async with Simulator(document=document) as origin, gateway(origin, keep_warm="always") as app:
        argument = _wanted(app.url, document).to_argument()
        ended = [await _run(python, runner, argument) for runner in RUNNERS]
        print("\n".join(_table([result for each in ended for result in each.results])))
        print(_costs(app, origin))
    compared = await faults.compare(python, document)
    print("\n".join(["", "each fault: the exception, or `straight > through the gateway`", *faults.table(compared)]))
    problems = [*_problems(ended), *faults.differences(compared)]
    print("\n".join(problems) if problems else "every call and every fault went as it should")
    return 1 if problems else 0


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
    sys.exit(main())
