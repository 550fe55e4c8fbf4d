"""Who may import whom: the import-linter contracts of pyproject.toml."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter import cli

from proxy.event_log import LOGGER
from proxy.libraries.deferred import defer
from tests.environment import without_settings

ON_NEED = (
    "aiohttp.client",
    "aiohttp.connector",
    "aiohttp.web",
    "argparse",
    "http.server",
    "prometheus_client.exposition",
    "proxy.commands",
    "proxy.configuration.flags",
    "proxy.core.openapi",
    "proxy.page.html",
    "proxy.redis_client.embedded",
    "proxy.redis_client.cluster",
    "proxy.redis_client.sentinel",
    "pydantic",
    "redis.asyncio.cluster",
    "redis.asyncio.sentinel",
    "redis.cluster",
    "structlog",
    "unittest",
    "xml",
)
"""What `serve` must not import until somebody needs it: it takes memory and delays the start."""
MOST_DATACLASSES = 10
"""Each takes about 1.5 ms and 13 kB when it is imported; a struct of msgspec takes a twentieth of that."""
SERVED = """
import asyncio, dataclasses, inspect, sys
import proxy.__main__
from proxy import settings
from proxy.app import run_gateway

async def serve():
    async with run_gateway(settings.load([])) as app:
        reader, writer = await asyncio.open_connection(*app.addresses[0])
        writer.write(b"GET /readyz HTTP/1.1\\r\\nHost: a\\r\\n\\r\\nGET /api/v3/time HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
        answered = await reader.readuntil(b"502 Bad Gateway")
        writer.close()

asyncio.run(serve())
ours = [vars(module) for name, module in sys.modules.items() if name.startswith("proxy.")]
classes = [one for names in ours for one in names.values() if inspect.isclass(one)]
found = {one for one in classes if "__dataclass_fields__" in vars(one)}
print(*sys.modules)
print(*(one.__qualname__ for one in found))
"""
PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def test_every_module_keeps_to_the_import_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.lint_imports(config_filename=str(PYPROJECT), no_cache=True)
    logging.getLogger(LOGGER).disabled = False  # import-linter disables every logger that it finds

    assert status == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_what_serves_imports_only_what_it_needs(redis_url: str) -> None:
    chosen = {"PORT": "0", "REDIS_URL": redis_url, "UPSTREAMS": "http://127.0.0.1:1"}
    environment = without_settings(os.environ) | {f"SIDECAR_{name}": value for name, value in chosen.items()}
    command = [sys.executable, "-c", SERVED]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    modules, dataclasses = (line.split() for line in printed.splitlines()[-2:])

    assert set(ON_NEED) & set(modules) == set()
    assert {"proxy.app", "redis.asyncio.client"} <= set(modules)
    assert len(dataclasses) <= MOST_DATACLASSES, sorted(dataclasses)


DEFERRED = """
import sys, proxy
import aiohttp, redis, redis.asyncio, prometheus_client
assert not {"aiohttp.client", "redis.client", "prometheus_client.metrics"} & set(sys.modules)
assert not hasattr(aiohttp, "__wrapped__") and "aiohttp.client" not in sys.modules
from aiohttp import hdrs
from redis import exceptions
assert "aiohttp.client" not in sys.modules and "redis.client" not in sys.modules
assert aiohttp.ClientSession is sys.modules["aiohttp.client"].ClientSession
assert aiohttp.hdrs is hdrs and aiohttp.__version__ in aiohttp.http.SERVER_SOFTWARE
from redis import Redis
assert redis.__version__ and redis.exceptions is exceptions and redis.asyncio.RedisCluster
from prometheus_client import generate_latest
try:
    redis.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise AssertionError
"""


def test_a_deferred_package_is_all_there_for_who_asks() -> None:
    subprocess.run([sys.executable, "-c", DEFERRED], check=True)


def test_what_was_imported_before_stays_as_it_is() -> None:
    told = "import redis; before = vars(redis)['Redis']; import proxy, redis; assert vars(redis)['Redis'] is before"
    subprocess.run([sys.executable, "-c", told], check=True)


def test_there_is_no_waiting_for_a_package_that_does_not_exist() -> None:
    with pytest.raises(ModuleNotFoundError):
        defer("no_such_package")
