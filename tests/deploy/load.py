"""A small load: some workers that keep their connections and ask one request after the other, as bots do.

Owns: the bytes on the wire and the record of every answer that was not good. Must not know: who answers. It repeats
nothing: a connection that breaks while an answer is owed is a failure. `python -m tests.deploy.load URL` asks until
it is stopped, for the demonstration.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

INFO = "/api/v3/exchangeInfo"
TARGETS = (
    f"{INFO}?symbol=BTCUSDT",
    f"{INFO}?symbol=ETHUSDT&showPermissionSets=false",
    f'{INFO}?symbols=["BTCUSDT","ETHUSDT"]',
    f"{INFO}?permissions=SPOT",
    "/api/v3/time",
    "/api/v3/ping",
)
MARKET_TARGETS = (
    "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=100",
    "/api/v3/ticker/24hr?symbol=BTCUSDT",
    "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=100",
    "/fapi/v1/premiumIndex",
    "/dapi/v1/depth?symbol=BTCUSD_PERP&limit=20",
    "/eapi/v1/mark",
)
"""What the bots of the demonstration ask besides: something of each API."""


@dataclass(slots=True)
class Load:
    """What is asked, and what came of it."""

    host: str
    port: int
    targets: tuple[str, ...] = TARGETS
    good: frozenset[int] = frozenset({200})
    pause_seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    connections: int = 0

    async def run(self, workers: int) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._worker(number))

    async def _worker(self, number: int) -> None:
        first = number % len(self.targets)
        targets = itertools.cycle(self.targets[first:] + self.targets[:first])
        while True:
            try:
                await self._connection(targets)
            except (OSError, EOFError, ValueError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(0.05)

    async def _connection(self, targets: Iterator[str]) -> None:
        """One connection, until an answer says that it is the last one."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        self.connections += 1
        try:
            is_open = True
            while is_open:
                target = next(targets)
                writer.write(f"GET {target} HTTP/1.1\r\nHost: {self.host}\r\nAccept-Encoding: gzip\r\n\r\n".encode())
                is_open = await self._answer(reader, target)
                await asyncio.sleep(self.pause_seconds)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, target: str) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        await reader.readexactly(int(headers["content-length"]))
        self.statuses[status] += 1
        if status not in self.good:
            self.failures.append(f"{target}: {status}")
        return headers.get("connection", "").lower() != "close"


async def _forever(url: str) -> None:
    parts = urlsplit(url)
    load = Load(
        str(parts.hostname),
        parts.port or 80,
        targets=TARGETS + MARKET_TARGETS,
        good=frozenset(range(200, 600)),
        pause_seconds=0.2,
    )
    running = asyncio.create_task(load.run(4))
    while True:
        await asyncio.sleep(10)
        print(f"load: {dict(load.statuses)}, {len(load.failures)} broken", flush=True)
        assert not running.done()


if __name__ == "__main__":
    asyncio.run(_forever(sys.argv[1]))
