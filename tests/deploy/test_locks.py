"""The lock files on a day to come, when every package has a newer release. Without a network, by pips of three ages."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.deploy.locks import BARE, BY_HAND, TOMORROW, UNPACKED, Lock, installed, lay_out, locks, read
from tests.deploy.toolbox import ROOT, TOOLS, run
from tests.tools.install import LOCKED

LOCKS = {lock.name: lock for lock in locks()}
OLD_PIPS = ("pip-23.0.1", "pip-23.2.1")
"""Of Debian 12, and of CPython 3.11.7 and 3.12.1: both look past a pin that does not name the extra asked for."""
PIPS = (*OLD_PIPS, "pip-newest")
OFFLINE = ("--isolated", "--dry-run", "--ignore-installed", "--no-cache-dir", "--disable-pip-version-check", "--quiet")
RESOLVED = tuple(word for word in LOCKED if word != "--no-deps")
"""As by whoever has not read the Makefile. It asks more of a lock than LOCKED: its own pins must be enough."""
BROKEN = frozenset({"coverage", "iniconfig", "packaging", "pluggy", "pygments", "pytest", "pytest-cov"})
"""pytest-cov and all that it requires: the pins that fail when coverage is pinned without its extra."""
MANY = """
import json, sys
sys.path.insert(0, sys.argv[1])
sys.modules["_manylinux"] = None  # sought for each wheel, on the whole path
from pip._internal.cli.main import main
from pip._internal.network import session
session.user_agent = lambda: "pip"  # it runs other programs to tell an index of this machine
print(json.dumps([main(words) for words in json.load(sys.stdin)]))
"""
"""Runs pip for several command lines: most of a dry run would be pip's own start."""


def installs(pip: str, *attempts: tuple[Iterable[str], Path]) -> tuple[list[bool], str]:
    """Whether pip would install each lock with its options, and all that it complained of."""
    lines = [
        ["install", *OFFLINE, *options, "--index-url", lock.parent.as_uri(), "--requirement", str(lock)]
        for options, lock in attempts
    ]
    ran = run(
        *(sys.executable, "-c", MANY, TOOLS / "pip" / pip),
        given=json.dumps(lines),
        environment={"PIP_CONFIG_FILE": os.devnull},
    )
    assert ran.status == 0, ran.text
    return [status == 0 for status in json.loads(ran.out)], ran.err


def only(lock: Lock, names: Container[str]) -> Lock:
    """The lock of some of its pins."""
    return replace(lock, pins=tuple(pin for pin in lock.pins if pin.name in names))


def without_extras(lock: Lock) -> Lock:
    """As it is made where extras are stripped."""
    return replace(lock, pins=tuple(replace(pin, extras=()) for pin in lock.pins))


def astray(lock: Lock) -> list[str]:
    """The requirements that the lock's own lines do not meet, an extra that is asked for and not named included."""
    pinned = {pin.name: pin for pin in lock.pins if pin.is_for_this_machine}
    return [
        f"{pin.name} asks for {wanted}"
        for pin, wanted in lock.requirements()
        if (found := pinned.get(wanted.name)) is None
        or not wanted.accepts(found.version)
        or not set(wanted.extras) <= set(found.extras)
    ]


def test_every_lock_is_found() -> None:
    text = (ROOT / "Makefile").read_text()
    assert {
        "requirements.lock",
        "run-requirements.lock",
        "tests/clients/requirements.lock",
        *UNPACKED,
        *BY_HAND,
    } <= set(LOCKS)
    assert all(lock in LOCKS for lock in text.split() if lock.endswith(".lock") and "$" not in lock)


@pytest.mark.parametrize("name", sorted(set(LOCKS) - BARE))
def test_every_requirement_finds_its_extra_in_the_locks_own_line(name: str) -> None:
    assert astray(LOCKS[name]) == []


def test_an_extra_that_a_lock_does_not_name_is_found_out() -> None:
    assert astray(without_extras(LOCKS["tests/requirements.lock"])) == ["pytest-cov asks for coverage[toml]>=7.10.6"]


@pytest.mark.parametrize("pip", PIPS)
def test_every_lock_installs_when_all_that_it_pins_has_a_newer_release(pip: str, tmp_path: Path) -> None:
    attempts = [
        (LOCKED if lock.name in BARE else RESOLVED, lay_out(lock, tmp_path / str(number)))
        for number, lock in enumerate(LOCKS.values())
    ]
    assert installs(pip, *attempts) == ([True] * len(LOCKS), "")


@pytest.mark.parametrize("pip", PIPS)
def test_a_lock_without_its_extras_needs_a_newer_pip_or_no_deps(pip: str, tmp_path: Path) -> None:
    laid_out = lay_out(without_extras(only(LOCKS["tests/requirements.lock"], BROKEN)), tmp_path / "lock")
    held, complaints = installs(pip, (RESOLVED, laid_out), (LOCKED, laid_out))
    assert held == [pip not in OLD_PIPS, True]
    assert ("coverage[toml]" in complaints) == (pip in OLD_PIPS)


def test_the_day_to_come_has_newer_releases(tmp_path: Path) -> None:
    lock = LOCKS["deploy/build-requirements.lock"]
    laid_out = lay_out(lock, tmp_path / "lock")
    assert {path.name.split("-")[1] for path in laid_out.parent.glob("pluggy/*.whl")} == {"1.7.0", TOMORROW}
    assert len(list(laid_out.parent.glob("*/*.whl"))) == 2 * len(lock.pins)


def test_a_line_that_has_no_hash_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "some.lock"
    path.write_text("hatchling==1.33.0\n")
    with pytest.raises(ValueError, match="no pins with hashes: hatchling"):
        read(path)


def test_what_is_not_installed_is_no_proof() -> None:
    (pin, *_) = LOCKS["requirements.lock"].pins
    with pytest.raises(LookupError, match="make deploy-test"):
        installed(replace(pin, version=TOMORROW))
