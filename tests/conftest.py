"""What every test may ask for: a real Valkey, empty at the start of each test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from proxy.redis_client.embedded import EmbeddedValkey
from tests.environment import forget_proxies
from tests.sizes import load_profile

pytest_plugins = ["tests.leaks", "tests.redis_client.fixtures", "tests.tracing"]

TESTS = Path(__file__).parent
UNCOVERED = ("bench", "chaos", "clients", "fuzz", "simulator", "upgrade")
"""The folders whose tests run without coverage: they run the same lines again and again, and the tracer would take much
of their time."""

LONGEST = "upgrade"
"""The folder whose two tests wait twelve seconds each."""

load_profile()
forget_proxies(os.environ)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of some folders run without coverage, and begin with the longest."""
    folder = cache(lambda path: path.relative_to(TESTS).parts[0])
    for item in items:
        if folder(item.path) in UNCOVERED:
            item.add_marker(pytest.mark.no_cover)
    items.sort(key=lambda item: folder(item.path) != LONGEST)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey_url() -> AsyncIterator[str]:
    """The URL of this test process's own Valkey; ask for `redis_url` instead, which is empty."""
    server = await EmbeddedValkey.start(timeout_seconds=30.0)
    yield server.url
    await server.stop()


@pytest_asyncio.fixture
async def redis_url(valkey_url: str) -> str:
    """The URL of a Valkey without keys, functions and loaded scripts."""
    async with Redis.from_url(valkey_url) as client:
        await client.flushall()
        await client.script_flush()
    return valkey_url
