"""The parts of the page that hold figures: fields, lists, gauges.

Owns: how a part names its figure, so that `assets/page.js` finds and renews it. Must not know: which figures there are.

`data-field` is the path of a figure in `/status`, or in the item of the list around it; `data-as` is how it is written
(`words.py`). `data-list` is the path of a list; its `<template>` is an item without figures, of which the script makes
the items that are new. So the structure of the page stands in Python only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from proxy.page.markup import Markup, join, tag
from proxy.page.words import WRITERS, found, level


class Scope(Struct, frozen=True):
    """Where paths begin: the whole status, or one item of a list. `item` is None in a template."""

    item: Any
    now: float

    def field(self, path: str, how: str = "text", name: str = "data") -> Markup:
        """One figure, with its value for programs."""
        value = None if self.item is None else found(self.item, path)
        shown = "" if self.item is None else WRITERS[how](value, self.now)
        attributes: dict[str, str] = {"data-field": path, "data-as": how}
        if name == "data":
            attributes["value"] = _plain(value)
        return tag(name, shown, **attributes)

    def items(self, path: str, name: str, item: Callable[[Scope], Markup], **attributes: str) -> Markup:
        """The element of a list, with its template and its items."""
        values = found(self.item, path) or ()
        template = tag("template", item(Scope(None, self.now)))
        shown = [item(Scope(value, self.now)) for value in values]
        return tag(name, template, *shown, data_list=path, **attributes)

    def empty(self, path: str, text: str) -> Markup:
        """What stands in the place of a list without items."""
        return tag("p", text, class_="empty", data_empty=path, hidden=bool(found(self.item, path)))

    def gauge(self) -> Markup:
        """The item, a window, as a bar: used, and the budget as a mark, of the limit. The figures stand beside it."""
        window: Mapping[str, Any] = self.item or {"used": 0, "budget": 1, "limit": 1}
        used, budget = share(window["used"], window["limit"]), share(window["budget"], window["limit"])
        bars = (
            tag("rect", class_="track", width="100", height="10"),
            tag("rect", class_="used", width=used, height="10"),
            tag("rect", class_="mark", x=budget, width="0.6", height="10"),
        )
        level_word = level(window).replace(" ", "-")
        shape = {"viewBox": "0 0 100 10", "preserveAspectRatio": "none", "aria-hidden": "true"}
        return tag("svg", *bars, class_="gauge", data_gauge=True, data_level=level_word, **shape)


def share(part: float, whole: float) -> str:
    """A part of a whole in percent, at most 100."""
    return f"{min(100.0, 100 * part / max(1, whole)):.1f}"


def table(scope: Scope, path: str, caption: str, columns: Mapping[str, tuple[str, str]]) -> Markup:
    """A table of a list. `columns`: heading to path and kind; the first is the heading of its row."""
    heads = (tag("th", heading, scope="col", class_=_align(how)) for heading, (_, how) in columns.items())

    def row(item: Scope) -> Markup:
        cells = [
            tag("td" if place else "th", item.field(field, how), class_=_align(how), **({} if place else _ROW))
            for place, (field, how) in enumerate(columns.values())
        ]
        return tag("tr", *cells)

    body = scope.items(path, "tbody", row)
    shown = tag("table", tag("caption", caption), tag("thead", tag("tr", *heads)), body)
    return tag("div", shown, class_="wide", role="region", aria_label=caption, tabindex="0")


_ROW = {"scope": "row"}


def _align(how: str) -> str:
    return "figure" if how in ("number", "duration", "left") else "word"


def facts(scope: Scope, named: Mapping[str, tuple[str, str]]) -> Markup:
    """Names and their figures. `named`: name to path and kind."""
    pairs = (tag("div", tag("dt", name), tag("dd", scope.field(*where))) for name, where in named.items())
    return tag("dl", *pairs)


def section(name: str, heading: str, *children: str) -> Markup:
    """A part of the page with a heading."""
    return tag(
        "section", tag("h2", heading, id=f"{name}-head"), join(*children), id=name, aria_labelledby=f"{name}-head"
    )


def _plain(value: Any) -> str:
    """The value as JavaScript writes it too."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None or isinstance(value, Mapping | list) else str(value)
