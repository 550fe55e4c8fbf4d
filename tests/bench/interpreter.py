"""The Python that the gateways under measurement run on, and the environment that is made with it.

Owns: which Pythons there are, how fast each is at a fixed piece of work, and the choice. Must not know: what they run.

The peers are compiled as users get them. The Python of `.venv` may be one that was compiled without profile-guided
optimization, which the image's and Debian's have: it would make the gateway slower than users see it. So the fastest
that is here runs the gateways. The load, the origin and the bench itself stay on that of `.venv`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "tests" / "tools" / "install.py"
WORK = Path(__file__).with_name("calibration.py")
LOCK = "run-requirements.lock"
"""What the gateway needs to run with a Valkey of its own."""
ROUNDS = 12
"""In turn, over seconds."""
TIE = 1.05
"""A Python that is faster by less than this is no better than the one that runs the bench."""


@dataclass(frozen=True, slots=True)
class Python:
    """One that can make an environment."""

    command: str
    version: str
    home: str
    """The file behind all its names and environments."""
    seconds: float
    """For the fixed piece of work."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which runs the gateways, of all that were found."""

    chosen: Python
    found: Sequence[Python]

    def __str__(self) -> str:
        """Its version, and the seconds of each divided by the fastest's."""
        least = min(python.seconds for python in self.found)
        ratio = f"{self.chosen.seconds / least:.2f}"
        others = [python for python in self.found if python.home != self.chosen.home]
        told = "".join(f"; {python.version}: {python.seconds / least:.2f}" for python in others)
        return f"Python {self.chosen.version}" + (f" ({ratio}{told})" if others else "")


@dataclass(frozen=True, slots=True)
class Installed:
    """The files of this project, and a Python that has what they need."""

    python: Path
    folder: Path
    version: str
    """What is told of it."""
    is_earlier: bool = False
    """Whether they are those of an earlier commit."""


def add_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that names a Python."""
    parser.add_argument(
        "--python", metavar="PATH", help="that runs the gateways; without it the fastest of those on the PATH does"
    )


@contextmanager
def present(named: str | None = None) -> Iterator[Installed]:
    """The files as they are, in an environment of the Python that is named or chosen; it is gone after the block.

    Raises RuntimeError if the one that is named cannot be used. If the one that is chosen cannot, it says why, and the
    one that runs this takes its place.
    """
    choice = _named(named) if named is not None else choose(measured(filter(usable, commands())))
    if choice.chosen.command == sys.executable:
        yield Installed(Path(sys.executable), ROOT, str(choice))
        return
    with tempfile.TemporaryDirectory(prefix="bench-python-") as folder:
        try:
            python = install(Path(folder) / "environment", ROOT / LOCK, choice.chosen.command)
        except RuntimeError as error:
            if named is not None:
                raise
            print(f"bench: Python {choice.chosen.version} is not used: {error}", file=sys.stderr)
            own = next(found for found in choice.found if found.command == sys.executable)
            choice, python = replace(choice, chosen=own), Path(sys.executable)
        yield Installed(python, ROOT, str(choice))


def _named(command: str) -> Choice:
    found = measured(filter(usable, [command]))
    if not found:
        raise RuntimeError(f"{command} is no Python 3.11 or newer with venv and pip")
    return Choice(found[0], found)


def install(environment: Path, lock: Path, python: str) -> Path:
    """Make an environment of this Python with what a lock names, and return the Python in it. RuntimeError if not."""
    if subprocess.run((python, INSTALL, environment, lock), check=False).returncode:
        raise RuntimeError(f"what {lock.name} names cannot be installed")
    return environment / "bin" / "python"


def commands(path: str | None = None, makefile: Path = ROOT / "Makefile") -> list[str]:
    """The Python that runs this, then all that have a name that make tries.

    Each folder of the path and of the system's own is looked into: a newer one there does not hide the one behind it.
    """
    tried = re.search(r"^PYTHON \?= (.+)$", makefile.read_text(), re.MULTILINE)
    assert tried is not None, "the Makefile names no Pythons"
    path = os.environ.get("PATH", "") if path is None else path
    folders = dict.fromkeys(f"{path}{os.pathsep}{os.defpath}".split(os.pathsep))
    found = (shutil.which(name, path=folder) for folder in folders for name in tried[1].split() if folder)
    return [sys.executable, *dict.fromkeys(name for name in found if name is not None)]


def measured(commands: Iterable[str], look: Callable[[str], Python | None] | None = None) -> list[Python]:
    """Each once however many names it has, with the median of some rounds in turn.

    It is taken of the ratios to the first one's seconds in the same round: a machine may be half as fast again for a
    while, and then the best round of one Python is no match for the best of another.
    """
    look = look or calibrate
    found: dict[str, Python] = {}
    for command in commands:
        python = look(command)
        if python is not None:
            found.setdefault(python.home, python)
    rounds = [list(found.values())]
    for _ in range(ROUNDS - 1):
        again = [look(python.command) for python in rounds[0]]
        rounds.append([python for python in again if python is not None])
    whole = [each for each in rounds if len(each) == len(found)]
    first = median(each[0].seconds for each in whole) if found else 0.0
    return [
        replace(python, seconds=first * median(each[at].seconds / each[0].seconds for each in whole))
        for at, python in enumerate(rounds[0])
    ]


def usable(command: str) -> bool:
    """Whether this Python can make an environment. The one that runs this has its own."""
    try:
        words = (command, INSTALL, "--usable")
        return command == sys.executable or subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def calibrate(command: str) -> Python | None:
    """One round of the fixed piece of work; None if this fails."""
    try:
        done = subprocess.run((command, "-I", WORK), capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return Python(command, **json.loads(done.stdout))


def choose(found: Sequence[Python]) -> Choice:
    """The fastest; the first, which runs this, unless another is clearly faster."""
    fastest = min(found, key=lambda python: python.seconds)
    return Choice(found[0] if found[0].seconds <= fastest.seconds * TIE else fastest, found)
