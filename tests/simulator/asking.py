"""A raw client for the tests of the stand-in: bytes go out as they are given. Must not know answers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from tests.simulator import ApiName, Simulator


class FakeClock:
    """Seconds since the epoch, moved by the test; it starts ten seconds into both windows."""

    def __init__(self) -> None:
        self.now = 1_790_000_100.0 + 10.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class Received:
    """An answer as a raw client sees it. Header names and values are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def names(self) -> list[str]:
        return [row["symbol"] for row in self.json["symbols"]]


async def exchange(simulator: Simulator, request: bytes, host: ApiName | None = None) -> bytes:
    """Send bytes, read to the end of the connection."""
    port = simulator.port if host is None else int(simulator.url_of(host).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.transport.abort()


async def get(
    simulator: Simulator,
    target: str,
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    body: bytes = b"",
    host: ApiName | None = None,
) -> Received:
    """One request on its own connection. `host`: the API whose own address is asked."""
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return parse(await exchange(simulator, "\r\n".join([*lines, "", ""]).encode() + body, host))


def parse(raw: bytes) -> Received:
    """The bytes of one answer."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Received(int(first.split()[1]), headers, body)
