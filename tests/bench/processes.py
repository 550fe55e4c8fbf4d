"""Programs as the kernel sees them: CPU time, memory, cores.

Owns: starting and ending a program with all its children, and reading /proc (Linux). Must not know: which program.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE, LOAD_CORE = 0, 1
"""What is measured has one core to itself; the load and the origin share the other."""
START_SECONDS = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program and its children have used up to now."""

    cpu_seconds: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Running:
    """A program under way."""

    pid: int
    url: str

    def usage(self) -> Usage:
        """All threads of all its processes together."""
        pids = list(_family(self.pid))
        return Usage(sum(map(_cpu_seconds, pids)), sum(map(_rss_bytes, pids)))


@contextmanager
def running(
    command: Sequence[str],
    *,
    url: str,
    core: int,
    ready: str = "/",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    leaves: Path | None = None,
) -> Iterator[Running]:
    """Run it on one core until the end of the block, in this folder. TimeoutError when `ready` is not answered.

    `leaves` is a folder that is removed afterwards.
    """
    process = subprocess.Popen(
        ("taskset", "--cpu-list", str(core), *command),
        env={**os.environ, **(environment or {})},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_ready(process, f"{url}{ready}")
        yield Running(process.pid, url)
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever is left of the session that we opened for it
        process.wait()
        if leaves is not None:
            shutil.rmtree(leaves, ignore_errors=True)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    raise TimeoutError(f"{process.args!r} did not answer at {url}")


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from _family(int(child))


def _cpu_seconds(pid: int) -> float:
    """User and system time (proc(5), fields 14 and 15 of stat)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _rss_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
    return 0
