"""The table of the fast path: from the bytes of a request to the bytes of its response.

Owns: which responses are remembered and for how long, and the bytes of a response. Must not know: connections,
aiohttp, how an answer was made.

Whoever writes a response checks before whatever may have changed since it was made: the document, the versions of the
entries and of the used weight, the time, whether the gateway drains. After a minute a request takes the slow path once,
so that the document stays in demand. One that nobody repeats is forgotten a minute later: a client may have sent a key.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Protocol

from proxy.core.lines import lines_of
from proxy.core.messages import Entry
from proxy.core.quota.windows import MINUTE_SECONDS
from proxy.core.reply import Outcome, Reply
from proxy.ports import Clock
from proxy.server.large_bodies import JOIN_BYTES, BodyFiles, size_with_files
from proxy.server.remembered import RememberedResponse, Tally, Usage
from proxy.server.response_head import head_pieces

MAX_REQUESTS = 16_384
MAX_SECONDS = 60.0
"""After this long a request takes the slow path once."""
_MOST_FORGOTTEN = 1024
"""So many requests that nobody repeats are forgotten at once, so that others do not wait for it."""
_REMEMBERED = frozenset({Outcome.HIT, Outcome.SNAPSHOT})


class Loaded(Protocol):
    """The full document and its index."""

    @property
    def entry(self) -> Entry:
        """The document."""


class Entries(Protocol):
    """The entries that answers are made from."""

    version: int
    """Changes with every entry."""
    documents: int
    """Changes with every full document."""

    @property
    def loaded(self) -> Loaded | None:
        """The full document; None before the first."""

    def holds(self, key: str, entry: Entry) -> bool:
        """Whether a query with this key is answered from this entry now."""


class LifeCycle(Protocol):
    """The gateway's life cycle."""

    draining: bool
    """Whether every answer closes its connection."""


