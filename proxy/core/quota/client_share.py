"""One client's share of the budget: who counts as one client, and when a request takes too much.

Owns: the rule, and the bounded table of clients of one window; the reference for the client part of
`proxy/quota/lua/reserve.lua`. Must not know: windows, where usage is kept, who the clients are.

Any client may use the first half of a budget. A request that reaches into the second half is admitted only if its
client stays within its share, so that one client cannot keep the others out. An address that gave no name may be many
programs behind one host or router, so it is held to a share only if another client was charged in the same window.
The rule is about fairness: even where the table forgets a client, the budget itself holds.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct

from proxy.core.quota.ratios import part_of

MAX_CLIENTS = 256
"""How many clients of one window are counted separately; all later ones count as one."""

OTHER = "client:other"
"""The name under which the later clients count together."""


class Address(str):
    """A client that gave no name: the address of its connection."""

    __slots__ = ()


class Limit(Enum):
    """The limit that a request would pass. The value is the word in Redis' answer."""

    BUDGET = "budget"
    """The budget of all clients together."""
    CLIENT_SHARE = "client-share"
    """The client's share of it."""


class ClientShare(Struct, frozen=True):
    """A client, and the part of each budget that it may use once half of the budget is used."""

    field: str
    """The client's name in the table: a hash, so that it is short and has no special characters."""
    ratio: float
    is_named: bool = True
    """Whether the client gave its name. If not, it has the whole budget while it is alone."""

    def of(self, budget: int) -> int:
        """The client's part of a budget."""
        return part_of(budget, self.ratio)


@lru_cache(maxsize=1024, typed=True)
def share_of(client: str | None, ratio: float) -> ClientShare | None:
    """The share of a client; None for requests without a client, such as background fills.

    Kept, because each request needs it. `typed`: an address is not the client that has its name.
    """
    if not client:
        return None
    digest = blake2b(client.encode("utf-8", "surrogatepass"), digest_size=8)
    return ClientShare(f"client:{digest.hexdigest()}", ratio, not isinstance(client, Address))


def field_of(client: str | None) -> str | None:
    """The name of a client in the table, whatever its share is; None: nobody pays."""
    share = share_of(client, 1.0)
    return None if share is None else share.field


class ClientUsage(Struct, frozen=True):
    """What is known of one client in one window."""

    used: int = 0
    others: int = 0
    """How many other clients were charged."""


def exceeded_limit(
    weight: int,
    budget: int,
    *,
    used: int,
    client_usage: ClientUsage,
    client_share: ClientShare | None,
    unspent: int = 0,
) -> Limit | None:
    """The limit that a request would pass in one window: `used` by all, `client_usage` by its client.

    `unspent`: the part of `used` that is leased and certainly not spent. It counts for the budget only.
    """
    if used + weight > budget:
        return Limit.BUDGET
    if client_share is None or not (client_share.is_named or client_usage.others):
        return None
    is_in_second_half = 2 * (used - unspent + weight) > budget
    if is_in_second_half and client_usage.used + weight > client_share.of(budget):
        return Limit.CLIENT_SHARE
    return None


class Clients:
    """What each client has used in one window."""

    __slots__ = ("_count", "used")

    def __init__(self) -> None:
        self.used: dict[str, int] = {}
        """By the client's field."""
        self._count = 0
        """How many clients all replicas together have charged, as far as this one was told."""

    def charged(self, field: str) -> ClientUsage:
        """What is charged to this client; once the table is full, what is charged to all later clients together."""
        return ClientUsage(self.used.get(self._slot(field), 0), self._others(field))

    def confirmed(self, field: str) -> ClientUsage:
        """What is recorded under this client's name alone."""
        return ClientUsage(self.used.get(field, 0), self._others(field))

    def add(self, field: str, weight: int) -> None:
        """Count one more request."""
        slot = field if field in self.used else self._slot(field)
        self.used[slot] = self.used.get(slot, 0) + weight

    def adopt(self, field: str, used: int) -> None:
        """Adopt what all replicas together counted for a client, if the table has room."""
        if used and self._slot(field) == field:
            self.used[field] = max(used, self.used.get(field, 0))

    def adopt_count(self, count: int) -> None:
        """Adopt how many clients all replicas together have charged."""
        self._count = max(count, self._count)

    def _others(self, field: str) -> int:
        """At least so many other clients were charged: this one may be among those that the others counted."""
        return max(len(self.used) - (field in self.used), self._count - 1)

    def _slot(self, field: str) -> str:
        if field in self.used or len(self.used) - (OTHER in self.used) < MAX_CLIENTS:
            return field
        return OTHER
