"""A client that asks at a steady rate, whatever the answers do.

Owns: connections, the schedule, the latencies. A latency counts from the moment at which the request was due, so that a
stall is charged to everybody who waited through it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

import orjson

from tests.bench.children import prefer

CONNECTIONS = 32
_PACE_SECONDS = 0.001
_LAST_SECONDS = 2.0
"""How long the last answers may take."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of the hits, in milliseconds."""

    count: int
    p50: float
    p99: float
    p999: float
    longest: float
    failed: int


async def ask(
    host: str, port: int, *, rate: float, seconds: float, symbols: int, ready: Callable[[], None]
) -> Latencies:
    """Ask for so many different symbols in turn, `rate` times a second; `ready` is called when it begins."""
    names = await _names(host, port)
    requests = [_request(f"?symbol={quote(names[place * len(names) // symbols])}") for place in range(symbols)]
    gc.disable()
    prefer(2)
    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(_Connection, host, port))[1] for _ in range(CONNECTIONS)]
    ready()
    total = int(rate * seconds)
    await _keep_pace(connections, requests, total=total, rate=rate)
    taken = sorted(latency for connection in connections for latency in connection.taken)
    failed = total - len(taken) + sum(connection.failed for connection in connections)
    for connection in connections:
        connection.close()
    p50, p99, p999, longest = (quantile(taken, share) * 1e3 for share in (0.5, 0.99, 0.999, 1.0))
    return Latencies(len(taken), p50, p99, p999, longest, failed)


async def _keep_pace(connections: list[_Connection], requests: list[bytes], *, total: int, rate: float) -> None:
    started, sent = time.perf_counter(), 0
    while sent < total:
        due = min(total, int((time.perf_counter() - started) * rate))
        for number in range(sent, due):
            connection = connections[number % len(connections)]
            connection.ask(requests[number % len(requests)], started + number / rate)
        sent = max(sent, due)
        await asyncio.sleep(_PACE_SECONDS)
    await asyncio.sleep(_LAST_SECONDS)


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
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def ask(self, request: bytes, due: float) -> None:
        self._waiting.append((request, due))
        if len(self._waiting) == 1:
            self._transport.write(request)

    def close(self) -> None:
        self._transport.close()

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
        _, due = self._waiting.popleft()
        self.taken.append(time.perf_counter() - due)
        if self._waiting:
            self._transport.write(self._waiting[0][0])


def quantile(ordered: list[float], share: float) -> float:
    """The value below which this share of all lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
