"""The clients' virtual environment: built once, and again when the lock or Python change.

Owns: the cache folder, the variables of the clients' processes. Must not know: which clients there are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = Path(__file__).with_name("requirements.lock")
INSTALL = ROOT / "tests" / "tools" / "install.py"
FOLDER = ROOT / ".cache" / "clients"


def clients_python(folder: Path = FOLDER, lock: Path = LOCK) -> Path:
    """The Python that has the clients. CalledProcessError when they cannot be installed."""
    python = folder / "bin" / "python"
    stamp, mark = folder / ".installed", _mark(lock)
    if not stamp.exists() or stamp.read_text() != mark:
        print("installing the clients", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run((sys.executable, INSTALL, folder, lock), check=True)
        stamp.write_text(mark)
    return python


def client_environment() -> dict[str, str]:
    """The variables of this process, without a proxy between a client and this machine."""
    return os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def _mark(lock: Path) -> str:
    return hashlib.sha256(sys.version.encode() + lock.read_bytes()).hexdigest()


if __name__ == "__main__":
    clients_python()
