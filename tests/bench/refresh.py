"""The benchmark `make bench-snapshot`, first part: hits while the full document is refreshed every second.

    python -m tests.bench.refresh [--seconds 15] [--rate 2000] [--symbols 200]

Owns: a stand-in of full size, a gateway with its own Valkey that refreshes every second, and a client that asks at a
steady rate, each in a process of its own. The gateway samples its own event loop: how late a task wakes that wants to
wake every millisecond. A latency counts from the moment at which the request was due, so that a stall is charged to
everybody who waited through it. The same is done without any refresh, which shows what the machine itself does, and
with an index that reads the document by one `orjson.loads`.

Gateway and client run at a real-time priority where that is allowed (as root): else a busy machine stalls them for as
long as it likes, and what is measured is the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast
from urllib.parse import quote

import orjson
import uvloop
from pydantic import SecretStr

from proxy import logs, shelf
from proxy.__main__ import settle
from proxy.core.columns import SHOWING, Columns, Permissions
from proxy.core.document import Document, frame, prove
from proxy.core.snapshot import Snapshot
from proxy.server.app import Application, running
from proxy.settings import KeepWarm, LogFormat, LogLevel, Settings

SYMBOLS = 3701
"""Three of them are hidden: 3,698 are shown."""
MOST_STALL_MS = 25.0
MOST_P999_MS = 30.0
TICK_SECONDS = 0.001
FRESH_SECONDS = 1.15
"""The warmer begins a refresh at 75 to 85 % of it: once a second, more or less."""
CONNECTIONS = 32


class Way(Enum):
    """What is measured."""

    NO_REFRESH = "no refresh"
    SLICES = "index in slices"
    AT_ONCE = "one orjson.loads"


@dataclass(frozen=True, slots=True)
class Stalls:
    """How late the gateway's event loop was, in milliseconds, and what it did meanwhile."""

    is_preferred: bool

    longest: float
    p999: float
    refreshes: int
    cpu_share: float


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of the hits, in milliseconds."""

    count: int
    p50: float
    p99: float
    p999: float
    longest: float
    failed: int


def main() -> int:
    """Run the three ways. 1 when the gateway's own is above its bounds."""
    flags = _parser().parse_args()
    if flags.gateway is not None:
        return int(_run(_gateway(flags.gateway, Way(flags.way), flags.redis_url)))
    with _process("tests.simulator", "--symbols", str(SYMBOLS), "--weight-limit", "1000000") as simulator:
        origin = _line(simulator).rsplit(" ", 1)[1]
        _measured(origin, flags, Way.NO_REFRESH)
        stalls, hits = _measured(origin, flags, Way.SLICES)
        _measured(origin, flags, Way.AT_ONCE)
    is_good = stalls.longest <= MOST_STALL_MS and hits.p999 <= MOST_P999_MS and not hits.failed
    print(
        f"bounds: longest stall {MOST_STALL_MS:g} ms, p99.9 of hits {MOST_P999_MS:g} ms: {'held' if is_good else 'BROKEN'}"
    )
    return 0 if is_good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.bench.refresh", description="Hits during refreshes.")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=2000.0, help="hits a second")
    parser.add_argument("--symbols", type=int, default=200, help="how many different one-symbol queries are asked")
    parser.add_argument("--redis-url", default="embedded:")
    parser.add_argument("--gateway", metavar="ORIGIN", help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    return parser


def _measured(origin: str, flags: argparse.Namespace, way: Way) -> tuple[Stalls, Latencies]:
    options = ["--gateway", origin, "--way", way.value, "--redis-url", flags.redis_url]
    with _process("tests.bench.refresh", *options) as gateway:
        host, _, port = _line(gateway).removeprefix("http://").partition(":")
        latencies = _run(_ask(host, int(port), flags, lambda: _tell(gateway, "measure")))
        _tell(gateway, "report")
        stalls = Stalls(**json.loads(_line(gateway)))
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


def _prefer(priority: int) -> bool:
    """Let this process run before others, where the system allows it."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    except (AttributeError, PermissionError):
        return False
    return True


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the process ended"
    return line


def _tell(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def _run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


# --- The gateway's process.


async def _gateway(origin: str, way: Way, redis_url: str) -> int:
    """Serve; between the first and the second line on standard input, sample the event loop."""
    logs.configure(LogLevel.ERROR, LogFormat.JSON)
    if way is Way.AT_ONCE:
        shelf.index = _index_at_once
    is_preferred = _prefer(1)
    settings = Settings(
        port=0,
        upstreams=(origin,),
        keep_warm=KeepWarm.ALWAYS,
        fresh_seconds=3600.0 if way is Way.NO_REFRESH else FRESH_SECONDS,
        redis_url=SecretStr(redis_url),
    )
    async with running(settings) as app:
        settle()
        await app.warmer.started.wait()
        print(app.url, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        adopted, cpu, started = _adopted(app), time.process_time(), time.perf_counter()
        late = sorted(await _sample(asyncio.create_task(asyncio.to_thread(sys.stdin.readline))))
        share = (time.process_time() - cpu) / (time.perf_counter() - started)
        told = Stalls(is_preferred, late[-1], _quantile(late, 0.999), _adopted(app) - adopted, share)
        print(orjson.dumps(told).decode(), flush=True)
    return 0


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


def _index_at_once(
    body: bytes, *, version: str | None = None, document: Document | None = None
) -> Generator[None, None, Snapshot]:
    """The same index, from Python objects of the whole document, in one go."""
    document = document or prove(body)
    symbols = orjson.loads(body)["symbols"]
    starts, set_starts, set_ends = array("Q"), array("Q"), array("Q")
    end = body.index(b'"symbols":[') + len(b'"symbols":[')
    for symbol in symbols:
        starts.append(end)
        name = b'"permissionSets":'
        set_starts.append(body.index(name, end) + len(name))
        set_ends.append(body.index(b"]]", set_starts[-1]) + 2)
        end = body.index(b"}", body.index(b'"allowedSelfTradePreventionModes"', set_ends[-1])) + 2
    starts.append(end)
    sets = [symbol["permissionSets"][0] for symbol in symbols]
    shown = [sum(permission for name, permission in SHOWING.items() if name in names) for names in sets]
    columns = Columns(
        starts=starts,
        set_starts=set_starts,
        set_ends=set_ends,
        permissions=bytes(shown),
        all_permissions=Permissions(7),
        statuses=tuple(symbol["status"] for symbol in symbols),
        positions={symbol["symbol"]: place for place, symbol in enumerate(symbols)},
    )
    yield
    return Snapshot(
        body=body,
        version=version or "",
        server_time_ms=document.server_time_ms,
        rate_limits=document.rate_limits,
        frame=frame(body[: starts[0]], body[end - 1 :]),
        columns=columns,
    )


# --- The client.


async def _ask(host: str, port: int, flags: argparse.Namespace, ready: Callable[[], None]) -> Latencies:
    """Ask at a steady rate over some connections that stay open."""
    names = await _names(host, port)
    requests = [
        _request(f"?symbol={quote(names[place * len(names) // flags.symbols])}") for place in range(flags.symbols)
    ]
    gc.disable()
    _prefer(2)
    loop = asyncio.get_running_loop()
    connections = [await loop.create_connection(_Connection, host, port) for _ in range(CONNECTIONS)]
    protocols = [protocol for _, protocol in connections]
    ready()
    started, sent = time.perf_counter() + 0.1, 0
    total = int(flags.rate * flags.seconds)
    while sent < total:
        due = int((time.perf_counter() - started) * flags.rate)
        while sent <= min(due, total - 1):
            protocols[sent % CONNECTIONS].ask(requests[sent % len(requests)], started + sent / flags.rate)
            sent += 1
        await asyncio.sleep(TICK_SECONDS)
    await asyncio.sleep(1.0)
    taken = sorted(latency for protocol in protocols for latency in protocol.taken)
    failed = total - len(taken) + sum(protocol.failed for protocol in protocols)
    for transport, _ in connections:
        transport.close()
    at = [_quantile(taken, share) * 1e3 for share in (0.5, 0.99, 0.999, 1.0)]
    return Latencies(len(taken), *at, failed)


async def _names(host: str, port: int) -> list[str]:
    reader, writer = await asyncio.open_connection(host, port, limit=64 << 20)
    writer.write(_request("", close=True))
    answer = await reader.read()
    writer.close()
    return [symbol["symbol"] for symbol in orjson.loads(answer.partition(b"\r\n\r\n")[2])["symbols"]]


def _request(query: str, *, close: bool = False) -> bytes:
    head = "Host: bench\r\nAccept: */*\r\n" + ("Connection: close\r\n" if close else "Accept-Encoding: gzip\r\n")
    return f"GET /api/v3/exchangeInfo{query} HTTP/1.1\r\n{head}\r\n".encode()


class _Connection(asyncio.Protocol):
    """One request at a time; those that are due meanwhile wait, and their waiting counts."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.failed = 0
        self._waiting: list[tuple[bytes, float]] = []
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def ask(self, request: bytes, due: float) -> None:
        self._waiting.append((request, due))
        if len(self._waiting) == 1:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, _ = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        if len(self._received) < len(head) + 4 + length:
            return
        self.failed += not head.startswith(b"HTTP/1.1 200 ")
        self._received.clear()
        _, due = self._waiting.pop(0)
        self.taken.append(time.perf_counter() - due)
        if self._waiting:
            self._transport.write(self._waiting[0][0])


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    sys.exit(main())
