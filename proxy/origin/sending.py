"""One request on its way to a host, and the answer as it came.

Owns: `Sending`, `Answer`. Must not know: which client sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy import __version__
from proxy.event_log import log

USER_AGENT = f"binance-sidecar/{__version__}"


class Sending:
    """The check of one request, and whether it has passed."""

    def __init__(self, check: Callable[[], None], wall: Callable[[], float]) -> None:
        self._check = check
        self._wall = wall
        self.is_allowed = False
        self.at = 0.0
        """When the first byte was about to be written, by the wall clock."""

    def check(self) -> None:
        """Call this right before the first byte is written. What it raises ends the attempt."""
        self._check()
        self.at = self._wall()
        self.is_allowed = True
        log.debug("sending")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of a host."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    raw: bytes
    """The body in the coding that the host chose."""
    received_at: float
    """Wall time at which the head arrived."""
