"""What is remembered of requests: enough to read the next one as aiohttp would, and no secret."""

from __future__ import annotations

import gc

import pytest

from tests.gateway.harness import stage
from tests.server.raw import get, raw

KEYS = ("k" * 64, "q" * 64)


def key_line(name: str, key: str) -> str:
    return f"{name}: {key}"


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["X-MBX-APIKEY", "x-mbx-apikey"])
async def test_one_head_serves_all_keys_and_none_is_kept(name: str) -> None:
    async with stage(forward="all") as on, raw(on.app) as client:
        for key in (*KEYS, *KEYS):
            for target in ("/api/v3/account?timestamp=1&signature=00", "/api/v3/klines?symbol=BTCUSDT&interval=1m"):
                await client.ask(get(target, key_line(name, key)))
        server = next(found for found in gc.get_objects() if type(found).__name__ == "ForwardPathTable")
        assert len(server.heads._known) == 1
        kept = repr([server.heads._known, server.known]).lower()
        assert not any(key in kept for key in KEYS)
        assert "signature" not in kept


@pytest.mark.parametrize("name", ["Authorization", "Proxy-Authorization", "Cookie"])
async def test_no_head_with_another_secret_is_kept(name: str) -> None:
    async with stage(forward="all") as on, raw(on.app) as client:
        for _ in range(3):
            await client.ask(get("/api/v3/klines?symbol=BTCUSDT&interval=1m", f"{name}: {KEYS[0]}"))
        server = next(found for found in gc.get_objects() if type(found).__name__ == "ForwardPathTable")
        assert not server.heads._known
        assert not server.known
