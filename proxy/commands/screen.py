"""One screen of `binance-sidecar top`, of a given size, out of the figures of `/status`.

Owns: what fits on it and in which order. Must not know: where the figures come from, when they are renewed. Importing
it needs rich. What others wrote (names of clients, texts) is shown without control characters: a terminal obeys them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from proxy.page.words import WRITERS, found, level

Status = Mapping[str, Any]

COLOURS = {"healthy": "white on green4", "starting": "white on blue3", "draining": "white on blue3"}
ALARMS = frozenset({"banned", "back-off", "paused", "used-up", "origin-away"})
LEVELS = {"low": "green", "near the limit": "yellow", "used up": "red"}
GAUGE_WIDTH = 10
FIXED_LINES = 13
"""The lines of the head, the state, the headings and the foot, where sentences take two lines."""
MOST_WINDOWS = 7


def screen(status: Status, *, height: int) -> Group:
    """The whole screen."""
    rows = max(2, height - FIXED_LINES)
    windows = min(len(status["windows"]), MOST_WINDOWS, max(1, rows * 3 // 5))
    return Group(
        _head(status),
        *_state(status["summary"], status["now"]),
        _windows(status, windows),
        _spending(status, max(1, rows - windows)),
        *_foot(status),
    )


def no_answer(reason: str) -> Group:
    """The screen while the gateway does not answer."""
    return Group(Padding(Text("No answer", "bold white on red3"), expand=True, style="white on red3"), _plain(reason))


def _head(status: Status) -> Text:
    about = ("version", "venue", "quota_domain")
    words = " ".join(_shown(status, path) for path in about)
    return _plain(f"binance-sidecar {words}, up {_shown(status, 'uptime_seconds', 'duration')}", "dim")


def _state(summary: Status, now: float) -> tuple[RenderableType, ...]:
    colour = COLOURS.get(summary["state"], "white on red3" if summary["state"] in ALARMS else "black on yellow3")
    ends = "" if summary["until"] is None else f", ends in {WRITERS['left'](summary['until'], now)}"
    others = f" (and {len(summary['also'])} more)" if summary["also"] else ""
    title = Padding(_plain(f"{summary['title']}{ends}{others}", "bold"), (0, 1), style=colour)
    return title, Text(_clean(summary["text"])), Text(_clean(summary["advice"]), "dim")


def _windows(status: Status, count: int) -> Table:
    """The fullest windows."""
    table = _table()
    table.add_column("pool", no_wrap=True, ratio=1)
    for heading, width in (("window", 17), ("", GAUGE_WIDTH)):
        table.add_column(heading, no_wrap=True, width=width)
    for heading, width in (("used", 7), ("budget", 7), ("limit", 7), ("ends in", 10)):
        table.add_column(heading, justify="right", no_wrap=True, width=width)
    ordered = sorted(status["windows"], key=lambda window: -window["used"] / max(1, window["budget"]))
    for window in ordered[:count]:
        figures = (_shown(window, name, "number") for name in ("used", "budget", "limit"))
        ends = WRITERS["left"](window["reset"], status["now"])
        name = _plain(_shown(window, "window", "window"))
        table.add_row(_plain(window["pool"]), name, _gauge(window), *figures, ends)
    return table


def _gauge(window: Status) -> Text:
    """A bar of the limit, with the budget as a mark."""
    limit = max(1, window["limit"])
    used = min(GAUGE_WIDTH, round(GAUGE_WIDTH * window["used"] / limit))
    mark = min(GAUGE_WIDTH - 1, round(GAUGE_WIDTH * window["budget"] / limit))
    bar = ["█" if place < used else "░" for place in range(GAUGE_WIDTH)]
    bar[mark] = "|"
    return Text("".join(bar), LEVELS[level(window)])


def _spending(status: Status, count: int) -> Table:
    """Clients on the left, endpoints on the right."""
    both = Table.grid(expand=True, padding=(0, 2))
    clients = _ranking("client", ("weight spent",), status["clients"][:count], ("client", "weight_spent"))
    headings, fields = ("spent", "saved"), ("endpoint", "weight_spent", "weight_saved")
    both.add_row(clients, _ranking("endpoint", headings, status["endpoints"][:count], fields))
    return both


def _ranking(name: str, headings: Sequence[str], items: Sequence[Status], fields: Sequence[str]) -> Table:
    table = _table()
    table.add_column(name, no_wrap=True, ratio=1)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for item in items:
        table.add_row(_plain(str(item[fields[0]])), *(_shown(item, field, "number") for field in fields[1:]))
    return table


def _foot(status: Status) -> tuple[Text, ...]:
    traffic = {name: _shown(status["traffic"], name, "number") for name in status["traffic"]}
    documents = ", ".join(
        f"{document['endpoint']} {WRITERS['duration'](document['age_seconds'], 0.0)}"
        for document in status["documents"]
    )
    redis = status["redis"]
    shares = "" if redis["up"] is None else f", cache shared {_yes(redis['cache_shared'])}, quota shared "
    shares += "" if redis["up"] is None else _yes(redis["quota_shared"])
    last = next(iter(status["events"] + status["changes"]), None)
    return (
        _plain(
            f"{traffic['requests']} requests, {traffic['from_cache']} of them without one to Binance; "
            f"weight {traffic['weight_spent']} spent, {traffic['weight_saved']} saved"
        ),
        _plain(f"Redis {redis['url']}{shares}, replicas {redis['replicas']}"),
        _plain(f"documents: {documents or 'none'}"),
        _plain("" if last is None else f"{WRITERS['ago'](last['at'], status['now'])}: {last['text']}"),
    )


def _yes(value: object) -> str:
    return WRITERS["yes"](value, 0.0)


def _shown(item: Status, path: str, how: str = "text") -> str:
    return _clean(WRITERS[how](found(item, path), 0.0))


def _plain(text: str, style: str = "") -> Text:
    """One line, cut where the terminal ends."""
    return Text(_clean(text), style, no_wrap=True, overflow="ellipsis")


def _clean(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _table() -> Table:
    return Table(box=None, expand=True, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
