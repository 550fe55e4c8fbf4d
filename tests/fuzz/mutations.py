"""A gateway in this process whose origin answers in mutated ways, and the watch over it.

Owns: the origin, the loop that measures itself, what is checked after each answer. Must not know: how an answer is
mutated.
"""

from __future__ import annotations

import asyncio
import logging
import random
import selectors
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from unittest import mock

from proxy.app import Application
from proxy.cache.local import LocalCache
from proxy.core.messages import Entry
from proxy.core.query.upstream_query import UpstreamQuery
from tests.fuzz.answers import Asked, answers, choose, fault, is_valid, mutated
from tests.fuzz.corpus import Found
from tests.gateway.harness import Answer, Client, Clock, client, gateway

MOST_STALL_SECONDS = 0.050
LIFE = 200
"""Answers to one gateway: limits that it has learned from one of them may keep it from asking again."""
UPSTREAM_SECONDS = 0.15
_DAYS_SECONDS = 30 * 86400.0
"""After which nothing that was stored, refused or blocked still counts."""


class Watched(selectors.DefaultSelector):
    """Measures what one turn of the loop takes of this thread's time: other processes do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.longest_seconds = 0.0
        self._began = time.thread_time()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """One turn has ended."""
        self.longest_seconds = max(self.longest_seconds, time.thread_time() - self._began)
        events = super().select(timeout)
        self._began = time.thread_time()
        return events


@dataclass(slots=True)
class Origin:
    """Answers every request with the same bytes, and ends the connection where their end is not told."""

    url: str = ""
    text: bytes = b""
    asked: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"CONNECT"):
                    break
                self.asked += 1
                writer.write(self.text)
                await writer.drain()
                break
        writer.close()


@dataclass(slots=True)
class Run:
    """What came of all answers."""

    chance: random.Random
    statuses: Counter[int] = field(default_factory=Counter)
    sent: int = 0
    reached: int = 0
    """Answers that the gateway asked for."""
    stored: int = 0
    stall_seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    async def live(self, count: int, selector: Watched) -> None:
        """One gateway, and so many answers. Raises Found."""
        clock, origin = Clock(), Origin()
        server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
        origin.url = url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        chosen = {
            "usd_futures_upstreams": (url,),
            "forward": "all",
            "market_fresh_seconds": 5.0,
            "upstream_seconds": UPSTREAM_SECONDS,
            "client_ratio": 1.0,
        }
        stored: list[tuple[str, Entry]] = []
        try:
            async with (
                gateway(origin, clock, **chosen) as app,
                client(app.url) as asking,
                _storing(stored),
            ):
                asyncio.get_running_loop().set_exception_handler(self._loop_complains)
                for _ in range(count):
                    stored.clear()
                    await self._one(app, asking, origin, clock, stored, selector)
            self.reached += origin.asked
        finally:
            server.close()
            await server.wait_closed()

    async def _one(
        self,
        app: Application,
        asking: Client,
        origin: Origin,
        clock: Clock,
        stored: list[tuple[str, Entry]],
        selector: Watched,
    ) -> None:
        clock.now = float(int(clock.now) + _DAYS_SECONDS)
        asked = choose(answers(int(clock.now * 1000)), self.chance)
        more = {"Date": formatdate(clock.now, usegmt=True), "X-MBX-USED-WEIGHT-1M": "7", "X-MBX-UUID": "u"}
        origin.text = mutated(asked, self.chance, more)
        seconds, answer = await _timed(app, asking, asked, selector)
        self.sent += 1
        self.statuses[answer.status] += 1
        self.stored += len(stored)
        found = fault(asked, answer.status, answer.body) or _invalid(asked, stored) or "; ".join(self.complaints)
        if seconds > MOST_STALL_SECONDS:  # perhaps the garbage collector's: what an answer takes it takes again
            clock.now += _DAYS_SECONDS
            again, _ = await _timed(app, asking, asked, selector)
            seconds = min(seconds, again)
        if seconds > MOST_STALL_SECONDS:
            found = f"a turn of the loop took {seconds * 1000:.0f} ms"
        self.stall_seconds = max(self.stall_seconds, seconds)
        if found:
            raise Found(f"{asked.method} {asked.target}: {found}\n  {origin.text!r}")

    def report(self) -> str:
        """For a person."""
        counts = ", ".join(f"{status}: {number:,}" for status, number in sorted(self.statuses.items()))
        return (
            f"{self.sent:,} mutated answers, {self.reached:,} asked for, {self.stored:,} stored; clients got {counts}\n"
            f"the longest turn of the loop took {self.stall_seconds * 1000:.1f} ms"
        )

    def _loop_complains(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")


async def _timed(app: Application, asking: Client, asked: Asked, selector: Watched) -> tuple[float, Answer]:
    """The longest turn of the loop until an answer is there and all work for it is done, and the answer."""
    selector.longest_seconds = 0.0
    headers = {"X-MBX-APIKEY": "key"} if asked.method == "POST" else {}
    answer = await asking.ask(asked.target, asked.method, **headers)
    await app.fills.drain(5.0)
    return selector.longest_seconds, answer


def _invalid(asked: Asked, stored: list[tuple[str, Entry]]) -> str:
    """The first entry that may not be stored."""
    for key, entry in stored:
        rule: Callable[[object], bool] = (lambda _: True) if asked.is_market else asked.is_valid
        if entry.status == 200 and not is_valid(rule, entry.body):
            return f"stored as {key}: {entry.body[:200]!r}"
        if entry.status not in range(400, 500) and entry.status != 200:
            return f"stored as {key}: {entry.status}"
    return ""


class _Errors(logging.Handler):
    """Errors in the log."""

    def __init__(self, run: Run) -> None:
        super().__init__(logging.ERROR)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        self._run.complaints.append(f"in the log: {record.getMessage()} {record.exc_info}")


@asynccontextmanager
async def _storing(stored: list[tuple[str, Entry]]) -> AsyncIterator[None]:
    """See what is stored: what a replica shares it has stored itself before."""
    put = LocalCache.put

    async def seen(self: LocalCache, query: UpstreamQuery, entry: Entry, **more: Any) -> None:
        await put(self, query, entry, **more)
        stored.append((query.key, entry))

    with mock.patch.object(LocalCache, "put", seen):
        yield


def fuzz_answers(count: int, seed: int) -> Run:
    """So many mutated answers. Raises Found."""
    run, selector = Run(random.Random(seed)), Watched()
    errors = _Errors(run)
    logging.getLogger().addHandler(errors)
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            while run.sent < count:
                runner.run(run.live(min(LIFE, count - run.sent), selector))
    finally:
        logging.getLogger().removeHandler(errors)
    return run
