"""Who may import whom: the import-linter contracts of pyproject.toml."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter import cli

from proxy.event_log import LOGGER

ON_NEED = (
    "proxy.commands",
    "proxy.configuration.flags",
    "proxy.core.openapi",
    "proxy.page.html",
    "proxy.redis_client.embedded",
    "pydantic",
    "structlog",
    "unittest",
    "xml",
)
"""What `serve` must not import until somebody needs it: it takes memory and delays the start."""
MOST_DATACLASSES = 10
"""Each takes about 1.5 ms and 13 kB when it is imported; a struct of msgspec takes a twentieth of that."""
ALL_CLASSES = """
import dataclasses, inspect, sys
import proxy.__main__
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


def test_a_plain_start_imports_only_what_it_needs() -> None:
    printed = subprocess.run([sys.executable, "-c", ALL_CLASSES], capture_output=True, text=True, check=True).stdout
    modules, dataclasses = (line.split() for line in printed.splitlines())

    assert set(ON_NEED) & set(modules) == set()
    assert {"proxy.app", "redis"} <= set(modules)
    assert len(dataclasses) <= MOST_DATACLASSES, sorted(dataclasses)


def test_importing_the_server_leaves_the_contexts_of_everybody_else_as_they_were() -> None:
    told = """
import ssl
before = ssl.create_default_context
import proxy.server, aiohttp
assert ssl.create_default_context is before
assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED
"""
    subprocess.run([sys.executable, "-c", told], check=True)
