"""The command behind `make release VERSION=0.2.0`: sets the version, dates the changelog, builds what is handed out.

Owns: the places of the version, the form of the changelog, what is in dist/. Must not know: where it is published. It
works on a clean tree and commits nothing unless `--commit` says so. If the tree already is of that version, it only
builds, so a tag can be built again. `released.json` keeps the defaults of the version, so that a test can hold the
changelog to name each that changes after it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.tools import audit

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".cache" / "tools"
CHART = "helm/binance-sidecar"
PLACES: Mapping[str, tuple[str, ...]] = {
    "proxy/__init__.py": (r'(?m)^__version__ = "(.+)"$',),
    f"{CHART}/Chart.yaml": (r"(?m)^version: (.+)$", r'(?m)^appVersion: "(.+)"$'),
    "Dockerfile": (r"(?m)^ARG VERSION=(.+)$",),
    # The examples.
    f"{CHART}/README.md": (r"(?m)^    version: (.+)$",),
    "deploy/compose/compose.yaml": (r"binance-sidecar:([\d.]+)\}",),
    "deploy/kubernetes/bot-with-sidecar.yaml": (r"(?m)image: binance-sidecar:(.+)$",),
}
"""Where the version stands: in the package, the chart, the image and the examples."""
RELEASED = "tests/deploy/released.json"
CHANGELOG = "CHANGELOG.md"
UNRELEASED = "## [Unreleased]\n"
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


class Refused(Exception):
    """Why there is no release."""


def versions(root: Path = ROOT) -> dict[str, list[str]]:
    """What each place says."""
    texts = {name: (root / name).read_text() for name in PLACES}
    return {
        name: [found for pattern in patterns for found in re.findall(pattern, texts[name])]
        for name, patterns in PLACES.items()
    }


def dated(changelog: str, version: str, day: str) -> str:
    """The changelog with what is unreleased as this version. Raises Refused where nothing is."""
    head, found, rest = changelog.partition(UNRELEASED)
    news = rest.partition("\n## [")[0]
    if not found or not re.search(r"^- ", news, re.MULTILINE):
        raise Refused(f"{CHANGELOG} has nothing under {UNRELEASED.strip()}")
    return f"{head}{UNRELEASED}\n## [{version}] - {day}\n{rest}"


def edited(root: Path, version: str, day: str) -> dict[str, str]:
    """The new texts of all files that change."""
    texts = {name: (root / name).read_text() for name in (*PLACES, CHANGELOG)}
    for name, patterns in PLACES.items():
        for pattern in patterns:
            texts[name] = re.sub(pattern, lambda found: found[0].replace(found[1], version), texts[name])
    texts[CHANGELOG] = dated(texts[CHANGELOG], version, day)
    texts[RELEASED] = _defaults(root, version)
    return texts


def _defaults(root: Path, version: str) -> str:
    """The defaults of settings and chart, as JSON."""
    script = Path(__file__).with_name("defaults.py")
    settings = _run(root, sys.executable, script, "settings")
    values = _run(root, TOOLS / "venv/bin/python", script, "values")
    content = {"version": version, "settings": json.loads(settings), "values": json.loads(values)}
    return json.dumps(content, indent=1) + "\n"


def check(root: Path, version: str) -> bool:
    """Whether the tree is of an earlier version. Raises Refused where no release can be made of it."""
    if _VERSION.fullmatch(version) is None:
        raise Refused(f"VERSION={version} is no version like 0.2.0")
    found = {each for listed in versions(root).values() for each in listed}
    if len(found) != 1:
        raise Refused(f"the tree has several versions: {versions(root)}")
    (current,) = found
    if changed := _run(root, "git", "status", "--porcelain"):
        raise Refused(f"the tree is not clean:\n{changed}")
    if _number(version) < _number(current):
        raise Refused(f"the tree is of {current}, which is newer than {version}")
    return version != current


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def build(root: Path, version: str, seconds: int) -> Path:
    """Wheel, chart, SBOM and their hashes in dist/, whole or not at all."""
    dist = root / "dist"
    with tempfile.TemporaryDirectory(dir=root, prefix=".dist-") as made:
        epoch = {"SOURCE_DATE_EPOCH": str(seconds)}
        _run(root, sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", made, more=epoch)
        _run(root, TOOLS / "bin/helm4", "package", CHART, "--destination", made)
        sbom = Path(made, f"binance-sidecar-{version}.cdx.json")
        script = Path(__file__).with_name("sbom.py")
        _run(root, TOOLS / "venv/bin/python", script, version, str(seconds), sbom)
        files = sorted(Path(made).iterdir())
        sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
        Path(made, f"binance-sidecar-{version}.sha256").write_text("".join(sums))
        dist.mkdir(exist_ok=True)
        for path in Path(made).iterdir():
            path.replace(dist / path.name)
    return dist


def release(root: Path, version: str, *, commit: bool, looked: audit.End, now: datetime) -> str:
    """Set, date, build; what to do next. The tree is as before where something fails. Raises Refused."""
    is_new = check(root, version)
    texts = edited(root, version, now.date().isoformat()) if is_new else {}
    before = {name: (root / name).read_text() for name in texts}
    try:
        for name, text in texts.items():
            (root / name).write_text(text)
        seconds = int(_run(root, "git", "log", "-1", "--format=%ct"))
        dist = build(root, version, seconds)
        if is_new and commit:
            _run(root, "git", "commit", "--quiet", "--message", f"Release {version}", "--", *texts)
    except BaseException:
        for name, text in before.items():
            (root / name).write_text(text)
        raise
    return _told(version, dist, looked, next_steps(version, is_new=is_new, committed=commit))


def next_steps(version: str, *, is_new: bool, committed: bool) -> list[str]:
    """What is left to do by hand."""
    made = [] if committed or not is_new else [f"git commit --all --message 'Release {version}'"]
    return [*made, f"git tag --annotate v{version} --message 'Release {version}'", f"make release VERSION={version}"]


def _told(version: str, dist: Path, looked: audit.End, steps: Sequence[str]) -> str:
    files = "\n".join(f"  {path.name}" for path in sorted(dist.glob(f"binance*sidecar-{version}*")))
    known = "no weakness is known" if looked is audit.End.CLEAN else "NOT LOOKED FOR: the advisories cannot be reached"
    lines = [
        f"release: {version} is in {dist.name}/",
        files,
        f"weaknesses: {known}",
        "next, the last to build from the tag:",
    ]
    return "\n".join([*lines, *(f"  {step}" for step in steps)])


def _run(root: Path, *command: str | Path, more: Mapping[str, str] | None = None) -> str:
    """Run it there; what it printed. Raises Refused when it fails."""
    words = ["env", *(f"{name}={value}" for name, value in (more or {}).items()), *map(str, command)]
    ran = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise Refused(f"{' '.join(words[1:4])} failed:\n{ran.stdout}{ran.stderr}")
    return ran.stdout.strip()


def main(words: Sequence[str]) -> int:
    """Exit status 0, or 1 where there is no release."""
    parser = argparse.ArgumentParser(prog="make release")
    parser.add_argument("version", help="VERSION, such as 0.2.0")
    parser.add_argument("--commit", action="store_true", help="commit what was changed")
    chosen = parser.parse_args(words)
    try:
        check(ROOT, chosen.version)
        looked = audit.main(())
        if looked in (audit.End.WEAK, audit.End.FAILED):
            raise Refused("see what the audit found")
        print(release(ROOT, chosen.version, commit=chosen.commit, looked=looked, now=datetime.now(UTC)))
    except Refused as refused:
        print(f"release: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
