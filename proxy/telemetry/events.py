"""What happened to this gateway, for people: one plain sentence for each change of state.

Owns: the words and sentences of the events, their log lines, and the last of them. Must not know: how a change is
noticed. No single request is ever an event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from proxy.core.document.changes import ChangedSymbols
from proxy.core.quota.block import Block, BlockReason
from proxy.event_log import log
from proxy.page import words

KEPT = 50
"""Events that are remembered, and as many changes of documents."""
NAMED = 10
"""Symbols that a sentence names."""


class EventName(StrEnum):
    """What happened. The value is the word in logs and in `/status`."""

    BANNED = "banned"
    BACKED_OFF = "backed_off"
    PAUSED = "paused"
    LIFTED = "lifted"
    LIMITS_CHANGED = "limits_changed"
    LISTED = "listed"
    DELISTED = "delisted"
    STATUS_CHANGED = "status_changed"
    REDIS_LOST = "redis_lost"
    REDIS_SHARED = "redis_shared"
    ORIGIN_LOST = "origin_lost"
    ORIGIN_FOUND = "origin_found"


_OF_DOCUMENTS = frozenset({EventName.LISTED, EventName.DELISTED, EventName.STATUS_CHANGED})
_WARNINGS = frozenset(
    {EventName.BANNED, EventName.BACKED_OFF, EventName.PAUSED, EventName.REDIS_LOST, EventName.ORIGIN_LOST}
)
_BLOCKED: Mapping[BlockReason, tuple[EventName, str]] = {
    BlockReason.BAN: (EventName.BANNED, "Binance banned this IP (418) in pool {}"),
    BlockReason.BACK_OFF: (EventName.BACKED_OFF, "Binance answered 429 in pool {}"),
    BlockReason.PAUSE: (EventName.PAUSED, "Binance's firewall refused this IP (403) in pool {}"),
}


class Event(Struct, frozen=True):
    """One change of state."""

    name: EventName
    text: str
    """The sentence."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs, in the log line."""


class Told(Struct, frozen=True):
    """An event, and when it was noticed: seconds since the epoch by the origin's clock."""

    at: float
    event: Event

    def as_json(self) -> dict[str, Any]:
        """The event as `/status` shows it."""
        return {"at": round(self.at, 3), "event": self.event.name.value, "text": self.event.text}


class Journal:
    """Writes each event to the log, and remembers the last ones."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: the origin's clock."""
        self._now = now
        self._events: deque[Told] = deque(maxlen=KEPT)
        self._changes: deque[Told] = deque(maxlen=KEPT)

    def tell(self, event: Event) -> None:
        """Log an event and remember it."""
        kept = self._changes if event.name in _OF_DOCUMENTS else self._events
        kept.append(Told(self._now(), event))
        write = log.warning if event.name in _WARNINGS else log.info
        write(event.name.value, text=event.text, **event.fields)

    def events(self) -> list[dict[str, Any]]:
        """The last changes of this gateway's own state, the latest first."""
        return [told.as_json() for told in reversed(self._events)]

    def changes(self) -> list[dict[str, Any]]:
        """The last changes of the documents, the latest first."""
        return [told.as_json() for told in reversed(self._changes)]


def utc(seconds: float) -> str:
    """A time for people: `2026-11-27 15:42:10 UTC`. A time that no calendar has stands as a number."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError):
        return str(seconds)


def blocked(pool: str, block: Block) -> Event:
    """Nothing is sent in this pool for a while."""
    name, cause = _BLOCKED[block.reason]
    return Event(
        name,
        f"{cause.format(pool)}; nothing is sent there until {utc(block.until)}.",
        {"pool": pool, "until": round(block.until, 3)},
    )


def lifted(pool: str, block: Block) -> Event:
    """The block is over."""
    word = {BlockReason.BAN: "ban", BlockReason.BACK_OFF: "back-off", BlockReason.PAUSE: "pause"}[block.reason]
    return Event(EventName.LIFTED, f"The {word} in pool {pool} is over; requests are sent again.", {"pool": pool})


def limits_changed(pool: str, before: Mapping[str, int], after: Mapping[str, int]) -> Event:
    """The origin names other limits. Both map the name of a window to its limit."""
    text = f"The limits of pool {pool} are now {_limits(after)}; they were {_limits(before)}."
    return Event(EventName.LIMITS_CHANGED, text, {"pool": pool, "old": dict(before), "new": dict(after)})


def _limits(limits: Mapping[str, int]) -> str:
    return ", ".join(f"{words.window(name)} {limit:,}" for name, limit in limits.items()) or "none"


def redis_changed(*, cache: bool, quota: bool) -> Event:
    """What Redis does for all replicas now."""
    fields = {"cache": cache, "quota": quota}
    match cache, quota:
        case True, True:
            return Event(EventName.REDIS_SHARED, "Redis shares cache and quota among all replicas again.", fields)
        case True, False:
            text = "Redis takes no reservations; this replica counts alone with a part of the budget."
        case False, True:
            text = "Redis takes no entries; this replica caches alone."
        case _:
            text = "Redis is away; this replica caches alone, and counts alone with a part of the budget."
    return Event(EventName.REDIS_LOST, text, fields)


def origin_changed(api: str, *, is_reached: bool) -> Event:
    """Every host of an API fails, or one of them answers again."""
    if is_reached:
        return Event(EventName.ORIGIN_FOUND, f"Binance's {api} API answers again.", {"api": api})
    return Event(EventName.ORIGIN_LOST, f"No host of Binance's {api} API answers.", {"api": api})


def document_events(changes: ChangedSymbols, *, api: str) -> Iterable[Event]:
    """What a new full document of an API changed: one event for each kind."""
    if changes.added:
        yield _symbols(EventName.LISTED, f"Binance listed {{}} on {api}", changes.added, api)
    if changes.removed:
        yield _symbols(EventName.DELISTED, f"Binance removed {{}} from {api}", changes.removed, api)
    if changes.changed_status:
        yield _symbols(EventName.STATUS_CHANGED, f"The status of {{}} on {api} changed", changes.changed_status, api)


def _symbols(name: EventName, sentence: str, symbols: Sequence[str], api: str) -> Event:
    count = "1 symbol" if len(symbols) == 1 else f"{len(symbols):,} symbols"
    shown = [symbol[:40] for symbol in symbols[:NAMED]]
    more = f" and {len(symbols) - NAMED:,} more" if len(symbols) > NAMED else ""
    text = f"{sentence.format(count)}: {', '.join(shown)}{more}."
    return Event(name, text, {"api": api, "count": len(symbols), "symbols": shown})
