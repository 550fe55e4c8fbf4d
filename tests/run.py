"""The command behind `make test`: the tests side by side, then those that compare real durations alone.

Owns: the two parts, and the coverage and the exit status of both together. Must not know: any test.

Flags go to pytest in both parts. A bound on coverage means something for all tests only, so a run with flags reports
coverage and asks for none. The report comes once, at the end: it reads every module of the package. `-n 4` sets the
number of processes, `-n 0 --pdb` debugs.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.sizes import Size, chosen

ROOT = Path(__file__).parent.parent
PROCESSES = min(8, 2 * (os.cpu_count() or 1))
"""Two for each core: many tests wait for a socket or another process."""
BESIDE = ("--numprocesses", str(PROCESSES), "--dist", "worksteal")
MEASURED = ("--cov", "--cov-report=", "--cov-fail-under=0")
REPORT = ("coverage", "report")
LONG_SECONDS = 1800
"""After which a test of the longest size hangs: its numbers are several times those of the others."""

Run = Callable[[Sequence[str]], int]


def main(flags: Sequence[str], *, environment: Mapping[str, str] = os.environ, run: Run | None = None) -> int:
    """Run the parts, one after the other, and report coverage; the exit status of the worst."""
    run = run or _module
    size = chosen(environment)
    statuses: list[int] = []
    for part in parts(flags, size):
        statuses.append(run(["pytest", *part]))
        if statuses[-1] == pytest.ExitCode.INTERRUPTED:
            return combined(statuses)
    if size is not Size.QUICK and "--no-cov" not in flags and combined(statuses) != pytest.ExitCode.NO_TESTS_COLLECTED:
        statuses.append(run([*REPORT, *(["--fail-under=0"] if flags else [])]))
    return combined(statuses)


def parts(flags: Sequence[str], size: Size) -> Iterator[list[str]]:
    """What pytest is called with in each part."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-m", dest="marks")
    known, rest = parser.parse_known_args(flags)
    if size is Size.QUICK:
        yield [*_selected("not realtime and not slow", known.marks), *BESIDE, *rest]
        return
    if size is Size.LONG:
        rest = ["--override-ini", f"faulthandler_timeout={LONG_SECONDS}", *rest]
    yield [*_selected("not realtime", known.marks), *BESIDE, *MEASURED, *rest]
    where = [] if _names_tests(rest) else modules_with("realtime")
    yield [*_selected("realtime", known.marks), *MEASURED, "--cov-append", *rest, *where]


def _selected(part: str, marks: str | None) -> list[str]:
    return ["--ignore=tests/deploy", "-m", part if marks is None else f"({part}) and ({marks})"]


def modules_with(mark: str) -> list[str]:
    """The modules that speak of this mark, so that no other is imported for the few tests that have it."""
    modules = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in modules if mark in path.read_text(encoding="utf-8")]


def _names_tests(flags: Sequence[str]) -> bool:
    """Whether the flags name modules or folders themselves."""
    return any((ROOT / flag.partition("::")[0]).exists() for flag in flags if not flag.startswith("-"))


def combined(statuses: Sequence[int]) -> int:
    """Of the parts of a run: where flags select tests one part may have nothing to do, but not every one."""
    nothing = int(pytest.ExitCode.NO_TESTS_COLLECTED)
    return max((status for status in statuses if status != nothing), default=nothing)


def _module(arguments: Sequence[str]) -> int:
    """In a process of its own, which heeds Ctrl-C by itself and then says that it was interrupted."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
