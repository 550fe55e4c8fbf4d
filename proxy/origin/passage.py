"""What a request needs to pass the gate.

Owns: `Passage`. Must not know: the gate.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.core.quota.demand import Demand


class MustWait(Exception):
    """The ledger cannot charge without waiting."""


class Passage(Struct, frozen=True):
    """What a request needs to pass."""

    demand: Demand
    deadline: float
    """On the monotonic clock. After it nothing is sent."""
