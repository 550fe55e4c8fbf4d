"""Whether the store still has what it had: by its birth mark, and by the numbers of what it pushed.

Owns: the last mark, number and time. Must not know: leases, what is done when data is lost.
"""

from __future__ import annotations

import math

from msgspec import Struct


class StoreMark(Struct):
    """What one process knows of the store's identity."""

    birth: str = ""
    """Names the store's data; empty: not known."""
    number: int = -1
    """Of the last push."""
    server_seconds: float = -math.inf
    """When it was sent."""

    def is_old(self, number: int, server_seconds: float) -> bool:
        """Whether a push is older than the last one."""
        return number <= self.number and server_seconds <= self.server_seconds

    def adopt(self, birth: str, number: int, server_seconds: float) -> bool:
        """Take over the birth mark. Whether the store has lost data: it was born anew, or has lost the last push."""
        is_lost = self.birth not in ("", birth) or (number < self.number and server_seconds > self.server_seconds)
        self.birth = birth
        return is_lost
