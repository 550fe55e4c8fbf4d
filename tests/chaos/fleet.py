"""Gateways as processes of their own, or in this process, and what they tell of themselves.

Owns: `Replica`, `fleet`, `hosted`. Must not know: Redis, what is asked, what any test expects.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from proxy.app import Application, run_gateway
from tests.environment import settings_of

START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_REMEMBERED_LINES = 200


@dataclass(frozen=True, slots=True)
class Series:
    """What one /metrics page says."""

    text: str

    def sum(self, name: str, **labels: str) -> float:
        """The sum of a metric over all series with these labels; 0 where there is none."""
        return sum(self.values(name, **labels))

    def values(self, name: str, **labels: str) -> Iterator[float]:
        """Its series with these labels."""
        lines = [line for line in self.text.splitlines() if line.startswith(f"binance_sidecar_{name}")]
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                if sample.name == f"binance_sidecar_{name}" and labels.items() <= sample.labels.items():
                    yield sample.value


class Gateway(Protocol):
    """A gateway that serves, wherever it runs."""

    @property
    def url(self) -> str:
        """Where it serves."""

    async def series(self) -> Series:
        """Its metrics now."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """A gateway in this process."""

    app: Application

    @property
    def url(self) -> str:
        """Where it serves."""
        return self.app.url

    async def series(self) -> Series:
        """Its metrics now."""
        return Series(self.app.metrics.exposition().decode())


@dataclass(slots=True)
class Replica:
    """One gateway process that serves."""

    process: asyncio.subprocess.Process
    session: aiohttp.ClientSession
    url: str = ""
    log: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_LINES))
    listening: asyncio.Event = field(default_factory=asyncio.Event)

    async def series(self) -> Series:
        """Its metrics now."""
        async with self.session.get(f"{self.url}/metrics") as answer:
            return Series(await answer.text())

    async def probe(self, path: str) -> int:
        """The status of a probe."""
        async with self.session.get(f"{self.url}{path}") as answer:
            return answer.status

    async def kill(self) -> None:
        """End it at once, as a crash would: SIGKILL."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def read_log(self) -> None:
        """Take what it writes until its end, so that it never waits for a reader."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            text = line.decode(errors="replace").rstrip()
            self.log.append(text)
            if '"listening"' in text:
                self.url = json.loads(text)["url"]
                self.listening.set()
        self.listening.set()  # in vain, but nobody waits for ever


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """That of this process, with these settings of the gateway and no others."""
    around = {name: value for name, value in os.environ.items() if not name.upper().startswith("SIDECAR_")}
    return around | {f"SIDECAR_{name.upper()}": value for name, value in settings.items()}


@asynccontextmanager
async def replica(
    session: aiohttp.ClientSession,
    upstream: str,
    redis_url: str,
    *,
    folder: Path | None = None,
    module: str = "proxy",
    **changed: str,
) -> AsyncIterator[Replica]:
    """One gateway on a free port that asks nothing by itself; ready when the context begins, gone after it.

    `folder`: where its package is, if not here. `module`: its command.
    """
    chosen = _settings(upstream, redis_url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env=environment(chosen | changed),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    made = Replica(process, session)
    reader = asyncio.create_task(made.read_log())
    try:
        async with asyncio.timeout(START_SECONDS):
            await made.listening.wait()
            assert made.url, f"the gateway did not start: {list(made.log)}"
            while await made.probe("/readyz") != 200:  # noqa: ASYNC110 - seen from outside there is no event
                await asyncio.sleep(0.02)
        yield made
    finally:
        await _stop(process)
        await reader


def _settings(upstream: str, redis_url: str) -> dict[str, str]:
    return {
        "port": "0",
        "upstreams": upstream,
        "venue": "spot",
        "keep_warm": "never",
        "redis_url": redis_url,
        "redis_seconds": "2",
        "shutdown_seconds": "0",
    }


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@asynccontextmanager
async def fleet(count: int, upstream: str, redis_url: str, **changed: str) -> AsyncIterator[list[Replica]]:
    """So many gateways with the same settings, started at once."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        contexts = [replica(session, upstream, redis_url, folder=None, **changed) for _ in range(count)]
        started = await asyncio.gather(*(context.__aenter__() for context in contexts), return_exceptions=True)
        try:
            failures = [result for result in started if isinstance(result, BaseException)]
            if failures:
                raise failures[0]
            yield [result for result in started if isinstance(result, Replica)]
        finally:
            alive = [c for c, result in zip(contexts, started, strict=True) if isinstance(result, Replica)]
            await asyncio.gather(*(context.__aexit__(None, None, None) for context in alive))


@asynccontextmanager
async def hosted(count: int, upstream: str, redis_url: str, **changed: str) -> AsyncIterator[list[Hosted]]:
    """So many gateways in this process: they start in no time, and share its one core."""
    chosen: dict[str, Any] = _settings(upstream, redis_url) | changed
    async with AsyncExitStack() as stack:
        contexts = (run_gateway(settings_of(**chosen)) for _ in range(count))
        yield [Hosted(await stack.enter_async_context(context)) for context in contexts]
