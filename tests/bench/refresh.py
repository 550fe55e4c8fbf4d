"""The benchmark `make bench-snapshot`, first part: hits while the full document is refreshed every second.

    python -m tests.bench.refresh [--seconds 15] [--rate 2000] [--symbols 200] [--python PATH]

Owns: a stand-in of full size, a gateway with its own Valkey that refreshes every second, and a client that asks at a
steady rate, each in a process of its own. The gateway samples its own event loop: how late a task wakes that wants to
wake every millisecond. The same is done without any refresh, which shows what the machine itself does, and
with an index that reads the document by one `orjson.loads`.

Gateway and client run at a real-time priority where that is allowed (as root): else a busy machine stalls them for as
long as it likes, and what is measured is the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import orjson
import uvloop

from proxy.__main__ import freeze_startup_objects
from proxy.app import Application, run_gateway
from proxy.cache import local
from proxy.configuration.kinds import SecretStr
from proxy.settings import KeepWarm, LogFormat, LogLevel, Settings
from proxy.telemetry import logs
from tests.bench import at_once, steady
from tests.bench.children import child, prefer, read_line, write_line
from tests.bench.interpreter import add_flag, present
from tests.bench.steady import Latencies, quantile

T = TypeVar("T")

SYMBOLS = 3701
"""Three of them are hidden: 3,698 are shown."""
MOST_STALL_MS = 25.0
MOST_P999_MS = 30.0
TICK_SECONDS = 0.001
FRESH_SECONDS = 1.25
"""The refresher begins a refresh at 75 to 85 % of it: once a second, more or less."""


class Way(Enum):
    """What is measured."""

    NO_REFRESH = "no refresh"
    SLICES = "index in slices"
    AT_ONCE = "one orjson.loads"


@dataclass(frozen=True, slots=True)
class Stalls:
    """How late the gateway's event loop was, in milliseconds, and what it did meanwhile."""

    longest: float
    p999: float
    refreshes: int
    cpu_share: float
    is_preferred: bool
    """Whether it ran at a real-time priority."""


def main() -> int:
    """Run the three ways. 1 when the gateway's own is above its bounds."""
    flags = _parser().parse_args()
    if flags.gateway is not None:
        _run(_gateway(flags.gateway, Way(flags.way), flags.redis_url))
        return 0
    with (
        present(flags.python) as installed,
        child("tests.simulator", "--symbols", str(SYMBOLS), "--weight-limit", "1000000") as simulator,
    ):
        print(installed.version, flush=True)
        origin, python = read_line(simulator).rsplit(" ", 1)[1], installed.python
        _measured(origin, flags, Way.NO_REFRESH, python)
        stalls, hits = _measured(origin, flags, Way.SLICES, python)
        _measured(origin, flags, Way.AT_ONCE, python)
    is_good = stalls.longest <= MOST_STALL_MS and hits.p999 <= MOST_P999_MS and not hits.failed
    verdict = "held" if is_good else "BROKEN"
    print(f"bounds: longest stall {MOST_STALL_MS:g} ms, p99.9 of hits {MOST_P999_MS:g} ms: {verdict}")
    return 0 if is_good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.bench.refresh", description="Hits during refreshes.")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=2000.0, help="hits a second")
    parser.add_argument("--symbols", type=int, default=200, help="how many different one-symbol queries are asked")
    parser.add_argument("--redis-url", default="embedded:")
    add_flag(parser)
    parser.add_argument("--gateway", metavar="ORIGIN", help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    return parser


def _measured(origin: str, flags: argparse.Namespace, way: Way, python: Path) -> tuple[Stalls, Latencies]:
    options = ["--gateway", origin, "--way", way.value, "--redis-url", flags.redis_url]
    with child("tests.bench.refresh", *options, python=python) as gateway:
        host, _, port = read_line(gateway).removeprefix("http://").partition(":")
        latencies = _run(
            steady.ask(
                host,
                int(port),
                rate=flags.rate,
                seconds=flags.seconds,
                symbols=flags.symbols,
                ready=lambda: write_line(gateway, "measure"),
            )
        )
        write_line(gateway, "report")
        stalls = Stalls(**json.loads(read_line(gateway)))
    _print(way, stalls, latencies)
    return stalls, latencies


def _print(way: Way, stalls: Stalls, hits: Latencies) -> None:
    print(
        f"{way.value + ':':<18} stalls: longest {stalls.longest:6.1f} ms, p99.9 {stalls.p999:6.1f} ms; "
        f"{hits.count:,} hits: p50 {hits.p50:.1f} ms, p99 {hits.p99:.1f} ms, p99.9 {hits.p999:.1f} ms, "
        f"longest {hits.longest:.1f} ms, {hits.failed} failed; {stalls.refreshes} refreshes, "
        f"{stalls.cpu_share:.0%} of a core{'' if stalls.is_preferred else ' (ordinary priority)'}",
        flush=True,
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


# --- The gateway's process.


async def _gateway(origin: str, way: Way, redis_url: str) -> None:
    """Serve; between the first and the second line on standard input, sample the event loop."""
    logs.configure(LogLevel.ERROR, LogFormat.JSON)
    if way is Way.AT_ONCE:
        setattr(local, "index", at_once.index)  # noqa: B010 - no name that the module offers
    is_preferred = prefer(1)
    settings = Settings(
        port=0,
        upstreams=(origin,),
        keep_warm=KeepWarm.ALWAYS,
        fresh_seconds=3600.0 if way is Way.NO_REFRESH else FRESH_SECONDS,
        redis_url=SecretStr(redis_url),
    )
    async with run_gateway(settings) as app:
        freeze_startup_objects()
        await app.refresher.started.wait()
        print(app.url, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        adopted, cpu, started = _adopted(app), time.process_time(), time.perf_counter()
        late = sorted(await _sample(asyncio.create_task(asyncio.to_thread(sys.stdin.readline))))
        share = (time.process_time() - cpu) / (time.perf_counter() - started)
        told = Stalls(late[-1], quantile(late, 0.999), _adopted(app) - adopted, share, is_preferred)
        print(orjson.dumps(told).decode(), flush=True)


def _adopted(app: Application) -> int:
    return int(app.metrics.registry.get_sample_value("binance_sidecar_documents_adopted_total") or 0)


async def _sample(until: asyncio.Task[str]) -> list[float]:
    """How late each wake-up was, in milliseconds."""
    late: list[float] = []
    while not until.done():
        before = time.perf_counter()
        await asyncio.sleep(TICK_SECONDS)
        late.append((time.perf_counter() - before - TICK_SECONDS) * 1e3)
    return late


if __name__ == "__main__":
    sys.exit(main())
