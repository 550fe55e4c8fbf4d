"""What a request needs to pass the gate.

Owns: `Passage`. Must not know: the gate.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.core.quota.ratios import Purpose


class MustWait(Exception):
    """The ledger cannot charge without waiting."""


class Passage(Struct, frozen=True):
    """What a request needs to pass."""

    weight: int
    deadline: float
    """On the monotonic clock. After it nothing is sent."""
    purpose: Purpose = Purpose.PUBLIC
    refundable: bool = False
    """Whether the origin takes the weight back on a 2xx."""
    client: str | None = None

    @property
    def is_keyed(self) -> bool:
        """Whether it goes before all others."""
        return self.purpose is Purpose.KEYED
