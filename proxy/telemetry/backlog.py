"""Events that are counted later, many in a row.

Owns: how many may wait, and their order. Must not know: which events.

What is counted for each request alone, between requests that are far apart, costs several times as much as in a row:
nothing that it needs is in the processor's caches any more. An event is a tuple that begins with what it belongs to.
Whoever keeps events counts them before anybody reads, and when there are too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

MOST = 256
"""With so many it is time to count."""
_OWNER = itemgetter(0)


def by_owner(events: Iterable[tuple[Any, ...]]) -> Iterable[tuple[str, Iterator[tuple[Any, ...]]]]:
    """The events of each endpoint or host, in the order in which they happened. Read one's before the next one's."""
    return groupby(sorted(events, key=_OWNER), _OWNER)
