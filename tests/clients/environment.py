"""The clients' environments: built once, and again when a lock or Python change.

Owns: the cache folders, what is installed there, the variables of the clients' processes. Must not know: which clients
there are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INSTALL = ROOT / "tests" / "tools" / "install.py"
CACHE = ROOT / ".cache"


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of a lock. `source`: the package of it that has no wheel."""

    folder: Path
    lock: Path
    source: str | None = None

    def python(self) -> Path:
        """The Python that has the clients. CalledProcessError when they cannot be installed."""
        words = () if self.source is None else ("--source", self.source)
        command = (sys.executable, str(INSTALL), str(self.folder), str(self.lock), *words)
        _install_once(self.folder, _mark(self.lock), command)
        return self.folder / "bin" / "python"


QUICK = Environment(CACHE / "clients", HERE / "requirements.lock")
HEAVY = Environment(CACHE / "clients-heavy", HERE / "heavy-requirements.lock", source="sdnotify")


@dataclass(frozen=True, slots=True)
class NodePackages:
    """JavaScript packages of a lock. `manifest`: the folder of package.json and its lock; `what`: for people."""

    folder: Path
    manifest: Path
    what: str

    def installed(self) -> Path | None:
        """The folder of the modules; None, and a line about it, where npm is missing or cannot install them."""
        npm = shutil.which("npm")
        if npm is None or shutil.which("node") is None:
            return None
        # No script of a package runs, as from a wheel.
        patience = ("--fetch-retries=1", "--fetch-timeout=30000")
        command = (npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *patience, "--prefix", str(self.folder))
        files = [self.manifest / name for name in ("package.json", "package-lock.json")]
        try:
            _install_once(self.folder, _mark(*files), command, files)
        except subprocess.CalledProcessError as error:
            print(f"npm cannot install {self.what} ({error.returncode}): they are left out", flush=True)
            return None
        return self.folder / "node_modules"


def node_modules() -> Path | None:
    """The folder of the JavaScript clients; None where there are none."""
    return NodePackages(CACHE / "clients-npm", HERE / "npm", "the JavaScript clients").installed()


def client_environment(modules: Path | None = None) -> dict[str, str]:
    """The variables of this process, without a proxy between a client and this machine."""
    found = {} if modules is None else {"NODE_PATH": str(modules)}
    return os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} | found


def _install_once(folder: Path, mark: str, command: tuple[str, ...], files: list[Path] | None = None) -> None:
    stamp = folder / ".installed"
    if stamp.exists() and stamp.read_text() == mark:
        return
    print(f"installing in {folder.relative_to(ROOT)}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    for file in files or ():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
    subprocess.run(command, check=True)
    stamp.write_text(mark)


def _mark(*locks: Path) -> str:
    return hashlib.sha256(b"".join([sys.version.encode(), *(lock.read_bytes() for lock in locks)])).hexdigest()


if __name__ == "__main__":
    QUICK.python()
