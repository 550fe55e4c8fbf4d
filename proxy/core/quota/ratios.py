"""The part of each limit that a request may use, by what it is for.

Owns: `Purpose` and `Ratios`, and how a part is rounded. Must not know: limits, windows, where usage is kept.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import assert_never

from msgspec import Struct


def part_of(whole: int, ratio: float) -> int:
    """A part, rounded down. Rounding first removes floating-point error: 0.29 of 100 is 29."""
    return math.floor(round(whole * ratio, 6))


class Purpose(Enum):
    """What a request to the origin is for."""

    __hash__ = object.__hash__  # as in RateLimitKind

    PUBLIC = "public"
    """A client asked for public data."""
    BACKGROUND = "background"
    """A fill that no client waits for."""
    KEYED = "keyed"
    """A request of one account, such as an order. It comes before all others."""


class Ratios(Struct, frozen=True):
    """The part of each limit that `used` may reach."""

    budget: float = 0.9
    refresh: float = 0.5
    """For background fills."""
    local: float = 0.25
    """While Redis is away."""
    client: float = 0.25
    """One client's part of the budget, once half of the budget is used."""
    trading: float = 0.98
    """For requests with a key. They never get less than all others."""

    def of(self, purpose: Purpose, *, local: bool) -> float:
        """The ratio for one request.

        While Redis is away, `local` takes the place of `budget`, and each other ratio keeps its proportion to it.
        """
        ratio = self._while_shared(purpose)
        return self.local * ratio / self.budget if local else ratio

    def client_of(self, purpose: Purpose) -> float:
        """The part of that which one client may use: all of it with a key."""
        return 1.0 if purpose is Purpose.KEYED else self.client

    def _while_shared(self, purpose: Purpose) -> float:
        match purpose:
            case Purpose.PUBLIC:
                return self.budget
            case Purpose.BACKGROUND:
                return self.refresh
            case Purpose.KEYED:
                return max(self.trading, self.budget)
            case _:
                assert_never(purpose)
