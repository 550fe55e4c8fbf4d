"""Whether the push channel is proven alive, and when the next heartbeat is due.

Owns: the times of pushes by this process' monotonic clock. Must not know: Redis, what a push says.

Whoever heard no heartbeat for a moment of random length calls for one, so all replicas together cause some seven a
second, however many they are: a few of them, another few each time, are ready earlier than the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from proxy.core.quota.push_trust import PushTrust

BEAT_SECONDS = 0.14
"""No heartbeat is called for sooner after the last one."""
BEAT_SPREAD_SECONDS = 0.04
"""The random part of that, so that one replica calls for all."""
READY_REPLICAS = 4
"""About so many are ready in that time; the others call after it, if nobody did."""
SILENCE_SECONDS = 1.0
"""After so long without proof the channel is silent: everything is given back, and it is opened anew."""


class PushProof:
    """What one process knows of its channel."""

    __slots__ = ("_beat_at", "_chance", "_monotonic", "_proven_at", "_renewed_at", "_replicas", "_trust")

    def __init__(
        self, monotonic: Callable[[], float], chance: Callable[[], float], replicas: Callable[[], int]
    ) -> None:
        """`replicas`: how many share the channel."""
        self._monotonic = monotonic
        self._chance = chance
        self._replicas = replicas
        self._trust = PushTrust()
        self._beat_at = -math.inf
        self._proven_at = self._renewed_at = -math.inf

    def start(self) -> None:
        """The channel is opened."""
        self._proven_at = self._renewed_at = self._monotonic()

    def holds(self) -> bool:
        """Whether this process would know of a block by now."""
        return self._monotonic() < self._trust.trusted_until

    def answered(self, server_seconds: float, *, sent_at: float) -> None:
        """A call that was sent at `sent_at` was answered with the server's time."""
        self._trust.answered(server_seconds, sent_at=sent_at)

    def pushed(self, server_seconds: float) -> None:
        """A push arrived."""
        self._trust.pushed(server_seconds, received_at=self._monotonic())
        self.beat()

    def beat(self) -> None:
        """A heartbeat was heard or called for: the next one is due a moment later."""
        is_ready = self._replicas() * self._chance() < READY_REPLICAS
        part = self._chance() + (0 if is_ready else 1)
        self._beat_at = self._monotonic() + BEAT_SECONDS + BEAT_SPREAD_SECONDS * part

    def beat_in(self) -> float:
        """In how many seconds it is time to call for a heartbeat."""
        return self._beat_at - self._monotonic()

    def is_silent(self) -> bool:
        """Whether there was no proof for long. Call it often: it also notes when there is one."""
        at = self._monotonic()
        if self.holds():
            self._proven_at = at
        return at - self._proven_at > SILENCE_SECONDS

    def must_renew(self) -> bool:
        """Whether a silent channel should be opened anew: once in a while."""
        at = self._monotonic()
        if at - self._renewed_at <= SILENCE_SECONDS:
            return False
        self._renewed_at = at
        return True
