"""One turn of the event loop: what its hits have in common is looked up once.

Owns: for how long that stands. Must not know: how a request is read and answered.

The loop reads all that has come and then runs what is due, so whatever a turn reads was sent before it began. A later
look can tell those clients nothing that they could know of, unless an answer of the same turn has told it.
"""

from __future__ import annotations

import asyncio

from proxy.server.fast_path_table import FastPathTable
from proxy.server.remembered import RememberedResponse

MAX_HITS = 256
"""After so many the loop may have read again without a new turn: all is looked up anew."""
LONE_HITS = 8
"""So many hits count as turns of their own after one that was alone: the end of a turn costs more than a look."""


class Turn:
    """The present turn of the connections of one listener."""

    __slots__ = (
        *("_first", "_first_count", "_looks", "_is_open", "_lone_hits", "_now", "_table"),
        *("has_begun", "known", "last_count", "loop_time", "present"),
    )

    def __init__(self, table: FastPathTable) -> None:
        self._table = table
        self.known = table.responses.get
        """The response to a request with these bytes, of whatever age; None: there is none."""
        self.present: RememberedResponse | None = None
        """The response whose bytes were found to be right last in this turn."""
        self.last_count = 0
        """The count of that response's hits with which the turn ends."""
        self.loop_time = 0.0
        """The time of the loop when the turn began."""
        self._now = 0.0
        self._is_open = False
        self.has_begun = False
        """Whether anything was looked up that may be outdated once something else than a hit happens."""
        self._looks = 0
        """How many responses were looked at in this turn."""
        self._first: RememberedResponse | None = None
        self._first_count = 0
        """The count of the first response in this turn, with its first hit."""
        self._lone_hits = 0
        """How many of the next hits count as turns of their own."""

    def is_right(self, hit: RememberedResponse, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether the bytes of this response are right in this turn, and are to be written in one piece."""
        if not self.has_begun:
            self._begin(hit, loop)
        if not self._is_open or hit.body or not self._table.is_present(hit, self._now):
            return False
        if self.has_begun:
            self.present, self.last_count = hit, hit.tally.count + MAX_HITS
            self._looks += 1
            if self._looks == MAX_HITS:
                self.restart()
        return True

    def restart(self) -> None:
        """Something else happened than a hit: what was looked up may be outdated."""
        self.present = self._first = None
        self.has_begun = False

    def _begin(self, hit: RememberedResponse, loop: asyncio.AbstractEventLoop) -> None:
        self._now, self._is_open, self.loop_time = self._table.wall(), self._table.is_open(), loop.time()
        if self._lone_hits:
            self._lone_hits -= 1
            return
        self.has_begun, self._looks = True, 0
        self._first, self._first_count = hit, hit.tally.count + 1
        loop.call_soon(self._end)

    def _end(self) -> None:
        first = self._first
        if first is not None and self._looks == 1 and first.tally.count == self._first_count:
            self._lone_hits = LONE_HITS
        self.restart()
