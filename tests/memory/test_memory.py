"""Objects that lie together, and the pages that they get."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from proxy.memory.arenas import room
from proxy.memory.large_pages import private_memory

ARENA_BYTES = 1 << 20
MAPS = """\
55d0c0a00000-55d0c0c00000 r-xp 00000000 fe:00 1310 /usr/bin/python3.11
55d0c2a00000-55d0c3000000 rw-p 00000000 00:00 0    [heap]
7f7ed8000000-7f7ed8200000 rw-p 00000000 00:00 0
7f7ed8200000-7f7ed8400000 ---p 00000000 00:00 0
7f7ed8400000-7f7ed8600000 rw-s 00000000 00:00 0
7f7ed8600000-7f7ed8800000 rw-p 00000000 fe:00 1311 /usr/lib/a library.so
7ffd00000000-7ffd00200000 rw-p 00000000 00:00 0    [stack]
"""
PROGRAM = """
from proxy.memory.arenas import KEPT
from proxy.memory.large_pages import use_large_pages

objects = [[] for _ in range(200_000)]
count = use_large_pages()
with open("/proc/self/smaps") as smaps:
    print(count, sum(int(line.split()[1]) for line in smaps if line.startswith("AnonHugePages")))
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="it is about the allocator of CPython")
def test_the_kept_objects_lie_in_arenas_that_follow_each_other() -> None:
    kept = sorted(map(id, room(16 * ARENA_BYTES)))
    near = sum(after - before <= ARENA_BYTES for before, after in pairwise(kept))
    assert near >= len(kept) * 3 // 4  # the first may lie in arenas that were there
    assert len(kept) >= 16


def test_only_private_memory_without_a_file_gets_large_pages() -> None:
    assert list(private_memory(MAPS)) == [
        (0x55D0C2A00000, 0x55D0C3000000),
        (0x7F7ED8000000, 0x7F7ED8200000),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="large pages are asked for on Linux only")
def test_a_process_has_the_large_pages_that_it_counts() -> None:
    allowed = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not allowed.exists() or "[never]" in allowed.read_text(encoding="ascii"):
        pytest.skip("this system has no large pages")
    told = subprocess.run((sys.executable, "-c", PROGRAM), capture_output=True, text=True, check=True).stdout
    count, kilobytes = map(int, told.split())
    assert kilobytes == count * 2048
