"""The table of the fast path: from the very bytes of a request to what it is answered.

Owns: what is remembered and for how long, and the bytes of an answer. Must not know: connections, aiohttp, how an
answer came about. What may have changed since an answer was made is looked at on every hit: the document, the
versions of the entries and of the counters, time, whether the gateway drains. And after a minute a request goes the
slow path once, which keeps the document in demand.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from proxy.core.messages import Entry
from proxy.core.quota.windows import MINUTE_SECONDS
from proxy.core.reply import Outcome, Rendition, Reply
from proxy.ports import Clock

MAX_REQUESTS = 16_384
MAX_SECONDS = 60.0
"""After this long a request goes the slow path once."""
JOIN_BYTES = 64 << 10
"""Bodies above this are written by themselves, without being copied behind the head."""
_REMEMBERED = frozenset({Outcome.HIT, Outcome.SNAPSHOT})


class Holding(Protocol):
    """The full document and its index."""

    @property
    def entry(self) -> Entry:
        """The document."""


class Entries(Protocol):
    """What answers are made from."""

    version: int
    """Changes with every entry."""
    documents: int
    """Changes with every full document."""

    @property
    def loaded(self) -> Holding | None:
        """The full document, where one is held."""

    def holds(self, key: str, entry: Entry) -> bool:
        """Whether a query of this key is answered from this very entry now."""


class Counters(Protocol):
    """What was used of the quota."""

    version: int
    """Changes whenever a counter does."""


class Life(Protocol):
    """The gateway's life cycle."""

    draining: bool
    """Whether every answer closes its connection."""


class Tally(Protocol):
    """Counts answers of one kind."""

    count: int


@dataclass(slots=True)
class RememberedResponse:
    """One remembered request: what it gets, and its bytes as rendered for the present second."""

    rendition: Rendition
    head_only: bool
    tally: Tally
    size_bytes: int
    """Its own bytes, without the entry, which other lanes share."""
    learned_at: float
    """By the wall clock, as all times here."""
    wire: bytes = b""
    """Head, and the body behind it where it is small."""
    body: bytes = b""
    """The body, where it is written by itself."""
    good_from: float = 0.0
    good_until: float = -1.0
    offset_seconds: float = 0.0
    version: int = -1
    """Of the entries, when its own was last seen among them."""
    counters: int = -1
    """The version of the counters that the bytes tell of."""


