"""The one way in which packages are installed here: from a lock, each by its hash, and nothing else.

Owns: the virtual environment, the flags of uv and pip, and what the screen shows meanwhile. Must not know: what is in
a lock, or who runs what it names. Standard library only: it runs before anything is installed.

    install.py .venv run-requirements.lock --project .
    install.py .cache/pips/newest tests/tools/pip-newest.lock --unpack
    install.py .cache/clients-heavy tests/clients/heavy-requirements.lock --source sdnotify

uv is used where it is on the path, else pip. Neither resolves anything (`--no-deps`), so that a release of tomorrow
cannot change what a lock of today installs. Bytecode is left to the first import: most modules are never imported.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LOCKED = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
"""Of each installation from a lock; the Dockerfile has the same."""
TICK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Installer:
    """uv or pip, for one virtual environment."""

    folder: Path
    uv: str | None

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def name(self) -> str:
        return "pip" if self.uv is None else "uv"

    def create(self) -> tuple[str, ...]:
        """The command that makes the virtual environment, of the Python that runs this."""
        if self.uv is not None:
            return (self.uv, "venv", "--quiet", "--python", sys.executable, str(self.folder))
        # To install pip there as well costs more than to install the gateway, and the pip at hand can do it.
        without = ("--without-pip",) if _pip_at_hand() else ()
        return (sys.executable, "-m", "venv", *without, str(self.folder))

    def install(self, *words: str) -> tuple[str, ...]:
        """The command that installs."""
        if self.uv is None:
            return (*self._pip(), "install", "--no-compile", "--progress-bar", "off", *words)
        return (self.uv, "pip", "install", "--quiet", "--python", self.python, *words)

    def check(self) -> tuple[str, ...]:
        """The command that fails when a requirement of what is installed is not met."""
        if self.uv is None:
            return (*self._pip(), "check")
        return (self.uv, "pip", "check", "--python", self.python)

    def works(self) -> bool:
        """Whether there is a virtual environment that this can install into."""
        if self.uv is None and _pip_at_hand() is None:
            return _has_pip(self.python)
        return _runs(self.python, "import venv")

    def _pip(self) -> tuple[str, ...]:
        words = ("-m", "pip", "--disable-pip-version-check", "--no-input")
        other = None if _has_pip(self.python) else _pip_at_hand()
        return (self.python, *words) if other is None else (other, *words, "--python", self.python)


def _pip_at_hand() -> str | None:
    """The Python that runs this, or the one that its virtual environment is of, if it has pip."""
    base = getattr(sys, "_base_executable", sys.executable)
    return next((python for python in (sys.executable, base) if _has_pip(python)), None)


def _has_pip(python: str) -> bool:
    """Whether it has a pip that can install for another Python too (22.3)."""
    return _runs(python, "import pip; assert tuple(map(int, pip.__version__.split('.')[:2])) >= (22, 3)")


def _runs(python: str, code: str) -> bool:
    try:
        return subprocess.run((python, "-c", code), capture_output=True, check=False).returncode == 0
    except OSError:
        return False


class Steps:
    """Tells which step of how many is under way: a line each, which on a terminal counts seconds and packages."""

    def __init__(self, total: int, shown: IO[str]) -> None:
        self._total, self._shown, self._number = total, shown, 0

    def run(self, title: str, command: Sequence[str], counted: re.Pattern[str] | None = None) -> None:
        """Run a command as the next step. CalledProcessError when it fails, after all that it printed."""
        self._number += 1
        line = f"[{self._number}/{self._total}] {title}"
        if not self._shown.isatty():
            print(line, file=self._shown, flush=True)
        output = _run(command, lambda seconds, output: self._tick(line, seconds, counted, output))
        if self._shown.isatty():
            print(f"\r{line}\033[K", file=self._shown, flush=True)
        if output.status != 0:
            print("".join(output.lines), end="", file=self._shown, flush=True)
            raise subprocess.CalledProcessError(output.status, list(command))

    def _tick(self, line: str, seconds: int, counted: re.Pattern[str] | None, output: Output) -> None:
        if self._shown.isatty():
            done = sum(counted.match(line) is not None for line in list(output.lines)) if counted else 0
            so_far = f", {done} fetched" if done else ""
            print(f"\r{line} ({seconds} s{so_far})\033[K", end="", file=self._shown, flush=True)


@dataclass(slots=True)
class Output:
    """What a command printed, and how it ended."""

    lines: list[str]
    status: int


def _run(command: Sequence[str], tick: Callable[[int, Output], None]) -> Output:
    """Run to the end; `tick` is told the seconds and the output so far."""
    output, seconds = Output([], 0), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=output.lines.extend, args=(process.stdout,), daemon=True)
        reader.start()
        while reader.is_alive():
            tick(seconds, output)
            reader.join(TICK_SECONDS)
            seconds += 1
    output.status = process.returncode
    return output


FETCHED = re.compile(r"Collecting |Requirement already satisfied")
"""A line of pip's for each package."""


