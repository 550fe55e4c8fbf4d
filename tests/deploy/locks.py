"""The repository's lock files, and wheels that stand for what they pin.

Owns: how a lock is read, where the metadata of what it pins is found, stub wheels and the index of a day to come. Must
not know: which pips there are, and what a lock is for.
"""

from __future__ import annotations

import hashlib
import re
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.toolbox import ROOT, TOOLS

TOMORROW = "9999.0"
UNPACKED = frozenset({"tests/tools/helm.lock"})
"""Locks of wheels whose files are taken out and never installed: what they require is of no matter."""
BY_HAND = frozenset({"tests/clients/heavy-requirements.lock", "tests/fuzz/requirements.lock"})
"""Locks of packages that are installed by hand only: what they require is not at hand."""
BARE = UNPACKED | BY_HAND
"""Locks that are tried without what they require."""
_PIN = re.compile(r"(?P<pin>[A-Za-z0-9][^\\\n]*)(?: \\\n    --hash=sha256:[0-9a-f]{64})+")


@dataclass(frozen=True, slots=True)
class Pin:
    """One entry of a lock."""

    name: str
    extras: tuple[str, ...]
    version: str
    marker: Marker | None

    @classmethod
    def parse(cls, text: str) -> Pin:
        """From a line: `name[extra]==version ; marker`."""
        parsed = Requirement(text)
        (specifier,) = parsed.specifier
        return cls(canonicalize_name(parsed.name), tuple(parsed.extras), specifier.version, parsed.marker)

    def __str__(self) -> str:
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}=={self.version}" + (f" ; {self.marker}" if self.marker else "")

    @property
    def is_for_this_machine(self) -> bool:
        return self.marker is None or self.marker.evaluate()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a package requires."""

    requirement: Requirement

    def __str__(self) -> str:
        return str(self.requirement).partition(";")[0].strip()

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def extras(self) -> frozenset[str]:
        return frozenset(self.requirement.extras)

    def accepts(self, version: str) -> bool:
        """Whether the version is among those that it allows."""
        return self.requirement.specifier.contains(version, prereleases=True)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file: its path in the repository, and what it pins."""

    name: str
    pins: tuple[Pin, ...]

    def requirements(self) -> Iterator[tuple[Pin, Wanted]]:
        """What the pins require on this machine, those of their extras included."""
        for pin in filter(lambda pin: pin.is_for_this_machine, self.pins):
            for requirement in map(Requirement, installed(pin).requires or ()):
                if _applies(requirement, pin.extras):
                    yield pin, Wanted(requirement)


def locks() -> list[Lock]:
    """Every lock file of the repository."""
    folders = (path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
    paths = [*ROOT.glob("*.lock"), *(path for folder in folders for path in folder.rglob("*.lock"))]
    return [read(path) for path in sorted(paths) if path.name != "uv.lock"]


def read(path: Path) -> Lock:
    """A lock file. ValueError when it has a line that is no pin with hashes."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
    if rest := _PIN.sub("", text).strip():
        raise ValueError(f"{path} has lines that are no pins with hashes: {rest[:200]}")
    name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
    return Lock(name, tuple(Pin.parse(found["pin"]) for found in _PIN.finditer(text)))


def installed(pin: Pin) -> Distribution:
    """The package as it is installed in one of the virtual environments. LookupError when it is in none."""
    found = _installed().get((pin.name, pin.version))
    if found is None:
        raise LookupError(f"{pin.name} {pin.version} is installed nowhere: `make deploy-test` does it")
    return found


def lay_out(lock: Lock, folder: Path) -> Path:
    """Make a folder an index with a stub of each pin and a later release of it: a folder for each name, where pip looks
    at nothing else. Returns the lock with the stubs' hashes.
    """
    folder.mkdir()
    lines = []
    for pin in lock.pins:
        fields = [] if lock.name in BARE or not pin.is_for_this_machine else _fields(installed(pin))
        page = folder / pin.name / "index.html"
        page.parent.mkdir(exist_ok=True)  # some names are pinned twice, for different Pythons
        stub, later = (_wheel(page.parent, pin.name, version, fields) for version in (pin.version, TOMORROW))
        with page.open("a") as links:
            links.writelines(f'<a href="{wheel.name}">{wheel.name}</a>\n' for wheel in (stub, later))
        lines.append(f"{pin} --hash=sha256:{hashlib.sha256(stub.read_bytes()).hexdigest()}\n")
    rewritten = folder / "rewritten.lock"
    rewritten.write_text("".join(lines))
    return rewritten


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _fields(package: Distribution) -> list[str]:
    """The fields of the metadata that a resolver reads."""
    extras = [f"Provides-Extra: {extra}" for extra in package.metadata.get_all("Provides-Extra") or ()]
    return [*extras, *(f"Requires-Dist: {text}" for text in package.requires or ())]


def _wheel(folder: Path, name: str, version: str, fields: Iterable[str]) -> Path:
    stem = f"{name.replace('-', '_')}-{version}"
    path, information = folder / f"{stem}-py3-none-any.whl", f"{stem}.dist-info"
    heads = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *fields, ""])
    with zipfile.ZipFile(path, "w") as files:
        files.writestr(f"{information}/METADATA", heads)
        files.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        files.writestr(f"{information}/RECORD", f"{information}/METADATA,,\n{information}/WHEEL,,\n")
    return path


@cache
def _installed() -> Mapping[tuple[str, str], Distribution]:
    folders = [
        Path(sysconfig.get_path("purelib")),
        *TOOLS.glob("*/lib/*/site-packages"),
        *TOOLS.glob("pip/*"),
        *(ROOT / ".cache" / "clients").glob("lib/*/site-packages"),
        *(ROOT / ".cache" / "contract").glob("lib/*/site-packages"),
    ]
    found = distributions(path=[str(folder) for folder in folders])
    return {(canonicalize_name(each.metadata["Name"]), each.version): each for each in found}
