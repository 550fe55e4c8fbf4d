"""What each fault of the origin becomes in a client: the class of its exception, straight and through the gateway.

Owns: one process a client, an origin and a gateway for each question, which exceptions may differ, the table. Must not
know: how a client is used.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.environment import ROOT, client_environment
from tests.clients.failures import TIMEOUT_SECONDS, FailingCall, Raised, question
from tests.gateway.harness import gateway
from tests.simulator import Document, Fault, Simulator

FAILING = (
    ("fail_ccxt", "sync"),
    ("fail_ccxt", "async"),
    ("fail_python_binance", "sync"),
    ("fail_python_binance", "async"),
    ("fail_binance_sdk_spot", ""),
)
DEADLINE_SECONDS = TIMEOUT_SECONDS * 0.8
"""Of the gateway: the same part of the clients' time-out as by default."""
ANSWER_SECONDS = 30.0
OPTIONS: dict[Fault, dict[str, Any]] = {
    Fault.SLOW: {"delay_seconds": 60.0},
    Fault.TOO_MANY_429: {"retry_after": 7},
    Fault.TEAPOT_418: {"retry_after": 90},
}
NOTHING_CAME = frozenset({Fault.DOWN, Fault.RESET, Fault.SLOW, Fault.HANG})
"""Straight, these are exceptions of the client's HTTP library, which no answer raises. So the client may also raise
what its users catch for a failure of the network or of Binance."""
BROAD: Mapping[str, str] = {
    "ccxt": "NetworkError",
    "python-binance": "BinanceAPIException",
    "binance-sdk-spot": "Error",
}
"""The class that the users of a client catch for it."""
UNUSABLE = frozenset({Fault.TRUNCATED, Fault.GARBAGE, Fault.INVALID_JSON, Fault.ERROR_BODY})
"""What came cannot be passed on. So the client may also raise what it raises for Binance's own 502 with -1001."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One fault, one call and one client: the exception straight and through the gateway."""

    fault: Fault
    call: FailingCall
    straight: Raised
    through: Raised

    @property
    def client(self) -> str:
        return self.straight.client

    @property
    def is_same(self) -> bool:
        return self.straight.name == self.through.name

    @property
    def common(self) -> str | None:
        """The narrowest class whose `except` catches both; None if one of them is no error."""
        return next((name for name in self.straight.classes if name in self.through.classes), None)


async def compare(python: Path, document: Document) -> list[Compared]:
    """Every fault, call and client. Clients are asked side by side: most of the time they wait."""
    rows = await asyncio.gather(*(_compare_client(python, module, manner, document) for module, manner in FAILING))
    return [one for row in rows for one in row]


async def _compare_client(python: Path, module: str, manner: str, document: Document) -> list[Compared]:
    async with _failing(python, module, manner) as process:
        return [await _compare_once(process, fault, call, document) for fault in Fault for call in FailingCall]


async def _compare_once(
    process: asyncio.subprocess.Process, fault: Fault, call: FailingCall, document: Document
) -> Compared:
    async with Simulator(document=document) as origin:
        origin.set_fault(fault, **OPTIONS.get(fault, {}))
        straight = await _ask(process, call, origin.url)
    async with (
        Simulator(document=document) as origin,
        gateway(origin, upstream_seconds=DEADLINE_SECONDS, upstream_connect_seconds=DEADLINE_SECONDS) as app,
    ):
        origin.set_fault(fault, **OPTIONS.get(fault, {}))
        through = await _ask(process, call, app.url)
    return Compared(fault, call, straight, through)


@asynccontextmanager
async def _failing(python: Path, module: str, manner: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(python, "-m", f"tests.clients.{module}", manner),
        cwd=ROOT,
        env=client_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _ask(process: asyncio.subprocess.Process, call: FailingCall, url: str) -> Raised:
    """Raises RuntimeError if the client ends or does not answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{question(call, url)}\n".encode())
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while line := await process.stdout.readline():
                try:
                    return Raised.from_line(line.decode())
                except ValueError:  # clients print too
                    continue
    except TimeoutError as error:
        raise RuntimeError(f"no answer from a client within {ANSWER_SECONDS:.0f} s") from error
    raise RuntimeError("a client ended before it had answered")


def table(compared: Sequence[Compared]) -> Iterable[str]:
    """A row for each fault and call, a column for each client; two classes where they differ, and what catches both."""
    clients = list(dict.fromkeys(one.client for one in compared))
    cells = {(one.fault, one.call, one.client): _cell(one) for one in compared}
    rows = [("fault", "call", *clients)]
    for fault, call in dict.fromkeys((one.fault, one.call) for one in compared):
        rows.append((fault.value, call.value, *(cells[fault, call, client] for client in clients)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _cell(one: Compared) -> str:
    if one.is_same:
        return one.straight.name
    both = f"{one.straight.name} > {one.through.name}"
    return both if one.common is None else f"{both} ({one.common})"


def differences(compared: Sequence[Compared]) -> Iterable[str]:
    """A line for each exception through the gateway that the client's users do not expect."""
    own_502 = {(one.call, one.client): one.straight for one in compared if one.fault is Fault.BAD_GATEWAY_502}
    for one in compared:
        if not (one.is_same or _will_do(one, own_502.get((one.call, one.client)))):
            what = f"{one.client}, {one.fault.value}, {one.call.value}"
            yield f"{what}: {one.straight.name} straight, {one.through.name} through the gateway"


def _will_do(one: Compared, own_502: Raised | None) -> bool:
    """Whether an exception that differs is expected. `own_502`: what the client raises straight for that answer."""
    if one.fault in NOTHING_CAME:
        return BROAD[one.client.partition(" ")[0]] in one.through.classes
    return one.fault in UNUSABLE and own_502 is not None and one.through.name == own_502.name
