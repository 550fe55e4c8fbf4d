"""Real libraries with their fixed https://api.binance.com reach the gateway by name and a private authority."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from proxy.app import run_gateway
from proxy.configuration.addresses import addresses
from tests.clients.environment import HERE, QUICK, client_environment
from tests.gateway.harness import settings
from tests.server.certificates import Authority
from tests.simulator import Simulator

PROGRAM = HERE / "fixed_names.py"
PYTHON = QUICK.folder / "bin" / "python"
NAME = "api.binance.com"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PYTHON.exists(), reason="make clients installs the libraries")]


@pytest.mark.parametrize("library", ["ccxt", "binance-connector"])
async def test_a_library_with_a_fixed_name_is_served_and_no_loop_arises(tmp_path: Path, library: str) -> None:
    authority = Authority(tmp_path)
    async with Simulator() as origin:
        fixed = addresses().read(f"{NAME}=127.0.0.1:{origin.url.rpartition(':')[2]}")
        chosen = settings(
            origin, upstreams=(f"http://{NAME}",), upstream_addresses=fixed, **authority.issue(NAME).settings()
        )
        async with run_gateway(chosen) as app:
            host, port = app.addresses[0]
            answer, error = await ask(authority.file, host, str(port), library)
            assert answer in origin.document.symbols, error
            refused, error = await ask(Authority(tmp_path, "another").file, host, str(port), library)
            assert refused is None
            assert "CERTIFICATE_VERIFY_FAILED" in error
        assert origin.count() == 1


async def ask(trusted: Path, *words: str) -> tuple[str | None, str]:
    """What the program printed, and what it complained of."""
    trust = {"REQUESTS_CA_BUNDLE": str(trusted), "SSL_CERT_FILE": str(trusted), "PYTHONPATH": ""}
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(PROGRAM),
        *words,
        env=os.environ | client_environment() | trust,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complained = await process.communicate()
    return (json.loads(printed) if process.returncode == 0 else None), complained.decode()
