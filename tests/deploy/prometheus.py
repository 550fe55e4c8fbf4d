"""A real Prometheus on this machine, scraping gateways of a test.

Owns: its process, its configuration made from the one in deploy/, its answers. Must not know: what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from tests.deploy.toolbox import DEPLOY, tool
from tests.ports import free_ports

START_SECONDS = 20.0
T = TypeVar("T")


async def until(ask: Callable[[], Awaitable[T]], *, within: float) -> T:
    """Ask again and again; the first answer that is true. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while True:
            answer = await ask()
            if answer:
                return answer
            await asyncio.sleep(0.2)


@dataclass(slots=True)
class Prometheus:
    """Its HTTP interface."""

    url: str
    session: aiohttp.ClientSession

    async def ask(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query. Fails the test when the expression is not PromQL."""
        async with self.session.get(f"{self.url}/api/v1/query", params={"query": expression}) as answer:
            body = await answer.json()
            assert body["status"] == "success", f"{expression}\n{body}"
            series: list[dict[str, Any]] = body["data"]["result"]
            return series

    async def value(self, expression: str) -> float:
        """The value of the only series."""
        (series,) = await self.ask(expression)
        return float(series["value"][1])

    async def wait_for(self, expression: str, *, within: float = 20.0) -> list[dict[str, Any]]:
        """The first series that the expression returns."""
        return await until(partial(self.ask, expression), within=within)

    async def wait_until_gone(self, expression: str, *, within: float = 20.0) -> None:
        """Until it returns nothing."""

        async def is_gone() -> bool:
            return not await self.ask(expression)

        await until(is_gone, within=within)

    async def is_ready(self) -> bool:
        try:
            async with self.session.get(f"{self.url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


def _configuration(targets: Sequence[str]) -> str:
    """That of deploy/, with other targets and a quicker pace."""
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    for old, new in (
        ('"gateway:9090"', ", ".join(f'"{target}"' for target in targets)),
        ("interval: 15s", "interval: 1s"),
        ("rules/*.yml", f"{DEPLOY}/prometheus/rules/*.yml"),
    ):
        assert old in text
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def prometheus(folder: Path, targets: Sequence[str]) -> AsyncIterator[Prometheus]:
    """A Prometheus with the rules of deploy/ that scrapes these addresses every second."""
    configuration = folder / "prometheus.yml"
    configuration.write_text(_configuration(targets))
    (port,) = free_ports(1)
    arguments = (
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(tool("prometheus"), *arguments, stdout=log, stderr=log)
        try:
            async with aiohttp.ClientSession() as session:
                running = Prometheus(f"http://127.0.0.1:{port}", session)
                await until(running.is_ready, within=START_SECONDS)
                yield running
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 20)
