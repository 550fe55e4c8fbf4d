"""Processes of ours that take and give a line at a time on their standard streams.

Owns: their start and end, their priority, their memory. Must not know: what they do.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PR_SET_PDEATHSIG = 1


@contextmanager
def child(module: str, *arguments: str, python: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """`python -m module`, ended with the block; without another Python by the one that runs this."""
    command = [python or sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - takes no lock that another thread may hold
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def read_line(process: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the process ended"
    return line


def write_line(process: subprocess.Popen[str], word: str) -> None:
    """Send it a line."""
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def die_with_parent() -> None:
    """Let the kernel end this process when its parent ends, however that is (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def prefer(priority: int) -> bool:
    """Let this process run before others, where the system allows it."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    except (AttributeError, PermissionError):
        return False
    return True


def rss_bytes(pid: int) -> int:
    """The resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_rss_bytes(pid: int) -> int:
    """The most resident memory that a process ever had (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (kilobytes,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kilobytes) * 1024
