"""What a request wants of the quota.

Owns: `Demand`. Must not know: what is admitted, where usage is kept, clocks.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from proxy.core.quota.ratios import Purpose


class Demand(Struct, frozen=True, eq=False):
    """What a request wants. Those who want the same again and again have the same object, from `demand_of`.

    So whoever answers a demand may keep by this object what it found out about it.
    """

    weight: int
    purpose: Purpose
    refundable: bool
    """Whether the origin takes the weight back on a 2xx. It then counts towards no client's share."""
    client: str | None
    """Who asked, an `Address` if it gave no name; None: no client."""
    refund: int
    """The weight that a 2xx gives back."""


@lru_cache(maxsize=1024, typed=True)
def demand_of(weight: int, purpose: Purpose, refundable: bool, client: str | None) -> Demand:
    """The demand of every request like this. `typed`: an address is not the client that has its name."""
    return Demand(weight, purpose, refundable, client, weight if refundable else 0)
