"""An earlier commit beside the present one: its own files, its own environment, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import interpreter
from tests.bench.baseline import baseline
from tests.bench.programs import EARLIER, sidecar

OWN = Path(sys.executable)


def git(repository: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ("git", "-C", str(repository), *identity, *words)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits; only the first has the old text."""
    folder = tmp_path / "repository"
    (folder / "tests").mkdir(parents=True)
    git(folder, "init", "--quiet")
    for text in ("old", "new"):
        (folder / "proxy.txt").write_text(text)
        (folder / "tests" / "requirements.lock").write_text("")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", text)
    return folder


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """An installer that tells what it was asked for."""
    told, script = tmp_path / "told", tmp_path / "install.py"
    script.write_text(f"import sys; open({str(told)!r}, 'w').write(sys.argv[2])")
    monkeypatch.setattr(interpreter, "INSTALL", script)
    return [str(told)]


def test_the_files_are_those_of_the_commit_and_go_away(repository: Path, installed: list[str]) -> None:
    with baseline("HEAD~1", OWN, repository) as found:
        assert (found.folder / "proxy.txt").read_text() == "old"
        assert found.version == git(repository, "rev-parse", "--short", "HEAD~1")
        assert Path(installed[0]).read_text() == str(found.folder / "tests" / "requirements.lock")
        assert len(git(repository, "worktree", "list").splitlines()) == 2
    assert not found.folder.exists()
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert (repository / "proxy.txt").read_text() == "new"


def test_a_commit_that_is_not_there_is_named(repository: Path) -> None:
    with pytest.raises(RuntimeError, match="fatal"), baseline("no-such-commit", OWN, repository):
        pass


def test_a_commit_that_cannot_be_installed_leaves_nothing_behind(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "fails.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(interpreter, "INSTALL", tmp_path / "fails.py")
    with pytest.raises(RuntimeError, match="cannot be installed"), baseline("HEAD", OWN, repository):
        pass
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_it_is_a_program_of_its_own(repository: Path, installed: list[str]) -> None:
    with baseline("HEAD", OWN, repository) as found:
        program = sidecar(found)
    assert program.name == EARLIER
    assert program.version == found.version
