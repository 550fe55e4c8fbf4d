"""Whether the push channel is proven alive, and when the next heartbeat is due.

Owns: the times of pushes by this process' monotonic clock. Must not know: Redis, what a push says.

A replica that heard no heartbeat for a moment calls for one. The moment is drawn by chance, and the shortest ones lie
far apart, so nearly always one replica calls for all: some five heartbeats a second, however many replicas there are.
A replica that misses one calls for the next itself while the last one that it heard still proves the channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from proxy.core.quota.push_trust import PushTrust

BEAT_SECONDS = 0.18
"""No heartbeat is called for sooner after the last one."""
BEAT_SPREAD_SECONDS = 0.066
"""The random part of that, so that one replica calls for all."""
APART = 10
"""The larger this is, the farther apart lie the shortest moments of many replicas."""
OWN_SECONDS = 0.03
"""A push that is heard so soon after this process called for one is its own."""
SILENCE_SECONDS = 1.0
"""After so long without proof the channel is silent: everything is given back, and it is opened anew."""


def beat_after(chance: float, replicas: int) -> float:
    """How many seconds after the last heartbeat one of so many replicas calls for the next. `chance`: from 0 to 1."""
    return BEAT_SECONDS + BEAT_SPREAD_SECONDS * math.log1p(APART * replicas * chance) / math.log1p(APART * replicas)


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
        """A push arrived. If this process has just called for it, the moment of the next one is drawn already."""
        at = self._monotonic()
        self._trust.pushed(server_seconds, received_at=at)
        if self._beat_at - at < BEAT_SECONDS - OWN_SECONDS:
            self.beat()

    def beat(self) -> None:
        """A heartbeat was heard or called for: the next one is due a moment later."""
        self._beat_at = self._monotonic() + beat_after(self._chance(), self._replicas())

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
