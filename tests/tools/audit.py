"""The command behind `make audit`: looks for known weaknesses of all that the locks name, with pip-audit.

Owns: which locks are looked at, and what each end means. Must not know: who runs it. Standard library only.

The exit status: 0, no weakness is known; 1, one is; 2, pip-audit failed; 3, the advisories could not be reached, so
nobody knows. Flags go to pip-audit: `--osv-url` names a mirror of the advisories.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".cache" / "tools" / "venv" / "bin" / "pip-audit"
FLAGS = ("--require-hashes", "--disable-pip", "--vulnerability-service=osv", "--format=json", "--progress-spinner=off")
_NOT_REACHED = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError", "Could not connect")


class End(IntEnum):
    """How a look ends, which is the exit status."""

    CLEAN = 0
    WEAK = 1
    FAILED = 2
    NOT_REACHED = 3


def locks(root: Path = ROOT) -> list[Path]:
    """Every lock of Python packages but those of old pips, which the tests need as they were."""
    folders = (root, root / "deploy", root / "tests")
    found = [path for folder in folders for path in folder.glob("*.lock" if folder == root else "**/*.lock")]
    return sorted(path for path in found if path.name != "uv.lock" and not path.name.startswith("pip-"))


def audit(lock: Path, flags: Sequence[str] = (), *, program: Path = PROGRAM) -> tuple[End, list[str]]:
    """How the look at one lock ends, and a line for each weakness, or for why there was no look."""
    command = [str(program), *FLAGS, *flags, "--requirement", str(lock)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = _weaknesses(json.loads(ran.stdout))
    except ValueError:
        last = (ran.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        was_reached = not any(word in ran.stderr for word in _NOT_REACHED)
        return (End.FAILED if was_reached else End.NOT_REACHED), [last]
    return (End.WEAK if found else End.CLEAN), found


def _weaknesses(report: Any) -> list[str]:
    return [
        f"{package['name']} {package['version']}: {weakness['id']}"
        for package in report["dependencies"]
        for weakness in package.get("vulns", ())
    ]


def main(flags: Sequence[str], *, program: Path = PROGRAM, looked_at: Sequence[Path] | None = None) -> End:
    """Look at each lock, and say how that ended."""
    ends = {End.CLEAN}
    for lock in locks() if looked_at is None else looked_at:
        end, lines = audit(lock, flags, program=program)
        if end is End.NOT_REACHED:
            print(f"audit: the advisories cannot be reached, so nothing is known: {lines[0]}")
            return end
        ends.add(end)
        print(f"audit: {lock.name}: {'; '.join(lines) or 'no known weakness'}")
    return next(end for end in (End.FAILED, End.WEAK, End.CLEAN) if end in ends)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
