"""`python -m tests.chaos.slow`: slow clients, against the real command, and what others notice.

Owns: the ordeal, its figures, and what must be true of them. Must not know: how the gateway keeps its bounds.

Each of the slow clients sends a byte of a head a second, or takes nothing of the full document, while others ask for
what is stored. These others run before all other programs, so that they tell of the gateway alone.
"""

from __future__ import annotations

import asyncio
import math
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from tests.bench.children import peak_rss_bytes
from tests.chaos.hits import ONE
from tests.chaos.listening import command, connect
from tests.environment import allow_open_files
from tests.gateway.harness import INFO
from tests.simulator import Simulator, generate_document

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
        sys.executable, "-m", "tests.chaos.hits", *words, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    p99, failed = printed.split()
    return float(p99), int(failed)


def main() -> int:
    """Exit status 0, or 1 when something is not true that must be."""
    outcome = asyncio.run(slow(Plan()))
    print(outcome, *(f"    BROKEN: {fault}" for fault in outcome.faults()), sep="\n")
    return int(bool(outcome.faults()))


if __name__ == "__main__":
    sys.exit(main())
