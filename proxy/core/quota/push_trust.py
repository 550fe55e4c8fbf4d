"""How long a process may rely on the push channel: whether it would know by now of a block.

Owns: the age of a push, by the store's clock, and the time until which the channel is proven alive. Must not know:
Redis, what a push says. Local times are seconds of a monotonic clock.

A frozen server delivers old pushes when it wakes. So a push proves nothing by its arrival, but by the time at which
the server sent it. How that clock stands to ours is known from the process' own calls: an answer with the server's
time S, to a call sent at `a`, proves that S was at `a` or later.
"""

from __future__ import annotations

import math
from collections import deque

TRUST_SECONDS = 0.3
"""The channel is proven alive for so long after a push was sent."""
CONTRADICTION_SECONDS = 0.05
"""A push that was sent so long after it arrived shows that a clock was set."""
_REMEMBERED = 8


class PushTrust:
    """What one process knows of its channel."""

    __slots__ = ("_ahead_seconds", "trusted_until")

    def __init__(self) -> None:
        self.trusted_until = -math.inf
        self._ahead_seconds: deque[float] = deque(maxlen=_REMEMBERED)
        """The most by which the server's clock can be ahead of ours, by each of the last answers."""

    def answered(self, server_seconds: float, *, sent_at: float) -> None:
        """A call that was sent at `sent_at` was answered with the server's time."""
        self._ahead_seconds.append(server_seconds - sent_at)

    def pushed(self, server_seconds: float, *, received_at: float) -> None:
        """A push arrived. It proves nothing while the server's clock is not known."""
        if not self._ahead_seconds:
            return
        sent_at = server_seconds - min(self._ahead_seconds)
        if sent_at > received_at + CONTRADICTION_SECONDS:
            self.forget()
            return
        self.trusted_until = max(self.trusted_until, min(sent_at, received_at) + TRUST_SECONDS)

    def forget(self) -> None:
        """The channel is proven no more, and the server may be another."""
        self._ahead_seconds.clear()
        self.trusted_until = -math.inf