class FastPathTable:
    """The table. Bounded in requests and bytes; the least recently used, to the second, are forgotten first.

    All lanes are of one full document: when that is replaced all are forgotten, so that the table never keeps it in
    memory. Another entry that is replaced takes only its own lanes with it.
    """

    def __init__(  # noqa: PLR0913 - what a head is made of
        self,
        entries: Entries,
        *,
        clock: Clock,
        counters: Counters,
        life: Life,
        headers: Callable[[Reply], list[tuple[str, str]]],
        tally: Callable[[Reply], Tally],
        max_bytes: int,
        max_requests: int = MAX_REQUESTS,
    ) -> None:
        self._entries = entries
        self._clock = clock
        self._wall = clock.wall
        self._counters = counters
        self._life = life
        self._headers = headers
        self._tally = tally
        self._max_bytes = max_bytes
        self._max_requests = max_requests
        self._lanes: OrderedDict[bytes, RememberedResponse] = OrderedDict()
        self._sharing: Counter[int] = Counter()
        """Lanes by the identity of the entry that they share."""
        self._bytes = 0
        self._documents = entries.documents

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def size_bytes(self) -> int:
        """What is remembered: requests, ready answers, and each entry once."""
        return self._bytes

    def find(self, chunk: bytes) -> RememberedResponse | None:
        """What to write for these bytes now; None: the slow path."""
        fast_path = self._lanes.get(chunk)
        if fast_path is None:
            return None
        if self._documents != self._entries.documents or self._life.draining:
            self._clear()
            return None
        now = self._wall()
        is_good = (
            fast_path.good_from <= now < fast_path.good_until
            and fast_path.version == self._entries.version
            and fast_path.counters == self._counters.version
            and fast_path.offset_seconds == self._clock.offset_seconds
        )
        if not is_good:
            if not self._render(fast_path, now):
                self._forget(chunk)
                return None
            self._lanes.move_to_end(chunk)
        fast_path.tally.count += 1
        return fast_path

    def learn(self, chunk: bytes, reply: Reply, *, head_only: bool) -> None:
        """Remember a fresh answer that was made from an entry, unless that was replaced meanwhile."""
        rendition = reply.rendition
        if rendition is None or reply.outcome not in _REMEMBERED:
            return
        if self._documents != self._entries.documents:
            self._clear()
        self._forget(chunk)
        if not self._entries.holds(rendition.key, rendition.entry):
            return
        copied = len(reply.body) if len(reply.body) <= JOIN_BYTES else 0
        size_bytes = 2 * len(chunk) + 1024 + copied
        if size_bytes + rendition.entry.size_bytes <= self._max_bytes:
            self._keep(chunk, RememberedResponse(rendition, head_only, self._tally(reply), size_bytes, self._wall()))

    def _keep(self, chunk: bytes, fast_path: RememberedResponse) -> None:
        entry = fast_path.rendition.entry
        self._bytes += fast_path.size_bytes + (0 if id(entry) in self._sharing else entry.size_bytes)
        self._sharing[id(entry)] += 1
        self._lanes[chunk] = fast_path
        while self._bytes > self._max_bytes or len(self._lanes) > self._max_requests:
            self._forget(next(iter(self._lanes)))

    def _forget(self, chunk: bytes) -> None:
        fast_path = self._lanes.pop(chunk, None)
        if fast_path is None:
            return
        entry = fast_path.rendition.entry
        self._bytes -= fast_path.size_bytes
        self._sharing[id(entry)] -= 1
        if not self._sharing[id(entry)]:
            del self._sharing[id(entry)]
            self._bytes -= entry.size_bytes

    def _clear(self) -> None:
        self._lanes.clear()
        self._sharing.clear()
        self._bytes = 0
        self._documents = self._entries.documents

    def _render(self, fast_path: RememberedResponse, wall: float) -> bool:
        """Make the bytes for the present second; False when the slow path must look again."""
        entry, offset_seconds = fast_path.rendition.entry, self._clock.offset_seconds
        now = wall + offset_seconds
        fresh_for = entry.lifetimes.fresh_seconds - entry.age(now)
        loaded = self._entries.loaded
        if loaded is not None and loaded.entry is not entry:
            # While the document is stale the slow path refreshes it, whatever entry it answers from.
            fresh_for = min(fresh_for, loaded.entry.lifetimes.fresh_seconds - loaded.entry.age(now))
        if fresh_for <= 0 or not 0 <= wall - fast_path.learned_at < MAX_SECONDS:
            return False
        if not self._entries.holds(fast_path.rendition.key, entry):
            return False
        fast_path.version = self._entries.version
        fast_path.counters, fast_path.offset_seconds = self._counters.version, offset_seconds
        reply = fast_path.rendition.reply(now)
        head = render_head(reply, self._headers(reply), head_only=fast_path.head_only)
        body = b"" if fast_path.head_only else reply.body
        fast_path.wire, fast_path.body = (head, body) if len(body) > JOIN_BYTES else (head + body, b"")
        fast_path.good_from = wall
        fast_path.good_until = min(
            math.floor(wall) + 1.0,  # Date
            wall + _unchanged_for(entry, now),  # Age, ttl
            wall + MINUTE_SECONDS - now % MINUTE_SECONDS,  # used weight: a new window begins
            wall + fresh_for,
            fast_path.learned_at + MAX_SECONDS,
        )
        return True


def _unchanged_for(entry: Entry, now: float) -> float:
    """How long Age and ttl stay: Age counts up after each whole second, ttl down at the end of the running one."""
    if now < entry.stored_at:
        return 0.0
    age = entry.age(now)
    return min(1.0 - age % 1.0, (entry.lifetimes.fresh_seconds - age) % 1.0)


def render_head(reply: Reply, headers: list[tuple[str, str]], *, head_only: bool) -> bytes:
    """The head of an answer as aiohttp writes it: status line, our headers, Content-Length."""
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if reply.body or (reply.status != 304 and not head_only):
        lines.append(f"Content-Length: {len(reply.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
