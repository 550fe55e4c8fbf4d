"""An earlier commit of this project, in an environment of its own, so that it can be measured beside the present one.

Owns: its files, for as long as they are needed. Must not know: how it is started or measured.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.interpreter import LOCK, ROOT, Installed, install

LOCKS = (LOCK, "tests/requirements.lock")
"""Each holds what the gateway needs; commits have the first, the second or both."""


@contextmanager
def baseline(commit: str, python: Path, repository: Path = ROOT) -> Iterator[Installed]:
    """Check a commit out and install what it needs, for this Python; both are gone after the block.

    Raises RuntimeError if there is no such commit, or if it cannot be installed.
    """
    with tempfile.TemporaryDirectory(prefix="bench-earlier-") as folder:
        tree, environment = Path(folder) / "tree", Path(folder) / "environment"
        name = _git(repository, "rev-parse", "--short", "--verify", f"{commit}^{{commit}}")
        _git(repository, "worktree", "add", "--quiet", "--detach", str(tree), name)
        try:
            yield Installed(install(environment, _lock(tree), str(python)), tree, name, is_earlier=True)
        finally:
            _git(repository, "worktree", "remove", "--force", str(tree))


def _lock(tree: Path) -> Path:
    lock = next((tree / name for name in LOCKS if (tree / name).exists()), None)
    if lock is None:
        raise RuntimeError(f"the commit has none of {', '.join(LOCKS)}")
    return lock


def _git(repository: Path, *words: str) -> str:
    done = subprocess.run(("git", "-C", str(repository), *words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.strip()
