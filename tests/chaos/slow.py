"""`python -m tests.chaos.slow`: clients that are slow or too many, against the real command, and what others notice.

Owns: both ordeals, their figures, and what must be true of them. Must not know: how the gateway keeps its bounds.

Slow: clients that send a byte of a head a second, and readers that take nothing of the full document, while others ask
for what is stored. Few: more connections than the descriptor limit allows, while probes ask the ops listener.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.children import die_with_parent, peak_rss_bytes, prefer
from tests.environment import allow_open_files, without_settings
from tests.gateway.harness import INFO, Client, client
from tests.ports import free_ports
from tests.simulator import Simulator, generate_document

ONE = f"GET {INFO}?symbol=BTCUSDT HTTP/1.1\r\nHost: here\r\n\r\n".encode()
ALL = f"GET {INFO} HTTP/1.1\r\nHost: here\r\n\r\n".encode()
MOST_BYTES = 250_000_000
MOST_SLOWER = 3.0
DRIPS = 100
"""Turns in which a second's bytes are sent."""
SPARE_SECONDS = 3.0
"""Above a deadline: the gateway looks once a second, and this process has much to do."""
READER_SECONDS = 2 * 60.0
"""A reader's end is looked for once a minute, so it comes within two."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many, and how long."""

    heads: int = 2000
    readers: int = 500
    head_seconds: float = 15.0
    measured_seconds: float = 15.0
    hits_a_second: int = 200
    waits_for_readers: bool = True
    symbols: int | None = None
    """Of the document; None: as many as Binance has."""


@dataclass(slots=True)
class Slow:
    """What came of slow clients."""

    plan: Plan
    p99_alone: float = math.nan
    p99_beside: float = math.nan
    failed: int = 0
    peak_bytes: int = 0
    heads_left: int = 0
    """Of the slow heads, after their deadline."""
    readers_left: int = 0

    def faults(self) -> list[str]:
        """What must be true and is not."""
        told = {
            f"{self.failed} hits failed": self.failed > 0,
            f"{self.heads_left} slow heads were not closed in time": self.heads_left > 0,
            f"{self.readers_left} readers were not closed in time": self.readers_left > 0,
            f"{self.peak_bytes / 1e6:.0f} MB of memory": self.peak_bytes > MOST_BYTES,
            f"p99 is {self.p99_beside / self.p99_alone:.1f} x": self.p99_beside > MOST_SLOWER * self.p99_alone,
        }
        return [fault for fault, holds in told.items() if holds]

    def __str__(self) -> str:
        ratio = self.p99_beside / self.p99_alone
        return (
            f"{self.plan.heads} slow heads, {self.plan.readers} readers: "
            f"p99 of hits {self.p99_alone * 1000:.2f} ms alone, "
            f"{self.p99_beside * 1000:.2f} ms beside them ({ratio:.2f} x), peak {self.peak_bytes / 1e6:.0f} MB, "
            f"left {self.heads_left} heads and {self.readers_left} readers"
        )


@dataclass(slots=True)
class Few:
    """What came of too many connections."""

    limit: int
    connections: int
    probes: list[int] = field(default_factory=list)
    """The statuses of the probes; 0: none."""
    served: list[int] = field(default_factory=list)
    """The same of clients that came last."""
    shed: float = 0.0

    def faults(self) -> list[str]:
        """What must be true and is not."""
        probes, served = (len(found) - found.count(200) for found in (self.probes, self.served))
        told = {
            f"{probes} of {len(self.probes)} probes failed": probes > 0 or not self.probes,
            f"{served} new clients were not served": served > 0 or not self.served,
            "no connection was closed for another": self.shed == 0,
        }
        return [fault for fault, holds in told.items() if holds]

    def __str__(self) -> str:
        return (
            f"descriptor limit {self.limit}, {self.connections} connections: {self.probes.count(200)} of "
            f"{len(self.probes)} probes and {self.served.count(200)} of {len(self.served)} new clients got 200, "
            f"{self.shed:.0f} connections were closed for others"
        )


@dataclass(frozen=True, slots=True)
class Gateway:
    """The real command, running."""

    pid: int
    port: int
    ops: Client

    async def metric(self, name: str) -> float:
        """The sum of the series that begin with this."""
        lines = (await self.ops.ask("/metrics")).body.decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"binance_sidecar_{name}"))


