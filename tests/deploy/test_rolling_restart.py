"""Two gateways behind one port, each replaced by SIGTERM while bots keep asking: nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from tests.deploy.load import Load
from tests.deploy.toolbox import ROOT
from tests.ports import free_ports
from tests.simulator import Fault, Simulator

PROBE_SECONDS = 0.1
SHUTDOWN_SECONDS = 3.0


@dataclass(slots=True)
class Backend:
    """A gateway in a process of its own."""

    process: asyncio.subprocess.Process
    port: int
    ops_port: int
    is_ready: bool = False

    async def probe(self) -> None:
        """Ask the readiness probe, as a balancer does."""
        try:
            await asyncio.to_thread(_get, f"http://127.0.0.1:{self.ops_port}/readyz")
            self.is_ready = True
        except (OSError, urllib.error.HTTPError):
            self.is_ready = False

    async def wait_until_ready(self) -> None:
        while not self.is_ready:
            assert self.process.returncode is None, "the gateway did not start"
            await asyncio.sleep(PROBE_SECONDS)
            await self.probe()


def _get(url: str) -> None:
    with urllib.request.urlopen(url, timeout=2) as answer:
        answer.read()


@asynccontextmanager
async def gateway(origin: str, redis_url: str, **more: str) -> AsyncIterator[Backend]:
    """A gateway from its command, killed at the end if it is still there."""
    port, ops_port = free_ports(2)
    environment = os.environ | {
        "SIDECAR_PORT": str(port),
        "SIDECAR_OPS_PORT": str(ops_port),
        "SIDECAR_UPSTREAMS": origin,
        "SIDECAR_VENUE": "spot",
        "SIDECAR_REDIS_URL": redis_url,
        "SIDECAR_SHUTDOWN_SECONDS": str(SHUTDOWN_SECONDS),
        "SIDECAR_LOG_LEVEL": "warning",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", cwd=ROOT, env=environment | more, start_new_session=True
    )
    backend = Backend(process, port, ops_port)
    try:
        yield backend
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass(slots=True)
class Balancer:
    """Hands each new connection to the next backend that is ready; takes none back from one that is not."""

    backends: list[Backend] = field(default_factory=list)
    turn: int = 0
    open: set[asyncio.Task[None]] = field(default_factory=set)

    async def watch(self) -> None:
        while True:
            await asyncio.gather(*(backend.probe() for backend in self.backends))
            await asyncio.sleep(PROBE_SECONDS)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        try:
            with contextlib.suppress(OSError, ZeroDivisionError, asyncio.CancelledError):
                await self._join(reader, writer)
        finally:
            self.open.discard(task)
            await _close(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready = [backend for backend in self.backends if backend.is_ready]
        self.turn += 1
        backend = ready[self.turn % len(ready)]
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", backend.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, to_writer))
                group.create_task(_copy(to_reader, writer))
        finally:
            await _close(to_writer)

    async def close(self) -> None:
        for task in list(self.open):
            task.cancel()
        await asyncio.gather(*self.open)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def balanced(*backends: Backend) -> AsyncIterator[tuple[Balancer, int]]:
    """A balancer on a free port in front of these."""
    balancer = Balancer(list(backends))
    server = await asyncio.start_server(balancer.connected, "127.0.0.1", 0)
    watching = asyncio.create_task(balancer.watch())
    try:
        yield balancer, server.sockets[0].getsockname()[1]
    finally:
        watching.cancel()
        server.close()
        await balancer.close()


@pytest_asyncio.fixture
async def origin() -> AsyncIterator[Simulator]:
    async with Simulator(weight_limit=1_000_000) as simulator:
        yield simulator


@asynccontextmanager
async def loading(load: Load, workers: int) -> AsyncIterator[None]:
    """The load goes on for as long as the context lasts."""
    running = asyncio.create_task(load.run(workers))
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_a_rolling_restart_under_load_fails_no_request(origin: Simulator, redis_url: str) -> None:
    async with AsyncExitStack() as stack:
        old = [await stack.enter_async_context(gateway(origin.url, redis_url)) for _ in range(2)]
        for backend in old:
            await backend.wait_until_ready()
        balancer, port = await stack.enter_async_context(balanced(*old))
        load = Load("127.0.0.1", port, pause_seconds=0.005)
        async with loading(load, workers=12):
            await asyncio.sleep(0.5)
            for leaving in old:
                new = await stack.enter_async_context(gateway(origin.url, redis_url))
                await new.wait_until_ready()
                balancer.backends.append(new)
                before = load.statuses.total()
                leaving.process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(leaving.process.wait(), 3 * SHUTDOWN_SECONDS) == 0
                assert load.statuses.total() > before + 50, "the load went on meanwhile"
                balancer.backends.remove(leaving)
            await asyncio.sleep(0.5)
        assert load.failures == []
        assert load.connections > 12, "connections moved to the new gateways"


async def test_a_gateway_that_is_killed_does_fail_requests(origin: Simulator, redis_url: str) -> None:
    """The test above is of use only if the load can see a failure."""
    async with gateway(origin.url, redis_url) as backend:
        await backend.wait_until_ready()
        async with balanced(backend) as (_, port):
            load = Load("127.0.0.1", port)
            async with loading(load, workers=4):
                await asyncio.sleep(0.3)
                backend.process.kill()
                await asyncio.sleep(0.3)
            assert load.statuses[200] > 0
            assert load.failures != []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_within_its_shutdown_seconds(origin: Simulator, redis_url: str, number: signal.Signals) -> None:
    async with gateway(origin.url, redis_url) as backend:
        await backend.wait_until_ready()
        backend.process.send_signal(number)
        assert await asyncio.wait_for(backend.process.wait(), SHUTDOWN_SECONDS + 1.0) == 0


async def test_an_origin_that_hangs_keeps_it_from_stopping_for_twice_as_long_at_most(origin: Simulator) -> None:
    """What the chart, the unit and the compose file leave it before they kill."""
    async with gateway(origin.url, "memory:") as backend:
        await backend.wait_until_ready()
        origin.set_fault(Fault.HANG)
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        writer.write(b"GET /api/v3/executionRules?symbol=BTCUSDT HTTP/1.1\r\nHost: gateway\r\n\r\n")
        await origin.wait_for(1, "/api/v3/executionRules")
        backend.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(backend.process.wait(), 2 * SHUTDOWN_SECONDS) == 0
        assert await reader.read() == b""
        await _close(writer)


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream gateways {{ {servers} keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://gateways; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
"""nginx asks the other gateway when one cannot be reached; `max_fails=0`: and comes back as soon as it can be."""


@asynccontextmanager
async def behind_nginx(ports: list[int], folder: Path) -> AsyncIterator[int]:
    """nginx on a free port in front of these."""
    (port,) = free_ports(1)
    servers = " ".join(f"server 127.0.0.1:{backend} max_fails=0;" for backend in ports)
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, servers=servers, port=port))
    process = await asyncio.create_subprocess_exec("nginx", "-p", str(folder), "-c", str(configuration))
    try:
        async with asyncio.timeout(10):
            is_up = False
            while not is_up:
                await asyncio.sleep(PROBE_SECONDS)
                is_up = await _listens(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    await _close(writer)
    return True


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not at hand; the balancer above takes its place")
async def test_a_rolling_restart_behind_nginx_fails_no_request(
    origin: Simulator, redis_url: str, tmp_path: Path
) -> None:
    ports = free_ports(2)
    async with AsyncExitStack() as stack:
        running = []
        for port in ports:
            backend = await stack.enter_async_context(gateway(origin.url, redis_url, SIDECAR_PORT=str(port)))
            await backend.wait_until_ready()
            running.append(backend)
        front = await stack.enter_async_context(behind_nginx(list(ports), tmp_path))
        load = Load("127.0.0.1", front, pause_seconds=0.005)
        async with loading(load, workers=12):
            await asyncio.sleep(0.5)
            for leaving, port in zip(running, ports, strict=True):
                before = load.statuses.total()
                leaving.process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(leaving.process.wait(), 3 * SHUTDOWN_SECONDS) == 0
                new = await stack.enter_async_context(gateway(origin.url, redis_url, SIDECAR_PORT=str(port)))
                await new.wait_until_ready()
                await asyncio.sleep(0.5)
                assert load.statuses.total() > before + 50, "the load went on meanwhile"
        assert load.failures == []
