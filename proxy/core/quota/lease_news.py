"""What a process tells the store once: what its clients used, and which requests have ended.

Owns: what waits to be told. Must not know: leases, when the store is called.

The use of clients is told with a number until it is answered, so that it is counted once. The end of a request that
was reserved by itself is told once; if the outcome is unknown it stays pending, which counts it twice at worst.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from proxy.core.quota.budget import Reservation
from proxy.core.quota.charges import Charge, WindowKey
from proxy.core.quota.lease_calls import Settled


class News:
    """What one process has to tell once."""

    __slots__ = ("_clients", "_settled", "number", "settled_at", "untold")

    def __init__(self) -> None:
        self.number = 0
        """Of what `untold` has."""
        self.untold: dict[WindowKey, dict[str, int]] = {}
        """What the clients used, as the last call told it; it has not been answered."""
        self.settled_at = math.inf
        """When the first request ended that is not told yet."""
        self._clients: dict[WindowKey, dict[str, int]] = {}
        self._settled: dict[WindowKey, Settled] = {}

    def use(self, charges: Iterable[Charge], client: str) -> None:
        """A client used so much. `client`: its field in the table of clients."""
        for charge in charges:
            clients = self._clients.get(charge.window_key)
            if clients is None:
                clients = self._clients[charge.window_key] = {}
            clients[client] = clients.get(client, 0) + charge.weight

    def used_by(self, key: WindowKey, client: str) -> int:
        """What a client used and the store may not know."""
        return self.untold.get(key, {}).get(client, 0) + self._clients.get(key, {}).get(client, 0)

    def settle(self, reservation: Reservation, now: float, *, ok: bool) -> None:
        """A request that was reserved by itself has ended."""
        for charge in reservation.charges:
            if now < charge.window_key.expires:
                before = self._settled.get(charge.window_key, Settled())
                refunded, kept = (charge.refundable, 0) if ok else (0, charge.refundable)
                self._settled[charge.window_key] = Settled(
                    before.pending + charge.weight, before.refunded + refunded, before.kept + kept
                )
                self.settled_at = min(now, self.settled_at)

    def take(self) -> Mapping[WindowKey, Settled]:
        """All that is told in the next call: the ends, and in `untold` the use of clients."""
        settled, self._settled, self.settled_at = self._settled, {}, math.inf
        if not self.untold and self._clients:
            self.untold, self._clients = self._clients, {}
            self.number += 1
        return settled

    def answered(self) -> None:
        """The store has it."""
        self.untold = {}

    def forget(self, now: float) -> None:
        """Drop what is about windows that have expired."""
        for table in (self._clients, self.untold, self._settled):
            for key in [key for key in table if key.expires <= now]:
                del table[key]
