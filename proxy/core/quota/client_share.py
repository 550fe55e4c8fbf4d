"""One client's share of the budget: who counts as one client, and when a call takes too much.

Owns: the rule and the bounded table of clients of one counter; the reference for the client part of
`proxy/quota/lua/reserve.lua`. Must not know: windows, where the counters are kept, who the clients are.

The first half of a budget is anybody's. A call that reaches into the second half may bring its client to the share at
most, so that one client can never keep the others from it. The rule is about fairness: whatever it forgets, the
budget itself holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b

MOST_CLIENTS = 256
"""So many clients of one counter are told apart; all that come later count as one."""

OTHER = "client:other"
"""The name of those."""


class Limit(Enum):
    """What a request would pass. The value is the word in Redis' answer."""

    BUDGET = "budget"
    """The budget of all."""
    CLIENT_SHARE = "client-share"
    """The client's share of it."""


@dataclass(frozen=True, slots=True)
class ClientShare:
    """Who asks, and the part of each budget that this client may take once half of it is used."""

    field: str
    """The client's name in a counter: short and harmless, whatever the client calls itself."""
    ratio: float

    def of(self, budget: int) -> int:
        """What this client may take of a budget, rounded down (as `budget_of` does)."""
        return math.floor(round(budget * self.ratio, 6))


def share_of(client: str | None, ratio: float) -> ClientShare | None:
    """The share of a client; None for nobody's requests, such as background fills."""
    if not client:
        return None
    digest = blake2b(client.encode("utf-8", "surrogatepass"), digest_size=8)
    return ClientShare(f"client:{digest.hexdigest()}", ratio)


def exceeded_limit(weight: int, budget: int, *, used: int, own: int, share: ClientShare | None) -> Limit | None:
    """What keeps a request out of a counter: `used` by all, `own` by its client."""
    if used + weight > budget:
        return Limit.BUDGET
    if share is not None and 2 * (used + weight) > budget and own + weight > share.of(budget):
        return Limit.CLIENT_SHARE
    return None


class Clients:
    """What each client has used of one counter."""

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used: dict[str, int] = {}

    def used(self, field: str) -> int:
        """What counts against this client: its own, or, where the table is full, that of all who came later."""
        return self._used.get(self._place(field), 0)

    def known(self, field: str) -> int:
        """What this client certainly used alone."""
        return self._used.get(field, 0)

    def spend(self, field: str, weight: int) -> None:
        """Count one more request."""
        place = self._place(field)
        self._used[place] = self._used.get(place, 0) + weight

    def hear(self, field: str, used: int) -> None:
        """Take over what all replicas together know of a client, if there is room."""
        if self._place(field) == field:
            self._used[field] = max(used, self.known(field))

    def _place(self, field: str) -> str:
        if field in self._used or len(self._used) - (OTHER in self._used) < MOST_CLIENTS:
            return field
        return OTHER