class FastPathTable:
    """The table, bounded in requests and bytes. It forgets the least recently used first, with a precision of seconds.

    All responses belong to one full document. When that is replaced the table forgets all of them, so that it never
    keeps an old document in memory. When another entry is replaced the table forgets only the responses made from it.
    """

    def __init__(  # noqa: PLR0913 - what a head is made of
        self,
        entries: Entries,
        *,
        clock: Clock,
        usage_of: Callable[[str | None], Usage],
        life_cycle: LifeCycle,
        beside: Callable[[str | None], list[tuple[str, str]]],
        tally: Callable[[Reply], Tally],
        max_bytes: int,
        max_requests: int = MAX_REQUESTS,
    ) -> None:
        self._entries = entries
        self._clock = clock
        self.wall = clock.wall
        """This machine's clock."""
        self._usage_of = usage_of
        self._life_cycle = life_cycle
        self._beside = beside
        self._tally = tally
        self._max_bytes = max_bytes
        self._max_requests = max_requests
        self.responses: OrderedDict[bytes, RememberedResponse] = OrderedDict()
        """By the bytes of their requests. Only `find` tells whether one may be used now."""
        self._files = BodyFiles()
        self._sharing: Counter[int] = Counter()
        """The number of responses for the identity of each entry."""
        self._bytes = 0
        self._documents = entries.documents
        self._lines: dict[str | None, tuple[tuple[int, int, int], bytes]] = {}
        """By pool: the second, the origin's minute and the version of the used weight, and the lines that the heads of
        all its responses have in common then."""
        self._rendered: list[RememberedResponse] = []
        """Those whose bytes were made since `release` was called last."""

    def __len__(self) -> int:
        return len(self.responses)

    @property
    def size_bytes(self) -> int:
        """The size of the requests, of their responses, and of each entry once, with the file that it may have."""
        return self._bytes

    def find(self, chunk: bytes, in_slices: bool = False) -> RememberedResponse | None:
        """The response to these bytes now. None: take the slow path.

        `in_slices`: a large body must not be written at once, so the slow path writes it.
        """
        remembered = self.responses.get(chunk)
        if remembered is None or not self.is_open():
            return None
        now = self.wall()
        if not self.is_present(remembered, now):
            if not self._render(remembered, now):
                self._forget(chunk)
                return None
            self.responses.move_to_end(chunk)
        if in_slices and remembered.body:
            return None
        remembered.tally.count += 1
        return remembered

    def is_open(self) -> bool:
        """Whether the responses are those to the present document, and the gateway does not drain."""
        if self._documents == self._entries.documents and not self._life_cycle.draining:
            return True
        self._clear()
        return False

    def is_present(self, remembered: RememberedResponse, now: float) -> bool:
        """Whether the bytes of a response are right at this moment, if the table is open."""
        return (
            remembered.good_from <= now < remembered.good_until
            and remembered.entries_version == self._entries.version
            and remembered.usage_version == remembered.usage.version
            and remembered.offset_seconds == self._clock.offset_seconds
        )

    def learn(self, chunk: bytes, reply: Reply, *, head_only: bool) -> None:
        """Remember a fresh answer made from an entry, unless that entry was replaced meanwhile."""
        rendition = reply.rendition
        if rendition is None or reply.outcome not in _REMEMBERED:
            return
        if self._documents != self._entries.documents:
            self._clear()
        self._forget(chunk)
        if not self._entries.holds(rendition.key, rendition.entry):
            return
        copied_bytes = len(reply.body) if len(reply.body) <= JOIN_BYTES else 0
        size_bytes = 2 * len(chunk) + 1024 + copied_bytes
        if size_bytes + size_with_files(rendition.entry) <= self._max_bytes:
            usage = self._usage_of(rendition.pool)
            tally, now = self._tally(reply), self.wall()
            self._put(chunk, RememberedResponse(rendition, head_only, tally, usage, size_bytes, now))

    def release(self) -> None:
        """Let go of what is outdated: an earlier document, bytes of earlier seconds, requests of earlier minutes."""
        if self._documents != self._entries.documents:
            self._clear()
        now, kept = self.wall(), []
        for remembered in self._rendered:
            if remembered.good_from <= now < remembered.good_until:
                kept.append(remembered)
            else:
                remembered.wire, remembered.body, remembered.file = b"", b"", None
                remembered.good_until = -1.0
        self._rendered = kept
        self._forget_old(now)

    def _forget_old(self, now: float) -> None:
        """Look at those first that were rendered longest ago. Others may be as old, but for a minute at most."""
        for _ in range(min(_MOST_FORGOTTEN, len(self.responses))):
            chunk, remembered = next(iter(self.responses.items()))
            if 0 <= now - remembered.learned_at < MAX_SECONDS:
                return
            self._forget(chunk)

    def _put(self, chunk: bytes, remembered: RememberedResponse) -> None:
        entry = remembered.rendition.entry
        self._bytes += remembered.size_bytes + (0 if id(entry) in self._sharing else size_with_files(entry))
        self._sharing[id(entry)] += 1
        self.responses[chunk] = remembered
        while self._bytes > self._max_bytes or len(self.responses) > self._max_requests:
            self._forget(next(iter(self.responses)))

    def _forget(self, chunk: bytes) -> None:
        remembered = self.responses.pop(chunk, None)
        if remembered is None:
            return
        entry = remembered.rendition.entry
        self._bytes -= remembered.size_bytes
        self._sharing[id(entry)] -= 1
        if not self._sharing[id(entry)]:
            del self._sharing[id(entry)]
            self._bytes -= size_with_files(entry)

    def _clear(self) -> None:
        self.responses.clear()
        self._rendered.clear()
        self._sharing.clear()
        self._bytes = 0
        self._documents = self._entries.documents

    def _render(self, remembered: RememberedResponse, wall: float) -> bool:
        """Render the bytes for the present second. False: take the slow path."""
        entry, offset_seconds = remembered.rendition.entry, self._clock.offset_seconds
        now = wall + offset_seconds
        fresh_seconds = entry.lifetimes.fresh_seconds - entry.age(now)
        loaded = self._entries.loaded
        if loaded is not None and loaded.entry is not entry:
            # A stale document needs the slow path, which refreshes it, whatever entry answers the request.
            fresh_seconds = min(fresh_seconds, loaded.entry.lifetimes.fresh_seconds - loaded.entry.age(now))
        if fresh_seconds <= 0 or not 0 <= wall - remembered.learned_at < MAX_SECONDS:
            return False
        if not self._entries.holds(remembered.rendition.key, entry):
            return False
        remembered.entries_version, remembered.usage_version = self._entries.version, remembered.usage.version
        remembered.offset_seconds = offset_seconds
        self._write(remembered, wall, now)
        remembered.good_from = wall
        remembered.good_until = min(
            math.floor(wall) + 1.0,  # Date
            wall + _unchanged_seconds(entry, now),  # Age, ttl
            wall + MINUTE_SECONDS - now % MINUTE_SECONDS,  # used weight: a new window begins
            wall + fresh_seconds,
            remembered.learned_at + MAX_SECONDS,
        )
        return True

    def _write(self, remembered: RememberedResponse, wall: float, now: float) -> None:
        """Make the bytes. `now` is `wall` by the origin's clock."""
        rendition, pieces = remembered.rendition, remembered.pieces
        ages = rendition.ages(now)
        if pieces is None:
            reply = rendition.reply(now)
            pieces = remembered.pieces = head_pieces(reply, ages, head_only=remembered.head_only)
            remembered.has_body = bool(reply.body) and not remembered.head_only
        if not remembered.wire:
            self._rendered.append(remembered)
        head = pieces.head(ages, self._common_lines(rendition.pool, remembered.usage_version, wall, now))
        body = rendition.body() if remembered.has_body else b""
        is_large = len(body) > JOIN_BYTES
        remembered.wire, remembered.body = (head, body) if is_large else (head + body, b"")
        remembered.file = self._files.of(body) if is_large else None

    def _common_lines(self, pool: str | None, usage_version: int, wall: float, now: float) -> bytes:
        """What the heads of all responses of a pool have in common in this second, with this used weight."""
        state = int(wall), int(now) // MINUTE_SECONDS, usage_version
        known = self._lines.get(pool)
        if known is None or known[0] != state:
            known = self._lines[pool] = state, lines_of(self._beside(pool))
        return known[1]


def _unchanged_seconds(entry: Entry, now: float) -> float:
    """How long Age and ttl stay the same: Age grows and ttl falls once a second, at different moments."""
    if now < entry.stored_at:
        return 0.0
    age = entry.age(now)
    return min(1.0 - age % 1.0, (entry.lifetimes.fresh_seconds - age) % 1.0)
