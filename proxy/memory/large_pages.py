"""Large pages for the memory of a process that has started (Linux).

Owns: which memory gets them. Must not know: what lies there.

A request between those of other programs finds few translations of addresses in the processor, and in a virtual machine
each that is missing costs up to 24 reads. One page of 2 MiB takes one translation instead of 512.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PAGE_BYTES = 2 << 20
_SMALL_BYTES = 4 << 10
_SMALL_PAGES = PAGE_BYTES // _SMALL_BYTES
LEAST_PART = 0.8
"""Of a large page so much must be in use already: the rest of it is memory that is taken more than before."""
_COLLAPSE = 25
"""MADV_COLLAPSE (madvise(2), Linux 6.1): makes one large page of small ones at once."""
_PRESENT = 0x80
"""The highest bit of an entry of pagemap (proc_pid_pagemap(5)), in its last byte."""


def use_large_pages() -> int:
    """Give large pages to all memory of this process that nearly fills them. How many there are now.

    None where the system has or allows none, and without /proc. Takes about a millisecond for each.
    """
    if sys.platform != "linux":
        return 0
    count = 0
    with suppress(OSError, AttributeError, ValueError):
        if "[never]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii"):
            return 0
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for at in list(_nearly_full()):
            count += advise(at, PAGE_BYTES, _COLLAPSE) == 0
    return count


def _nearly_full() -> Iterator[int]:
    """Where the large pages begin that are in use for the most part. Raises OSError."""
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pagemap:
        for start, end in private_memory(Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")):
            for at in range(-(-start // PAGE_BYTES) * PAGE_BYTES, end - PAGE_BYTES + 1, PAGE_BYTES):
                pagemap.seek(at // _SMALL_BYTES * 8)
                present = sum(byte >= _PRESENT for byte in pagemap.read(_SMALL_PAGES * 8)[7::8])
                if present >= LEAST_PART * _SMALL_PAGES:
                    yield at


def private_memory(maps: str) -> Iterator[tuple[int, int]]:
    """Start and end of the memory without a file that may be written, out of proc_pid_maps(5); no stacks."""
    for line in maps.splitlines():
        addresses, rights, _, _, inode, *name = line.split(maxsplit=5)
        if inode == "0" and rights.startswith("rw") and rights.endswith("p") and name in ([], ["[heap]"]):
            start, _, end = addresses.partition("-")
            yield int(start, 16), int(end, 16)
