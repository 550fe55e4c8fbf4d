"""A gateway that is killed in a ban, and started again, has not forgotten it."""

from __future__ import annotations

import stat
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.chaos.fleet import replica
from tests.ports import free_ports
from tests.simulator import Fault, Simulator
from tests.sizes import sized

TIME = "/api/v3/time"
LIVES = sized(quick=2, usual=2, long=5)


@pytest.mark.parametrize("redis", ["memory:", "embedded:", "away"])
async def test_restarts_in_one_ban_are_one_request(redis: str, tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_ports(1)[0]}" if redis == "away" else redis
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(Simulator())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        origin.set_fault(Fault.TEAPOT_418, retry_after=300)
        began = time.monotonic()
        for _ in range(LIVES):
            async with replica(session, origin.url, url, state_dir=str(tmp_path), redis_seconds="0.25") as one:
                async with session.get(f"{one.url}{TIME}") as answer:
                    assert answer.status == 418
                    assert 290 - (time.monotonic() - began) < int(answer.headers["Retry-After"]) < 400
                await one.kill()
        assert origin.count() == 1
    (file,) = tmp_path.iterdir()
    assert file.name == "spot+default+spot.block.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_with_redis_alone_a_killed_gateway_asks_nothing_for_the_rest_of_a_ban(redis_url: str) -> None:
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(Simulator())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        origin.set_fault(Fault.TEAPOT_418, retry_after=300)
        for _ in range(LIVES):
            async with replica(session, origin.url, redis_url) as one:
                async with session.get(f"{one.url}{TIME}") as answer:
                    assert answer.status == 418
                await one.kill()
        assert origin.count() == 1


async def test_a_folder_that_cannot_be_used_is_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with Simulator() as origin, aiohttp.ClientSession() as session:
        with pytest.raises(AssertionError, match="SIDECAR_STATE_DIR"):
            async with replica(session, origin.url, "memory:", state_dir=str(tmp_path / "file")):
                pass
