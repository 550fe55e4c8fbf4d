"""An earlier commit of this project, in an environment of its own, so that it can be measured beside the present one.

Owns: its files and its environment, for as long as they are needed. Must not know: how it is started or measured.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "tests" / "tools" / "install.py"
LOCKS = ("run-requirements.lock", "tests/requirements.lock")
"""Each holds what the gateway needs to run with a Valkey of its own; commits have the first, the second or both."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A commit that is ready to run."""

    commit: str
    """Its short name."""
    folder: Path
    python: Path


@contextmanager
def baseline(commit: str, repository: Path = ROOT) -> Iterator[Baseline]:
    """Check a commit out and install what it needs; both are gone after the block.

    Raises RuntimeError if there is no such commit, or if it cannot be installed.
    """
    with tempfile.TemporaryDirectory(prefix="bench-earlier-") as folder:
        tree, environment = Path(folder) / "tree", Path(folder) / "environment"
        name = _git(repository, "rev-parse", "--short", "--verify", f"{commit}^{{commit}}")
        _git(repository, "worktree", "add", "--quiet", "--detach", str(tree), name)
        try:
            yield Baseline(name, tree, _install(environment, tree))
        finally:
            _git(repository, "worktree", "remove", "--force", str(tree))


def _install(environment: Path, tree: Path) -> Path:
    lock = next((tree / name for name in LOCKS if (tree / name).exists()), None)
    if lock is None:
        raise RuntimeError(f"the commit has none of {', '.join(LOCKS)}")
    try:
        subprocess.run((sys.executable, INSTALL, environment, lock), check=True)
    except subprocess.CalledProcessError as error:
        raise RuntimeError("the earlier commit cannot be installed") from error
    return environment / "bin" / "python"


def _git(repository: Path, *words: str) -> str:
    done = subprocess.run(("git", "-C", str(repository), *words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.strip()
