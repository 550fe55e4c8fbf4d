"""What a process tells the store once: what its clients used, and which requests have ended.

Owns: what waits to be told. Must not know: leases, when the store is called.

The use of clients is told with a number until it is answered, so that it is counted once. The end of a request that
was reserved by itself is told once; if the outcome is unknown it stays pending, which counts it twice at worst.

A store that is replaced by an older copy may lack an order that was reserved by itself: nothing of it is in the part of
`used` that never falls. Whoever reserved it misses it in the answer to a call that it made later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from proxy.core.quota.budget import Reservation
from proxy.core.quota.charges import Charge, WindowKey, WindowUsage
from proxy.core.quota.lease_calls import Settled

SETTLE_SECONDS = 0.02
"""Requests that were reserved one by one are settled together, so long after the first. Until then they count twice
where a header includes them."""
EARLY_SETTLE_SECONDS = 2.0
"""The same while the budget is far away."""


class News:
    """What one process has to tell once."""

    __slots__ = ("_clients", "_expected", "_lost_at", "_orders", "_settled", "number", "settled_at", "untold")

    def __init__(self) -> None:
        self.number = 0
        """Of what `untold` has."""
        self.untold: dict[WindowKey, dict[str, int]] = {}
        """What the clients used, as the last call told it; it has not been answered."""
        self.settled_at = math.inf
        """When the first request ended that is not told yet."""
        self._clients: dict[WindowKey, dict[str, int]] = {}
        self._settled: dict[WindowKey, Settled] = {}
        self._orders: dict[WindowKey, int] = {}
        """The weight of orders that were reserved by themselves and have not ended."""
        self._expected: dict[WindowKey, int] = {}
        """The same at the last call; empty if one has ended since."""
        self._lost_at = -math.inf
        """The store may lack what was reserved until then."""

    def use(self, charges: Iterable[Charge], client: str, times: int = 1) -> None:
        """A client was charged so often. `client`: its field in the table of clients."""
        for charge in charges:
            clients = self._clients.get(charge.window_key)
            if clients is None:
                clients = self._clients[charge.window_key] = {}
            clients[client] = clients.get(client, 0) + charge.weight * times

    def used_by(self, key: WindowKey, client: str) -> int:
        """What a client used and the store may not know."""
        return self.untold.get(key, {}).get(client, 0) + self._clients.get(key, {}).get(client, 0)

    def open(self, reservation: Reservation) -> None:
        """A request was reserved by itself."""
        for charge in reservation.charges:
            if charge.is_refundable:
                self._orders[charge.window_key] = self._orders.get(charge.window_key, 0) + charge.weight

    def close(self, reservation: Reservation) -> None:
        """It has ended, or was not sent, and the store is told of that."""
        for charge in reservation.charges:
            if charge.is_refundable and charge.window_key in self._orders:
                self._orders[charge.window_key] = max(0, self._orders[charge.window_key] - charge.weight)
                self._expected = {}

    def missing(self, key: WindowKey, usage: WindowUsage) -> int:
        """The weight of open orders that the answer to the last call lacks."""
        return max(0, self._expected.get(key, 0) - (usage.refundable - usage.leased))

    def lose(self, now: float) -> None:
        """The store has lost data: it takes no order back that was reserved before."""
        self._orders, self._expected, self._lost_at = {}, {}, now

    def settle(self, reservation: Reservation, now: float, *, ok: bool) -> None:
        """A request that was reserved by itself has ended."""
        self.close(reservation)
        is_known = reservation.at > self._lost_at
        for charge in reservation.charges:
            if now < charge.window_key.expires:
                before = self._settled.get(charge.window_key, Settled())
                refundable = charge.refundable if is_known else 0
                refunded, kept = (refundable, 0) if ok else (0, refundable)
                self._settled[charge.window_key] = Settled(
                    before.pending + charge.weight, before.refunded + refunded, before.kept + kept
                )
                self.settled_at = min(now, self.settled_at)

    def due_at(self, *, is_near: bool) -> float:
        """When the ends are told. `is_near`: what counts twice until then could fill a budget."""
        return self.settled_at + (SETTLE_SECONDS if is_near else EARLY_SETTLE_SECONDS)

    def take(self) -> Mapping[WindowKey, Settled]:
        """All that is told in the next call: the ends, and in `untold` the use of clients."""
        settled, self._settled, self.settled_at = self._settled, {}, math.inf
        self._expected = dict(self._orders)
        if not self.untold and self._clients:
            self.untold, self._clients = self._clients, {}
            self.number += 1
        return settled

    def answered(self) -> None:
        """The store has it."""
        self.untold = {}

    def forget(self, now: float) -> None:
        """Drop what is about windows that have expired."""
        for table in (self._clients, self.untold, self._settled, self._orders):
            if table:
                for key in [key for key in table if key.expires <= now]:
                    del table[key]
