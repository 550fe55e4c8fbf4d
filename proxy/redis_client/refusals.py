"""What Redis answers with an error, and so which part of our work it does not do.

Owns: `Refusals`, the memory of the errors that a server answered. Must not know: operations, the driver, logs.

A server that refuses writes answers well otherwise: the breaker stays closed. A replica that is read-only, a server
that is full, a user without a right, a URL that names one node of a cluster: each serves some operations and refuses
others. So the parts are judged separately, by what was refused last.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

REMEMBERED_SECONDS = 120.0
"""A refused operation counts for this long, unless it succeeds before: it may be a rare one."""
_IN_PIPELINE = re.compile(r"Command # \d+ \((\w+).*\) of pipeline caused error: ", re.DOTALL)
"""What redis-py puts before the server's words: it repeats what it sent."""
_NAMED = re.compile(r"'([\w|]+)' command|unknown command '(\w+)'", re.ASCII)
_LONGEST_WORDS = 200


class Part(Enum):
    """What Redis does for the gateways. The value is part of a metric's name."""

    CACHE = "cache"
    """Entries and the fill lock."""
    QUOTA = "quota"
    """The ledger, blocks and the number of replicas."""
    FEED = "feed"
    """The changes of the documents."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that the server answered."""

    command: str
    """What was refused, in the words of the protocol: `EVALSHA`."""
    words: str
    """What the server said."""
    at: float = field(compare=False)
    """When, on the monotonic clock."""


class Refusals:
    """The last error of each operation of each part."""

    __slots__ = ("_monotonic", "_refused")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._refused: dict[tuple[Part, str], Refusal] = {}

    @property
    def has_any(self) -> bool:
        """Whether anything is remembered."""
        return bool(self._refused)

    def refused(self, part: Part, operation: str, *, command: str, words: str) -> None:
        """The server answered this operation with an error. `command` is what is refused if the words name nothing."""
        found = _IN_PIPELINE.search(words) or _NAMED.search(words)
        named = next((name for name in found.groups() if name), command) if found else command
        said = _IN_PIPELINE.sub("", words)[:_LONGEST_WORDS]
        self._refused[part, operation] = Refusal(named.replace("|", " ").upper(), said, self._monotonic())

    def served(self, part: Part, operation: str, *, is_probe: bool) -> None:
        """The server did this. `is_probe`: it is tried once a second. One that succeeds after it failed ends the
        trouble: that of its whole part, and of each operation of another part to which the same command was refused.
        """
        before = self._refused.pop((part, operation), None)
        if before is not None and is_probe:
            self._refused = {
                key: refusal
                for key, refusal in self._refused.items()
                if key[0] is not part and refusal.command != before.command
            }

    def of(self, part: Part) -> Refusal | None:
        """Why this part is not done; None: as far as known it is."""
        earliest = self._monotonic() - REMEMBERED_SECONDS
        for (refused, _), refusal in self._refused.items():
            if refused is part and refusal.at > earliest:
                return refusal
        return None
