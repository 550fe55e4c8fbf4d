"""Figures as people read them: in full, with units, times in UTC.

Owns: how each kind of figure is written. Must not know: where it stands. `assets/page.js` writes them in the same way,
and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

NONE = "-"
"""Where there is no figure."""
NEAR = 0.8
"""The part of a budget from which on a window is near its limit."""

Write = Callable[[Any, float], str]
"""Writes a value. The second argument is the time by Binance's clock."""


def number(value: Any, _: float = 0.0) -> str:
    """`17,823,456`; a fraction has at most three digits."""
    if not _is_number(value):
        return NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}".rstrip("0").rstrip(".")


def duration(value: Any, _: float = 0.0) -> str:
    """Seconds as the two largest units: `42 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if not _is_number(value):
        return NONE
    seconds = max(0, int(value))
    units = ((seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s"))
    first = next((place for place, (count, _) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2])


def left(value: Any, now: float) -> str:
    """The time until a moment."""
    return duration(value - now if _is_number(value) else None)


def ago(value: Any, now: float) -> str:
    """The time since a moment."""
    return f"{duration(now - value)} ago" if _is_number(value) else NONE


def moment(value: Any, _: float = 0.0) -> str:
    """`2026-11-27 15:42:10 UTC`."""
    try:
        return f"{datetime.fromtimestamp(int(value), UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, TypeError, ValueError):
        return NONE


def text(value: Any, _: float = 0.0) -> str:
    """A word as it stands."""
    return NONE if value is None else str(value)


def window(value: Any, _: float = 0.0) -> str:
    """The name of a rate-limit window: `REQUEST_WEIGHT 1m`."""
    return text(value).replace(":", " ")


def yes(value: Any, _: float = 0.0) -> str:
    """`yes` or `no`."""
    return NONE if value is None else "yes" if value else "no"


def level(value: Mapping[str, Any], _: float = 0.0) -> str:
    """How full a window is: `low`, `near the limit` or `used up`."""
    used, budget = value["used"], value["budget"]
    return "used up" if used >= budget else "near the limit" if used >= NEAR * budget else "low"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


WRITERS: Mapping[str, Write] = {
    "number": number,
    "duration": duration,
    "left": left,
    "ago": ago,
    "moment": moment,
    "text": text,
    "window": window,
    "yes": yes,
    "level": level,
}
"""The kinds of figures, by the word in the page's `data-as`."""


def found(status: Any, path: str) -> Any:
    """The value at a path such as `traffic.requests`; None where there is none. `.` is the value itself."""
    value = status
    for name in path.split(".") if path != "." else ():
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
