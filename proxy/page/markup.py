"""HTML elements, in which every text is escaped.

Owns: elements and escaping. Must not know: what the page shows. No attribute holds a style or a script: the page's
Content-Security-Policy forbids both.
"""

from __future__ import annotations

from html import escape

_EMPTY_ELEMENTS = frozenset({"link", "meta"})
"""Those that the page uses and that have no end tag. Inside an SVG every element has one."""


class Markup(str):
    """HTML that is already escaped."""

    __slots__ = ()


def join(*parts: str) -> Markup:
    """The parts one after the other; those that are not Markup are escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def tag(name: str, /, *children: str, **attributes: str | bool) -> Markup:
    """An element. In an attribute's name `_` is `-`, or nothing at its end; True has no value, False is left out."""
    shown = "".join(_attribute(key, value) for key, value in attributes.items() if value is not False)
    if name in _EMPTY_ELEMENTS:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{join(*children)}</{name}>")


def _attribute(key: str, value: str | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
