"""The checkers that `make tools` fetched, and how they are run.

Owns: where they are, and what it means that one is missing: a failure wherever it can be had, a skip with its reason
elsewhere. Must not know: what is checked.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "binance-sidecar"
DEPLOY = ROOT / "deploy"
TOOLS = ROOT / ".cache" / "tools"
_ON_LINUX = platform.system() == "Linux"


def tool(name: str) -> str:
    """The path of a fetched tool. Fails the test where it is missing though it could be had."""
    places = (TOOLS / folder / name for folder in ("venv/bin", "checkov/bin", "bin"))
    path = next((place for place in places if place.exists()), TOOLS / "bin" / name)
    if path.exists():
        return str(path)
    if name in ("promtool", "prometheus") and shutil.which("apt-get") is None:
        pytest.skip(f"{name} comes from Debian's package only")
    if name in ("helm3", "helm4") and not (_ON_LINUX and platform.machine() == "x86_64"):
        pytest.skip(f"{name} is fetched for Linux on x86-64 only")
    pytest.fail(f"{name} is missing: run `make tools`", pytrace=False)


def system_tool(name: str) -> str:
    """The path of a program that comes with the operating system only."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on this machine, and cannot be fetched")
    return path


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that has ended."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return f"{self.out}\n{self.err}"


def run(
    *command: str | Path, given: str | None = None, folder: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Ran:
    """Run to the end, within a minute."""
    ended = subprocess.run(
        [str(word) for word in command],
        input=given,
        capture_output=True,
        text=True,
        cwd=folder,
        env=None if environment is None else os.environ | environment,
        timeout=60,
        check=False,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def passes(*command: str | Path, given: str | None = None, folder: Path = ROOT) -> str:
    """Run, and fail the test with all that was printed unless it exits 0. Returns what it printed."""
    ran = run(*command, given=given, folder=folder)
    assert ran.status == 0, f"{' '.join(str(word) for word in command)}\n{ran.text}"
    return ran.text


def examined(texts: Sequence[str], *, check: bool) -> list[dict[str, Any]]:
    """Each YAML text as its `documents`, and with `check` the `faults` that they have as Kubernetes manifests."""
    script = ROOT / "tests" / "tools" / "manifests.py"
    ran = run(tool("python"), script, *(["--check"] if check else []), given=json.dumps(texts))
    assert ran.status == 0, ran.err
    answer: list[dict[str, Any]] = json.loads(ran.out)
    return answer


@cache
def documents(text: str) -> tuple[Any, ...]:
    """The documents of a YAML text."""
    return tuple(examined([text], check=False)[0]["documents"])


def load(path: Path) -> Any:
    """The only document of a YAML file."""
    (document,) = documents(path.read_text())
    return document
