"""Headers that are lists: their members may come in several lines (RFC 9110, section 5.3).

Owns: all lines of one. Must not know: which headers are lists, what they mean.
"""

from __future__ import annotations

from multidict import MultiMapping


def list_in(headers: MultiMapping[str], name: str) -> str | None:
    """The list as one line; None if there is none."""
    lines = headers.getall(name, ())
    return ", ".join(lines) if lines else None
