"""What a gateway process takes of the machine: memory, descriptors, tasks.

Owns: reading these from outside; `python -m tests.chaos.vitals` is the gateway's command, which tells its tasks when it
gets SIGWINCH. Must not know: what is too much.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy import __main__ as command
from proxy.__main__ import _handle

MODULE = "tests.chaos.vitals"
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Vitals:
    """Of one moment."""

    memory_bytes: int
    """Resident."""
    descriptors: int
    sockets: int
    """Of the descriptors."""


def vitals_of(pid: int) -> Vitals:
    """What a process takes now. Linux only; OSError if it is gone."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(link.readlink()))
        except OSError:  # closed meanwhile
            continue
    return Vitals(pages * _PAGE_BYTES, len(links), sum(link.startswith("socket:") for link in links))


def tell_tasks() -> None:
    """Write one line with the number of tasks."""
    print(json.dumps({"event": "tasks", "tasks": len(asyncio.all_tasks())}), file=sys.stderr, flush=True)


def _handle_and_tell(number: signal.Signals, action: Callable[[], object]) -> None:
    """Beside each signal of the command its event loop takes SIGWINCH.

    A handler of Python's own would not do: uvloop may then call the handler of a signal that comes next twice, and the
    second SIGTERM ends the command at once.
    """
    _handle(number, action)
    _handle(signal.SIGWINCH, tell_tasks)


if __name__ == "__main__":
    command._handle = _handle_and_tell
    sys.exit(command.main())
