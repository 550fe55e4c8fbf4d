"""The block in a file, so that a crash does not forget it.

Owns: the name, the format and the writing of the file. Must not know: Redis, when a block begins or ends. One file for
each venue, quota domain and pool; a pool is a set of hosts that share the origin's limits. Times inside are seconds
since the epoch by this machine's wall clock, because the origin's clock is not known yet when a process starts.
"""

from __future__ import annotations

import asyncio
import math
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec

from proxy.core.quota.block import STRIKE_MEMORY_SECONDS, Block, BlockReason
from proxy.core.quota.windows import LONGEST_BLOCK_SECONDS
from proxy.event_log import log
from proxy.ports import Clock

MOST_BYTES = 4096
"""A larger file is none of ours."""
_CLOSE_SECONDS = 0.001
"""Two ends that differ by less are the same block, read twice by clocks that differ."""
_MOST_STRIKES = 10**6

Time = Annotated[float, msgspec.Meta(ge=0, le=10**11)]


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1]
    reason: BlockReason
    written: Time
    until: Time
    strikes: Annotated[int, msgspec.Meta(ge=0, le=_MOST_STRIKES)]


def file_name(venue: str, quota_domain: str, pool: str) -> str:
    """The name of the file. No two triples have the same name."""
    return "+".join(quote(part, safe="") for part in (venue, quota_domain, pool)) + ".block.json"


def make_folder(folder: Path) -> None:
    """Make the folder if it does not exist. Raises OSError if it cannot be made or written."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".block."):
        pass


class BlockFile:
    """Keeps one block."""

    def __init__(self, folder: Path, name: str, clock: Clock) -> None:
        """As `make_folder`."""
        self._folder = folder
        self._path = folder / name
        self._clock = clock
        self._writing = asyncio.Lock()
        self._kept: _Record | None = None
        self._fault = ""
        """Why the last attempt failed; empty: it did not."""
        make_folder(folder)

    def load(self) -> Block | None:
        """The block that an earlier process kept, by our present clock; None if none counts any more.

        A file that cannot be read is logged and ignored.
        """
        try:
            with self._path.open("rb") as file:
                record = msgspec.json.decode(file.read(MOST_BYTES), type=_Record)
            left_seconds = self._left_seconds(record)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            log.warning("block_unreadable", file=str(self._path), error=str(error))
            return None
        if left_seconds <= -STRIKE_MEMORY_SECONDS:
            return None
        self._kept = record
        if left_seconds > 0:
            log.warning("block_remembered", reason=record.reason.value, seconds=round(left_seconds, 1))
        return Block(record.reason, self._clock.origin() + left_seconds, record.strikes)

    def _left_seconds(self, record: _Record) -> float:
        """The seconds until the end; negative when it is past. A wall clock that was set back does not prolong it."""
        if record.until - record.written > LONGEST_BLOCK_SECONDS + 1:
            raise ValueError("the block is longer than any that the origin gives")
        return record.until - max(self._clock.wall(), record.written)

    async def keep(self, block: Block | None) -> None:
        """Write a block that ends later than the one in the file, or that has no file; None: remove the file.

        Never raises: a failure is logged once for each cause. Returns when the file is on the disk. Calls wait for each
        other: of many refusals at once one is written.
        """
        async with self._writing:
            try:
                if block is None:
                    self._kept = None
                    await asyncio.to_thread(self._path.unlink, missing_ok=True)
                else:
                    await self._write_if_later(block)
            except OSError as error:
                fault = str(error.strerror)
                if fault != self._fault:
                    log.warning("block_not_kept", file=str(self._path), error=str(error))
                self._fault = fault
            else:
                self._fault = ""

    async def _write_if_later(self, block: Block) -> None:
        left_seconds = block.until - self._clock.origin()
        kept = self._kept  # its end is by the clock of then, which may have been set since
        kept_seconds = self._left_seconds(kept) if kept is not None and kept.reason is block.reason else -math.inf
        if left_seconds <= kept_seconds + _CLOSE_SECONDS and await asyncio.to_thread(self._path.exists):
            return
        wall = self._clock.wall()
        record = _Record(1, block.reason, wall, wall + left_seconds, min(block.strikes, _MOST_STRIKES))
        await asyncio.to_thread(_replace, self._path, msgspec.json.encode(record) + b"\n")
        self._kept = record


def _replace(path: Path, data: bytes) -> None:
    """Replace a file whole, with mode 0600. It is on the disk when this returns."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # somebody may have cleaned up
    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
