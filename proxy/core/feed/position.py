"""How far a reader of the feed has come: the ids of the events.

Owns: the form of an id, and how two positions compare. Must not know: what a change is, where changes are kept.

The changes of one API are numbered without gaps. An epoch is the life of that numbering: when the changes that were
kept are lost, a new epoch begins, and nobody can tell what was missed in between. A later epoch has a larger number:
it is the time of its start in milliseconds. A position has a mark for each API, because each API's changes are stored
beside its own document. `1785050100123-57.1785050100456-3.1785050100789-0` has seen 57, 3 and 0 changes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.core.endpoints.endpoint import Api

FEED_APIS = (Api.SPOT, Api.USD_FUTURES, Api.COIN_FUTURES)
"""The APIs whose changes are told, in the order of the marks in an id."""
_MARK = re.compile(r"(0|[1-9][0-9]{0,14})-(0|[1-9][0-9]{0,14})")


class Mark(NamedTuple):
    """How far in the changes of one API."""

    epoch: int
    number: int
    """The last change; 0: none of this epoch."""


NOWHERE = Mark(0, 0)
"""Of an API that is not served, or of which nothing is known yet."""

Position = tuple[Mark, ...]
"""One mark for each of FEED_APIS."""
START: Position = (NOWHERE,) * len(FEED_APIS)
UNKNOWN: Position = (Mark(-1, 0),) * len(FEED_APIS)
"""Of a reader whose id is none of ours."""


def encode(position: Position) -> str:
    """The id of an event: what a reader has seen once it has this event."""
    return ".".join(f"{mark.epoch}-{mark.number}" for mark in position)


def decode(text: str) -> Position | None:
    """The position in an id; None if it is not one of ours."""
    found = [_MARK.fullmatch(part) for part in text.strip().split(".")]
    if len(found) != len(FEED_APIS):
        return None
    marks = tuple(Mark(int(match[1]), int(match[2])) for match in found if match is not None)
    return marks if len(marks) == len(FEED_APIS) else None