@asynccontextmanager
async def command(origin: Simulator, *, descriptors: int | None = None, **settings: str) -> AsyncIterator[Gateway]:
    """A gateway in a process of its own, which has the document. `descriptors`: its limit."""
    port, ops_port = free_ports(2)
    fixed = {
        "PORT": str(port),
        "OPS_PORT": str(ops_port),
        "UPSTREAMS": origin.url,
        "REDIS_URL": "memory:",
        "KEEP_WARM": "always",
        "FRESH_SECONDS": "3600",
    }

    def prepare() -> None:
        die_with_parent()
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    with TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log, ExitStack() as stack:
        process = subprocess.Popen(  # noqa: ASYNC220 - it takes milliseconds
            [sys.executable, "-m", "proxy"],
            env=without_settings(os.environ) | {f"SIDECAR_{name}": text for name, text in (fixed | settings).items()},
            stderr=log,
            preexec_fn=prepare,  # noqa: PLW1509 - takes no lock that another thread may hold
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        async with client(f"http://127.0.0.1:{ops_port}") as ops:
            for _ in range(1200):
                with suppress(OSError):
                    if (await ops.ask("/readyz")).status == 200:
                        break
                await asyncio.sleep(0.05)
            yield Gateway(process.pid, port, ops)


# --- Slow clients.


async def slow(plan: Plan) -> Slow:
    """Let others ask alone, then beside slow clients, and see when these are closed."""
    allow_open_files(plan.heads + plan.readers + 500)
    outcome, document = Slow(plan), generate_document(*(() if plan.symbols is None else (plan.symbols,)))
    async with (
        Simulator(document=document) as origin,
        command(origin, HEAD_SECONDS=str(plan.head_seconds)) as gateway,
    ):
        await hits(gateway.port, plan, seconds=1.0)
        outcome.p99_alone, outcome.failed = await hits(gateway.port, plan, seconds=plan.measured_seconds)
        with ExitStack() as stack:
            started = time.monotonic()
            heads = await connect(gateway.port, plan.heads, stack)
            readers = await connect(gateway.port, plan.readers, stack, receive_bytes=4096)
            for reader in readers:
                reader.send(ALL)
            opened = time.monotonic()
            dripping = asyncio.create_task(drip(heads))
            outcome.p99_beside, failed = await hits(gateway.port, plan, seconds=plan.measured_seconds)
            outcome.failed += failed
            await asyncio.sleep(max(0.0, opened + plan.head_seconds + SPARE_SECONDS - time.monotonic()))
            outcome.heads_left = sum(not is_closed(head) for head in heads)
            dripping.cancel()
            while plan.waits_for_readers and time.monotonic() < started + READER_SECONDS + SPARE_SECONDS:
                if await gateway.metric("connections ") == 0:
                    break
                await asyncio.sleep(1.0)
            if plan.waits_for_readers:
                outcome.readers_left = round(await gateway.metric("connections "))
        outcome.peak_bytes = peak_rss_bytes(gateway.pid)
    return outcome


async def connect(port: int, count: int, stack: ExitStack, *, receive_bytes: int | None = None) -> list[socket.socket]:
    """So many connections, which do not block."""
    loop, made = asyncio.get_running_loop(), []
    for _ in range(count):
        one = stack.enter_context(socket.socket())
        if receive_bytes is not None:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        one.setblocking(False)
        await loop.sock_connect(one, ("127.0.0.1", port))
        made.append(one)
    return made


async def drip(heads: Sequence[socket.socket]) -> None:
    """A byte of a head to each, every second, and not to all at once."""
    for byte in ONE:
        for place, head in enumerate(heads):
            with suppress(OSError):
                head.send(bytes([byte]))
            if place % (len(heads) // DRIPS + 1) == 0:
                await asyncio.sleep(1 / DRIPS)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed."""
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


async def hits(port: int, plan: Plan, *, seconds: float) -> tuple[float, int]:
    """The 99th percentile of the time of a hit, and how many failed. The hits come from a process of their own."""
    words = [str(word) for word in (port, seconds, plan.hits_a_second)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.slow", "--hits", *words, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    p99, failed = printed.split()
    return float(p99), int(failed)


def hit(port: int, seconds: float, rate: int) -> None:
    """Ask at this rate over one connection, and print the 99th percentile and the failures."""
    prefer(1)  # what is measured is the gateway, not how slow clients on the same machine keep this one from running
    times, failed, end = [], 0, time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as connection:
        due = time.monotonic()
        while (due := due + 1 / rate) < end:
            time.sleep(max(0.0, due - time.monotonic()))
            started = time.perf_counter()
            connection.sendall(ONE)
            answer = connection.recv(1 << 20)
            times.append(time.perf_counter() - started)
            failed += not answer.startswith(b"HTTP/1.1 200 ")
    times.sort()
    print(times[math.ceil(0.99 * len(times)) - 1], failed)


# --- Too many connections.


async def few(limit: int = 256, connections: int = 600, clients: int = 20) -> Few:
    """Open more connections than there are descriptors, some silent and some idle, and see who is served."""
    outcome = Few(limit, connections)
    allow_open_files(connections + 500)
    async with Simulator() as origin, command(origin, descriptors=limit) as gateway:
        probing = asyncio.create_task(probe(gateway, outcome))
        with ExitStack() as stack:
            opened = await connect(gateway.port, connections, stack)
            for one in opened[::2]:
                with suppress(OSError):
                    one.send(ONE)
            await asyncio.sleep(1.5)
            for _ in range(clients):
                outcome.served.append(await status(gateway.port, ONE))
        probing.cancel()
        with suppress(asyncio.CancelledError):
            await probing
        outcome.shed = await gateway.metric('connections_closed_total{reason="idle"}')
    return outcome


async def probe(gateway: Gateway, outcome: Few) -> None:
    """Ask /livez on a new connection each time, as the kubelet does."""
    port = int(gateway.ops.url.rpartition(":")[2])
    while True:
        outcome.probes.append(await status(port, b"GET /livez HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"))
        await asyncio.sleep(0.02)


async def status(port: int, request: bytes) -> int:
    """Of the answer on a connection of its own; 0: there was none."""
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(3.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                return int((await reader.readexactly(12))[9:])
            finally:
                writer.transport.abort()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when something is not true that must be."""
    parser = argparse.ArgumentParser("python -m tests.chaos.slow", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--hits", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=["slow", "few"])
    flags = parser.parse_args(arguments)
    if flags.hits:
        hit(int(flags.hits[0]), float(flags.hits[1]), int(flags.hits[2]))
        return 0
    outcomes: list[Slow | Few] = []
    if flags.only in (None, "slow"):
        outcomes.append(asyncio.run(slow(Plan())))
    if flags.only in (None, "few"):
        outcomes.append(asyncio.run(few()))
    for outcome in outcomes:
        print(outcome, *(f"    BROKEN: {fault}" for fault in outcome.faults()), sep="\n")
    return int(any(outcome.faults() for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
