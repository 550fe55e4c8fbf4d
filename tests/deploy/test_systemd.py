"""The unit, by systemd-analyze where systemd is at hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy import settings
from tests.deploy.toolbox import DEPLOY, run, system_tool

UNIT = DEPLOY / "systemd" / "binance-sidecar.service"
ENVIRONMENT = DEPLOY / "systemd" / "binance-sidecar.env"
MOST_EXPOSURE = 15
"""Of 100, as systemd-analyze counts."""


def _assignments() -> dict[str, str]:
    lines = ENVIRONMENT.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/opt/binance-sidecar/bin/binance-sidecar", "/bin/true"))
    return path


def test_systemd_accepts_the_unit(unit: Path) -> None:
    ran = run(system_tool("systemd-analyze"), "verify", "--man=no", unit)
    assert (ran.status, ran.text.strip()) == (0, "")


def test_systemd_finds_a_fault_where_there_is_one(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=very"))
    assert "protect system" in run(system_tool("systemd-analyze"), "verify", "--man=no", unit).text


def test_the_unit_is_hardened(unit: Path) -> None:
    ran = run(
        system_tool("systemd-analyze"), "security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", "--no-pager", unit
    )
    assert ran.status == 0, ran.text


def test_the_gateway_accepts_the_example_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _assignments().items():
        monkeypatch.setenv(name, value)
    loaded = settings.load()
    assert settings.unknown(_assignments()) == []
    assert (loaded.ops_host, loaded.ops_port) == ("127.0.0.1", 9090)


def test_the_unit_reads_the_example_environment_and_outlives_the_drain() -> None:
    text = UNIT.read_text()
    assert f"EnvironmentFile=/etc/{ENVIRONMENT.name}" in text
    stop = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert stop is not None
    assert int(stop[1]) >= 2 * settings.Settings().shutdown_seconds
