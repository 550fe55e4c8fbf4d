"""One client's share of the budget: who counts as one client, and when a request takes too much.

Owns: the rule, and the bounded table of clients of one window; the reference for the client part of
`proxy/quota/lua/reserve.lua`. Must not know: windows, where usage is kept, who the clients are.

Any client may use the first half of a budget. A request that reaches into the second half is admitted only if its
client stays within its share, so that one client cannot keep the others out. The rule is about fairness: even where
the table forgets a client, the budget itself holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b

MAX_CLIENTS = 256
"""How many clients of one window are counted separately; all later ones count as one."""

OTHER = "client:other"
"""The name under which the later clients count together."""


class Limit(Enum):
    """The limit that a request would pass. The value is the word in Redis' answer."""

    BUDGET = "budget"
    """The budget of all clients together."""
    CLIENT_SHARE = "client-share"
    """The client's share of it."""


@dataclass(frozen=True, slots=True)
class ClientShare:
    """A client, and the part of each budget that it may use once half of the budget is used."""

    field: str
    """The client's name in the table: a hash, so that it is short and has no special characters."""
    ratio: float

    def of(self, budget: int) -> int:
        """The client's part of a budget, rounded down (as `budget_of` does)."""
        return math.floor(round(budget * self.ratio, 6))


def share_of(client: str | None, ratio: float) -> ClientShare | None:
    """The share of a client; None for requests without a client, such as background fills."""
    if not client:
        return None
    digest = blake2b(client.encode("utf-8", "surrogatepass"), digest_size=8)
    return ClientShare(f"client:{digest.hexdigest()}", ratio)


def exceeded_limit(
    weight: int, budget: int, *, used: int, client_used: int, client_share: ClientShare | None
) -> Limit | None:
    """The limit that a request would pass in one window: `used` by all, `client_used` by its client."""
    if used + weight > budget:
        return Limit.BUDGET
    is_in_second_half = 2 * (used + weight) > budget
    if client_share is not None and is_in_second_half and client_used + weight > client_share.of(budget):
        return Limit.CLIENT_SHARE
    return None


class Clients:
    """What each client has used in one window."""

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used: dict[str, int] = {}

    def used(self, field: str) -> int:
        """What is charged to this client; once the table is full, what is charged to all later clients together."""
        return self._used.get(self._slot(field), 0)

    def confirmed(self, field: str) -> int:
        """What is recorded under this client's name alone."""
        return self._used.get(field, 0)

    def add(self, field: str, weight: int) -> None:
        """Count one more request."""
        slot = self._slot(field)
        self._used[slot] = self._used.get(slot, 0) + weight

    def adopt(self, field: str, used: int) -> None:
        """Adopt what all replicas together counted for a client, if the table has room."""
        if self._slot(field) == field:
            self._used[field] = max(used, self.confirmed(field))

    def _slot(self, field: str) -> str:
        if field in self._used or len(self._used) - (OTHER in self._used) < MAX_CLIENTS:
            return field
        return OTHER
