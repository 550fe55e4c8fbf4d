"""The clients' virtual environment: built once, and again when the requirements or Python change.

Owns: the cache folder. Must not know: which clients there are.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
FOLDER = ROOT / ".cache" / "clients"


def clients_python(folder: Path = FOLDER, requirements: Path = REQUIREMENTS) -> Path:
    """The Python that has the clients. CalledProcessError when they cannot be installed."""
    python = folder / "bin" / "python"
    stamp, mark = folder / ".installed", _mark(requirements)
    if not stamp.exists() or stamp.read_text() != mark:
        print(f"installing the clients in {folder.relative_to(ROOT)}", flush=True)
        venv.EnvBuilder(clear=True, with_pip=True).create(folder)
        pip = (str(python), "-m", "pip", "--quiet", "--disable-pip-version-check")
        subprocess.run((*pip, "install", "--requirement", str(requirements)), check=True)
        stamp.write_text(mark)
    return python


def _mark(requirements: Path) -> str:
    return hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()
