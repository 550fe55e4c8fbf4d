"""What one process may spend without asking: a request is charged to its leases, or they do not suffice.

Owns: the charge of a request, what its end and the origin's headers change. Must not know: Redis, whether a push
channel lives, blocks, when a grant is fetched (`held_leases`), what is told to the store (`lease_exchange`). Times are
seconds since the epoch by the origin's clock.
"""

from __future__ import annotations

from proxy.core.quota.budget import Reservation
from proxy.core.quota.charges import Charge, WindowKey
from proxy.core.quota.demand import Demand
from proxy.core.quota.lease_exchange import LeaseExchange
from proxy.core.quota.lease_spending import BoundRow, Spending
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.windows import Window


class ProcessLeases(LeaseExchange):
    """All leases of one process in one pool, as requests see them."""

    def spend(
        self, now: float, demand: Demand, windows: tuple[Window, ...], guard_seconds: float
    ) -> tuple[Charge, ...] | None:
        """Charge and note a request, also for its client. None: the leases do not suffice; nothing is charged."""
        self.demanded_at = now
        spending = self._spendings.made.get(demand)
        if spending is None or not spending.frame.holds(now, windows, guard_seconds):
            spending = self._spendings.find(now, demand, windows, guard_seconds)
            if spending is None:
                return None
        is_due = False
        for row in spending.bound:
            lease, cost, budget, _ = row
            spent = lease.spent + cost
            if spent > lease.most or lease.seen > budget or lease.header > budget or lease.is_exact:
                self._refuse(spending, row)
                return None
            lease.spent = spent
            if spent >= lease.mind_at:
                is_due = True
        for lease, cost in spending.free:
            lease.spent += cost
        for lease, cost in spending.orders:
            lease.open_order(cost)
        if is_due:
            self._mind(spending)
        if not spending.times:
            self._spendings.charged.append(spending)
        spending.times += 1
        self._rate.add(demand.weight, now)
        return spending.charges

    def used_by(self, key: WindowKey, client: str) -> int:
        """What a client used in a window and the store may not know. `client`: its field."""
        self._spendings.count_clients()
        return self.news.used_by(key, client)

    def untold(self, key: WindowKey) -> int:
        """What was spent in a window and the store still counts as leased, or does not count."""
        lease = self._leases.get(key)
        return 0 if lease is None else lease.spent - lease.told.spent + lease.open

    def settle(self, reservation: Reservation, *, ok: bool) -> bool:
        """A request that was charged to leases has ended. Whether something of it could be taken back."""
        orders = [charge for charge in reservation.charges if charge.is_refundable]
        for charge in orders:
            lease = self._leases[charge.window_key]
            lease.settle(charge.weight, succeeded=ok)
            self.is_urgent |= lease.must_tell
        return bool(orders)

    def record_headers(self, report: UsageReport, reserved_at: float, now: float, guard_seconds: float) -> None:
        """Note what the origin told. If it is more than the store knows, the store is told at once."""
        at, reported = report.answered_at, self._leases.reported
        for interval_seconds, header in report.used_weight.items():
            window = reported.of(interval_seconds, at, reserved_at, now, guard_seconds)
            if window is not None and header > window.counter.header:
                lease = window.counter
                lease.header = header
                self.is_urgent |= not lease.was_exact and header + lease.most - lease.spent > lease.seen

    def _mind(self, spending: Spending) -> None:
        """Tell what was spent, and fetch the next grants, unless what is held lasts to the end of the window."""
        for lease, _, _, part in spending.bound:
            self.is_urgent |= lease.must_tell
            if lease.is_low and lease.held >= self._need.target(part, self.demanded_at):
                lease.asked()
            elif lease.is_low:
                self._fetch(part, self.demanded_at)

    def _refuse(self, spending: Spending, row: BoundRow) -> None:
        """Take back what was charged before this row. If it found too little, fetch enough for it."""
        spending.take_back(row)
        lease, cost, budget, part = row
        is_allowed = not (lease.is_exact or lease.seen > budget or lease.header > budget)
        if is_allowed and self._need.miss(part, cost):
            self._fetch(part, self.demanded_at)
