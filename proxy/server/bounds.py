"""The connections of one listener: how many there may be, which is closed for a new one, and the deadline of a head.

Owns: the bounds, the order in which connections make room, and the log lines about both. Must not know: sockets, HTTP.

A request costs nothing here. A connection is entered once, at its accept, with the deadline of its first head. Whether
that head has come is only looked at when the deadline is over, by the number of requests that were asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from itertools import islice, takewhile
from typing import Protocol

from msgspec import Struct

from proxy.background import tick
from proxy.event_log import log

UNASKED_SECONDS = 1.0
"""A connection without a whole head is closed for another one only after this long."""
SCAN_SECONDS = 0.25
"""Where no connection could be closed for a new one, all are looked at again only after this long."""
SWEEP_SECONDS = 1.0
SWEEP_CONNECTIONS = 10
"""How many are looked at in one go, so that no answer on another connection waits for more than these."""
PART_SECONDS = 0.005
LOG_SECONDS = 60.0


class Closing(Enum):
    """Why a connection was closed. The value is the word in the metric."""

    HEAD = "head"
    """Its head did not come in time."""
    IDLE = "idle"
    """It made room for a new one."""
    REFUSED = "refused"
    """It was new, and there was no room."""
    STALLED = "stalled"
    """Its client took too little of an answer."""


class Bound(Enum):
    """A bound. The value is its setting."""

    CONNECTIONS = "SIDECAR_MAX_CONNECTIONS"
    PEER = "SIDECAR_MAX_CONNECTIONS_PER_PEER"
    REQUESTS = "SIDECAR_MAX_REQUESTS"


class Bounds(Struct, frozen=True):
    """The bounds of a listener; None: none."""

    head_seconds: float = 15.0
    connections: int | None = None
    per_peer: int | None = None
    requests: int | None = None


class Occupant(Protocol):
    """A connection, as far as it matters here. All times are those of the event loop."""

    @property
    def asked(self) -> int:
        """How many requests have come: each head that has ended."""

    @property
    def is_busy(self) -> bool:
        """Whether an answer is under way, or not taken yet."""

    @property
    def idle_since(self) -> float:
        """When the last answer was written; before the first, when the connection was accepted."""

    def disconnect(self) -> None:
        """Close it."""


class Slot(Struct, eq=False):
    """The place of one connection."""

    occupant: Occupant
    peer: str
    head_since: float
    """When the accept was, or the first byte of the last head that took more than one read."""
    asked_before: int = 0
    """The number of requests before that head."""

    @property
    def waits_for_head(self) -> bool:
        """Whether that head has not ended."""
        return self.occupant.asked == self.asked_before


_Candidates = deque[tuple[Slot, float]]
"""Connections that may make room, the first of them first, and since when each was idle."""


class Observer(Protocol):
    """Counts what is closed and refused."""

    def connection_closed(self, why: Closing) -> None:
        """A connection was closed by us."""

    def bound_reached(self, bound: Bound) -> None:
        """A connection was closed or refused, or a request refused, because of this bound."""


class _Nobody:
    """Counts nothing."""

    def connection_closed(self, why: Closing) -> None:
        """A connection was closed by us."""

    def bound_reached(self, bound: Bound) -> None:
        """A bound made us close or refuse."""


class Connections:
    """The connections of one listener."""

    def __init__(self, bounds: Bounds, *, now: Callable[[], float], observer: Observer | None = None) -> None:
        self._bounds = bounds
        self._now = now
        self._observer = observer or _Nobody()
        self._by_peer: dict[str, dict[Slot, None]] = {}
        self._heads: dict[Slot, None] = {}
        """Those whose head is under way, or was when they were last looked at: ordered by `head_since`."""
        self._candidates: _Candidates = deque()
        self._scanned_at = float("-inf")
        self._reports = {bound: _Report(bound) for bound in Bound}
        self.count = 0
        """How many are open."""
        self.requests = 0
        """How many requests are under way. Whoever has begun one takes it away once it is answered."""

    @property
    def most(self) -> int | None:
        """How many may be open; None: no bound."""
        return self._bounds.connections

    def enter(self, occupant: Occupant, peer: str) -> Slot | None:
        """A place for a new connection, for which others may be closed. None: there is no room."""
        most, most_of_peer = self._bounds.connections, self._bounds.per_peer
        of_peer = self._by_peer.get(peer, {})
        is_peer_full = most_of_peer is not None and len(of_peer) >= most_of_peer
        if is_peer_full and not self._close_one(self._ordered(of_peer), Bound.PEER):
            return None
        is_full = most is not None and self.count >= most
        if is_full and not self._close_one(self._next_candidates(), Bound.CONNECTIONS):
            return None
        slot = Slot(occupant, peer, self._now())
        self._by_peer.setdefault(peer, {})[slot] = None
        self._heads[slot] = None
        self.count += 1
        return slot

    def leave(self, slot: Slot) -> None:
        """The connection is closed. Again for the same one does nothing."""
        of_peer = self._by_peer.get(slot.peer, {})
        if slot not in of_peer:
            return
        del of_peer[slot]
        if not of_peer:
            del self._by_peer[slot.peer]
        self._heads.pop(slot, None)
        self.count -= 1

    def begin_head(self, slot: Slot) -> None:
        """Bytes of a head have come, and not its end."""
        if slot in self._heads and slot.waits_for_head:
            return
        self._heads.pop(slot, None)
        slot.head_since, slot.asked_before = self._now(), slot.occupant.asked
        self._heads[slot] = None

    def begin_request(self) -> bool:
        """Whether one more request may be under way; then it counts among `requests`."""
        most = self._bounds.requests
        if most is not None and self.requests >= most:
            self._report(Bound.REQUESTS, refused=1)
            return False
        self.requests += 1
        return True

    def stalled(self) -> None:
        """A connection was closed whose client takes too little."""
        self._observer.connection_closed(Closing.STALLED)

    def sweep(self) -> bool:
        """Close what waits for a head too long: to be called about once a second. Whether more is over its deadline."""
        due = self._now() - self._bounds.head_seconds
        for slot in self._due(due, SWEEP_CONNECTIONS):
            if not slot.waits_for_head:
                del self._heads[slot]
            elif slot.occupant.is_busy:  # its answer comes first
                del self._heads[slot]
                self.begin_head(slot)
            else:
                self._close(slot, Closing.HEAD)
        for report in self._reports.values():
            self._write(report)
        return bool(self._due(due, 1))

    def _due(self, due: float, most: int) -> list[Slot]:
        """The first of those whose head began no later."""
        return list(takewhile(lambda slot: slot.head_since <= due, islice(self._heads, most)))

    def _close(self, slot: Slot, why: Closing) -> None:
        self.leave(slot)
        self._observer.connection_closed(why)
        slot.occupant.disconnect()

    def _close_one(self, candidates: _Candidates, bound: Bound) -> bool:
        """Close the first that may still be closed. If there is none, a new connection is refused."""
        while candidates:
            slot, idle_since = candidates.popleft()
            if slot not in self._by_peer.get(slot.peer, ()) or not self._may_close(slot):
                continue
            if slot.occupant.idle_since != idle_since:  # it was used meanwhile, so the others go before it
                candidates.append((slot, slot.occupant.idle_since))
                continue
            self._close(slot, Closing.IDLE)
            self._report(bound, closed=1)
            return True
        self._observer.connection_closed(Closing.REFUSED)
        self._report(bound, refused=1)
        return False

    def _next_candidates(self) -> _Candidates:
        if not self._candidates and self._now() - self._scanned_at >= SCAN_SECONDS:
            self._scanned_at = self._now()
            self._candidates = self._ordered(slot for of_peer in self._by_peer.values() for slot in of_peer)
        return self._candidates

    def _ordered(self, slots: Iterable[Slot]) -> _Candidates:
        """Those without a whole head first, then those that have been idle longest."""
        found = [slot for slot in slots if self._may_close(slot)]
        found.sort(key=lambda slot: (not slot.waits_for_head, slot.occupant.idle_since))
        return deque((slot, slot.occupant.idle_since) for slot in found)

    def _may_close(self, slot: Slot) -> bool:
        if slot.occupant.is_busy:
            return False
        return not slot.waits_for_head or self._now() - slot.head_since >= UNASKED_SECONDS

    def _report(self, bound: Bound, *, closed: int = 0, refused: int = 0) -> None:
        self._observer.bound_reached(bound)
        report = self._reports[bound]
        report.closed += closed
        report.refused += refused
        self._write(report)

    def _write(self, report: _Report) -> None:
        """One line, if there is something to tell and the last line is a minute old."""
        if not (report.closed or report.refused) or self._now() - report.written_at < LOG_SECONDS:
            return
        log.warning(
            "bound_reached",
            setting=report.bound.value,
            connections=self.count,
            requests=self.requests,
            closed=report.closed,
            refused=report.refused,
        )
        report.written_at, report.closed, report.refused = self._now(), 0, 0


async def keep_deadlines(*rooms: Connections) -> None:
    """Close what is over its deadline, for as long as the listeners live."""
    while True:
        swept = [room.sweep() for room in rooms]
        await (asyncio.sleep(PART_SECONDS) if any(swept) else tick(SWEEP_SECONDS))


class _Report(Struct):
    """What a bound has done since its last line."""

    bound: Bound
    written_at: float = float("-inf")
    closed: int = 0
    refused: int = 0