def install(
    folder: Path,
    lock: Path,
    *,
    project: Path | None = None,
    source: str | None = None,
    uv: str | None = None,
    shown: IO[str] = sys.stdout,
) -> None:
    """Make the environment if it does not work, install the lock and the project (editable), check what is there.

    `source`: a package of the lock that has no wheel. It is built by the setuptools of the same lock.
    """
    installer = Installer(folder, uv)
    works = installer.works()
    steps = Steps(1 + (not works) + (source is not None) + (project is not None), shown)
    if not works:
        _clear(folder)
        steps.run(f"creating {folder} with Python {platform.python_version()}", installer.create())
    if source is not None:
        _build(source, lock, installer, steps)
    title = f"installing {pins(lock)} packages with {installer.name}"
    steps.run(title, installer.install(*LOCKED, "--requirement", str(lock)), FETCHED)
    if project is not None:
        words = ("--no-deps", "--no-build-isolation", "--editable", str(project))
        steps.run("installing the gateway itself", installer.install(*words))
    checked = subprocess.run(installer.check(), capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        sys.exit(f"{lock} is not whole:\n{checked.stdout}{checked.stderr}")


def _build(name: str, lock: Path, installer: Installer, steps: Steps) -> None:
    """Install a package from its sources, and before it what builds it, each by its hash."""
    with tempfile.TemporaryDirectory() as folder:
        builder, built = (_only(each, lock, Path(folder)) for each in ("setuptools", name))
        subprocess.run(installer.install(*LOCKED, "--requirement", builder), check=True, capture_output=True)
        words = ("--no-deps", "--require-hashes", "--no-build-isolation", "--no-binary", name)
        steps.run(f"building {name}", installer.install(*words, "--requirement", built))


def _only(name: str, lock: Path, folder: Path) -> str:
    """The lock of this package alone."""
    entry = re.search(rf"^{re.escape(name)}==.*(?:\n    --hash=.*)+", lock.read_text(), re.MULTILINE)
    if entry is None:
        sys.exit(f"{lock} does not name {name}")
    part = folder / f"{name}.lock"
    part.write_text(entry[0].rstrip(" \\") + "\n")
    return str(part)


def unpack(folder: Path, lock: Path, *, uv: str | None = None, shown: IO[str] = sys.stdout) -> None:
    """Put the files of what a lock names into a folder of its own, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    installer = Installer(Path(sys.prefix), uv)
    with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
        words = installer.install(*LOCKED, "--target", f"{partial}/files", "--requirement", str(lock))
        Steps(1, shown).run(f"fetching {lock.stem}", words)
        shutil.rmtree(folder, ignore_errors=True)
        Path(partial, "files").rename(folder)


def usable(uv: str | None) -> bool:
    """Whether this Python can make a virtual environment and fill it."""
    able = uv is not None or _pip_at_hand() is not None or importlib.util.find_spec("ensurepip") is not None
    return able and sys.version_info >= (3, 11) and importlib.util.find_spec("venv") is not None


def pins(lock: Path) -> int:
    """How many packages a lock names, those for other machines included."""
    return len(re.findall(r"^[a-zA-Z0-9]", lock.read_text(), re.MULTILINE))


def _clear(folder: Path) -> None:
    """Remove a virtual environment that does not work, and nothing else."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / "pyvenv.cfg").exists():
        sys.exit(f"{folder} is there, and is no virtual environment: remove it, or name another folder")
    shutil.rmtree(folder)


def main(words: Sequence[str]) -> int:
    """Exit status: that of uv or pip when it fails; of `--usable` alone: whether this Python will do."""
    uv = shutil.which("uv")
    if list(words) == ["--usable"]:
        return 0 if usable(uv) else 1
    parser = argparse.ArgumentParser(prog="install.py")
    parser.add_argument("folder", type=Path)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--project", type=Path)
    parser.add_argument("--source", metavar="PACKAGE")
    parser.add_argument("--unpack", action="store_true")
    chosen = parser.parse_args(words)
    try:
        if chosen.unpack:
            unpack(chosen.folder, chosen.lock, uv=uv)
        else:
            install(chosen.folder, chosen.lock, project=chosen.project, source=chosen.source, uv=uv)
    except subprocess.CalledProcessError as error:
        return error.returncode or 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
