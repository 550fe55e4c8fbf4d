"""The last changes of all APIs in one process, and where each reader stands in them.

Owns: the order of the changes, the bounds of what is kept, and what a reader at a position gets next. Must not know:
where the changes come from, who reads them.

Readers share one log and keep only a cursor: a slow one costs no memory. The changes of an API are numbered without
gaps, so a reader takes a change only if it is the very next one; it passes by those that it has seen on another
replica, and those after a gap. A reset lifts it over the gap. A reader that falls behind the bounds gets one too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice

from msgspec import Struct

from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.position import FEED_APIS, NOWHERE, START, Mark, Position, encode
from proxy.core.feed.record import RESET, Record, StoredChange, event_bytes, record_of, reset
from proxy.core.feed.selection import Selection

BATCH_BYTES = 64 << 10
"""About how much a reader gets at once."""
BATCH_RECORDS = 500
"""How many records are looked through at once."""
_BATCHES = 64
"""How many batches are remembered for other readers at the same place."""
_PLACES = {api: place for place, api in enumerate(FEED_APIS)}


class Bounds(Struct, frozen=True):
    """What is kept at most."""

    changes: int = 20_000
    bytes: int = 8 << 20
    seconds: float = 86400.0


class News(Struct, frozen=True):
    """What is new of one API."""

    api: Api
    mark: Mark
    """Of the last change that there is."""
    changes: tuple[StoredChange, ...] = ()
    """The changes up to that mark, oldest first."""
    is_continued: bool = True
    """Whether nothing is missing between the last news and these."""


class Cursor(Struct, frozen=True):
    """Where a reader is. Can be a key."""

    serial: int
    """The next record of this log."""
    position: Position
    """What the reader has seen."""


class Batch(Struct, frozen=True):
    """What a reader gets next."""

    data: bytes
    """Events; empty if nothing is for this reader."""
    cursor: Cursor
    """Where it is then."""


class ChangeLog:
    """The changes in the order in which this process learned of them."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._records: list[Record] = []
        self._first = 0
        """The serial of the first record."""
        self._bytes = 0
        self._serials: dict[Api, list[int]] = {api: [] for api in FEED_APIS}
        """The serials of the changes of an API, without those before its last gap."""
        self._batches: dict[tuple[Selection, Cursor], Batch] = {}
        self.position: Position = START
        """Of the last record."""

    @property
    def end(self) -> Cursor:
        """Where a reader is that has seen everything."""
        return Cursor(self._first + len(self._records), self.position)

    @property
    def counted(self) -> tuple[int, int]:
        """How many changes are kept, and about their bytes."""
        return len(self._records), self._bytes

    def mark_of(self, api: Api) -> Mark:
        """Of the last known change of an API."""
        return self.position[_PLACES[api]]

    def add(self, news: Iterable[News], *, now: float) -> int:
        """Take over what is new. Returns how many records that gave. `now`: seconds by the origin's clock.

        Raises ValueError for a change that cannot be read; then nothing is taken over.
        """
        items = list(news)
        read = [list(_read(each)) for each in items]
        before, known = self.end.serial, self.position
        for each in items:
            if not each.is_continued:
                self._serials[each.api] = []
        for record in merge(*read, key=lambda record: record.time_ms):
            self._serials[record.apis[0]].append(self.end.serial)
            self._push(record)
        marks = dict(zip(FEED_APIS, known, strict=True)) | {each.api: each.mark for each in items}
        self.position = tuple(marks.values())
        lost = {each.api: each.mark for each in items if not each.is_continued and known[_PLACES[each.api]].epoch}
        if lost:
            self._push(reset(lost, time_ms=round(now * 1000)))
        self._trim(now)
        self._batches.clear()
        return self.end.serial - before

    def start(self, seen: Position, selection: Selection) -> tuple[Cursor, bytes]:
        """Where a reader goes on that has seen this, and the event that it gets first: a reset, or nothing."""
        lost = {api: self.mark_of(api) for api in FEED_APIS if not self._reaches(api, seen[_PLACES[api]])}
        first = self._reset_bytes(lost, selection) if lost else b""
        if first:
            return self.end, first
        marks = tuple(lost.get(api, mark) for api, mark in zip(FEED_APIS, seen, strict=True))
        return Cursor(min(self._next(api, mark) for api, mark in zip(FEED_APIS, marks, strict=True)), marks), b""

    def batch(self, cursor: Cursor, selection: Selection) -> Batch:
        """What a reader gets next. Call it again while it moves the cursor."""
        if cursor.serial == self.end.serial:
            return Batch(b"", cursor)
        if cursor.serial < self._first:
            return Batch(self._reset_bytes(dict(zip(FEED_APIS, self.position, strict=True)), selection), self.end)
        known = self._batches.get((selection, cursor))
        if known is None:
            if len(self._batches) >= _BATCHES:
                self._batches.clear()
            known = self._batches[selection, cursor] = self._batch(cursor, selection)
        return known

    def select(self, cursor: Cursor, selection: Selection) -> list[tuple[str, str, bytes]]:
        """Id, event and data of everything that a reader has not seen. The cursor is one of `start`."""
        return [
            (encode(position), record.event, data)
            for record, data, position in self._for(cursor, selection)
            if data is not None
        ]

    def oldest(self) -> Cursor:
        """Where a reader is that has seen nothing of what is kept."""
        marks = (
            Mark(mark.epoch, mark.number - len(self._serials[api]))
            for api, mark in zip(FEED_APIS, self.position, strict=True)
        )
        return Cursor(self._first, tuple(marks))

    def _batch(self, cursor: Cursor, selection: Selection) -> Batch:
        parts: list[bytes] = []
        size_bytes, serial, position = 0, cursor.serial, cursor.position
        for record, data, position in self._for(cursor, selection):
            serial += 1
            if data is not None:
                parts.append(event_bytes(record.event, data, position))
                size_bytes += len(parts[-1])
            if size_bytes >= BATCH_BYTES or serial - cursor.serial >= BATCH_RECORDS:
                break
        return Batch(b"".join(parts), Cursor(serial, position))

    def _for(self, cursor: Cursor, selection: Selection) -> Iterator[tuple[Record, bytes | None, Position]]:
        """The records after a cursor: what the reader gets of each, and what it has seen then."""
        position = cursor.position
        for record in islice(self._records, cursor.serial - self._first, None):
            after = _after(record, position)
            data = None if after is None else selection.data_of(record)
            position = after or position
            yield record, data, position

    def _reaches(self, api: Api, mark: Mark) -> bool:
        """Whether all changes of an API after this mark are kept."""
        last = self.mark_of(api)
        if last == NOWHERE:
            return True  # this API is not served here
        return mark.epoch == last.epoch and last.number - len(self._serials[api]) <= mark.number <= last.number

    def _next(self, api: Api, mark: Mark) -> int:
        """The serial of the first change after this mark."""
        missing = self.mark_of(api).number - mark.number
        return self._serials[api][-missing] if missing > 0 else self.end.serial

    def _reset_bytes(self, lost: dict[Api, Mark], selection: Selection) -> bytes:
        """The event that lifts a reader to the end; empty if it is about none of the reader's APIs."""
        record = reset(lost, time_ms=self._records[-1].time_ms if self._records else 0)
        data = selection.data_of(record)
        return b"" if data is None else event_bytes(RESET, data, self.position)

    def _push(self, record: Record) -> None:
        self._records.append(record)
        self._bytes += record.size_bytes

    def _trim(self, now: float) -> None:
        """Forget the oldest records that are beyond the bounds."""
        oldest_ms = (now - self._bounds.seconds) * 1000
        count = 0
        for count, record in enumerate(self._records):
            fits = len(self._records) - count <= self._bounds.changes and self._bytes <= self._bounds.bytes
            if fits and record.time_ms >= oldest_ms:
                break
            self._bytes -= record.size_bytes
            for api in record.apis:
                if self._serials[api][:1] == [self._first + count]:
                    del self._serials[api][0]
        else:
            count = len(self._records)
        del self._records[:count]
        self._first += count


def _read(news: News) -> Iterator[Record]:
    first = news.mark.number - len(news.changes) + 1
    for number, change in enumerate(news.changes, first):
        yield record_of(change, Mark(news.mark.epoch, number))


def _after(record: Record, seen: Position) -> Position | None:
    """What a reader has seen after a record; None: this record is not for it."""
    marks = list(seen)
    for api, mark in zip(record.apis, record.marks, strict=True):
        place = _PLACES[api]
        is_next = seen[place] == Mark(mark.epoch, mark.number - 1)
        is_behind = seen[place].epoch != mark.epoch or seen[place].number < mark.number
        if is_behind if record.is_reset else is_next:
            marks[place] = mark
    return None if tuple(marks) == seen else tuple(marks)
