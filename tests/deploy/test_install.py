"""How packages are installed: offline, from wheels made here."""

from __future__ import annotations

import io
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.deploy.locks import Lock, lay_out, locks, read
from tests.deploy.toolbox import ROOT
from tests.tools.install import Installer, _only, install, main, pins, unpack

LOCK = next(lock for lock in locks() if lock.name == "tests/requirements.lock")
NAMES = ("iniconfig", "packaging", "pluggy", "pygments", "pytest")


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of five packages, all that pip can find."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "lock").as_uri())
    return lay_out(some(NAMES), tmp_path / "lock")


def some(names: tuple[str, ...]) -> Lock:
    return replace(LOCK, pins=tuple(pin for pin in LOCK.pins if pin.name in names))


def test_it_makes_an_environment_and_keeps_one_that_works(lock: Path, tmp_path: Path) -> None:
    folder, shown = tmp_path / "venv", io.StringIO()
    install(folder, lock, shown=shown)
    assert f"[1/2] creating {folder}" in shown.getvalue()
    assert "[2/2] installing 5 packages with pip\n" in shown.getvalue()
    assert len(list(folder.glob("lib/*/site-packages/*.dist-info"))) >= len(NAMES)

    (kept := folder / "kept").touch()
    install(folder, lock, shown=(shown := io.StringIO()))
    assert shown.getvalue() == "[1/1] installing 5 packages with pip\n"
    assert kept.exists()


def test_what_has_another_hash_is_not_installed(lock: Path, tmp_path: Path) -> None:
    lock.write_text(re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", lock.read_text(), count=1))
    with pytest.raises(subprocess.CalledProcessError):
        unpack(tmp_path / "files", lock, shown=(shown := io.StringIO()))
    assert "DO NOT MATCH THE HASHES" in shown.getvalue()
    assert not (tmp_path / "files").exists()


def test_a_lock_that_lacks_a_requirement_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "part").as_uri())
    part = lay_out(some(NAMES[1:]), tmp_path / "part")
    with pytest.raises(SystemExit, match=r"is not whole:(?s:.*)iniconfig"):
        install(tmp_path / "venv", part, shown=io.StringIO())


def test_it_unpacks_and_tells_the_step(lock: Path, tmp_path: Path) -> None:
    unpack(tmp_path / "files", lock, shown=(shown := io.StringIO()))
    assert shown.getvalue() == f"[1/1] fetching {lock.stem}\n"
    assert len(list((tmp_path / "files").glob("*.dist-info"))) == len(NAMES)


def test_a_folder_that_is_no_environment_is_left_alone(lock: Path, tmp_path: Path) -> None:
    (precious := tmp_path / "folder" / "precious").parent.mkdir()
    precious.touch()
    with pytest.raises(SystemExit, match="is no virtual environment"):
        install(tmp_path / "folder", lock)
    assert precious.exists()


def test_uv_installs_with_the_same_words(tmp_path: Path) -> None:
    uv, pip = Installer(tmp_path, "/bin/uv"), Installer(tmp_path, None)
    assert uv.install("--no-deps", "-r", "x")[-3:] == pip.install("--no-deps", "-r", "x")[-3:]
    assert uv.create()[:2] == ("/bin/uv", "venv")


def test_this_python_will_do() -> None:
    assert main(["--usable"]) == 0


def test_pins_are_counted() -> None:
    assert pins(Path("tests/requirements.lock").absolute()) == len(LOCK.pins)


def test_a_package_that_has_no_wheel_is_built_from_its_own_line_of_the_lock(tmp_path: Path) -> None:
    lock = ROOT / "tests" / "clients" / "heavy-requirements.lock"
    part = Path(_only("sdnotify", lock, tmp_path))
    assert [str(pin) for pin in read(part).pins] == ["sdnotify==0.3.2"]
    with pytest.raises(SystemExit, match=r"heavy-requirements\.lock does not name sdnot$"):
        _only("sdnot", lock, tmp_path)
