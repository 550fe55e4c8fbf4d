"""The real command for ordeals of its listeners, and connections to it that do nothing by themselves.

Owns: its settings, its start and end. Must not know: what clients do to it.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.children import die_with_parent
from tests.environment import without_settings
from tests.gateway.harness import Client, client
from tests.ports import free_ports
from tests.simulator import Simulator


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
