"""All leases of one process in one pool: what may be spent without asking, and what must be told to the store.

Owns: when a request needs no round trip, when a lease is fetched or given back, what the next call tells. Must not
know: Redis, whether a push channel lives, blocks. Times are seconds since the epoch by the origin's clock.

The store is told totals, so a call whose answer was lost is made good by the next one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec.structs import replace

from proxy.core.quota.budget import Reservation
from proxy.core.quota.charges import Charge, WindowKey, WindowUsage
from proxy.core.quota.demand import Demand
from proxy.core.quota.lease import PARTS, Lease, Totals, is_awake
from proxy.core.quota.lease_calls import NONE_ENDED, Call, Reply, Settled, State, WindowCall
from proxy.core.quota.lease_frame import Frame, Part
from proxy.core.quota.lease_need import Need
from proxy.core.quota.lease_news import News
from proxy.core.quota.lease_spending import BoundRow, Spending, Spendings
from proxy.core.quota.lease_table import LeaseTable
from proxy.core.quota.lease_window import window_call
from proxy.core.quota.ratios import Ratios
from proxy.core.quota.store_mark import StoreMark
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.windows import Window

IDLE_SECONDS = 300.0
"""A process without a request for so long gives back what it holds."""
TELL_SECONDS = 30.0
"""What was spent is told so often."""
RETRY_SECONDS = 1.0
"""After the store granted nothing it is not asked again for so long."""


class ProcessLeases:
    """The leases of one process, which `run` names."""

    def __init__(self, run: str, ratios: Ratios) -> None:
        self.is_urgent = False
        """Whether the store should be called at once."""
        self.may_hold = False
        """Whether the process would know of a block in time: else nothing is fetched."""
        self.demanded_at = -math.inf
        """When the last request came."""
        self.news, self._leases, self._run = News(), LeaseTable(), run
        self._spendings = Spendings(self._leases, self.news, ratios)
        self._need = Need()
        self._rate = self._need.rate
        self._called_at, self._store, self._suspects_loss = -math.inf, StoreMark(), False

    def frame(self, now: float, windows: tuple[Window, ...], guard_seconds: float) -> Frame | None:
        """The windows that a request is charged in now; None where no leases are spent."""
        return self._spendings.frame_at(now, windows, guard_seconds)

    def demand(self, weight: int, now: float) -> None:
        """Note that a request of this weight wants to be sent."""
        self.demanded_at = now
        self._rate.add(weight, now)

    def expects_requests(self, now: float) -> bool:
        """Whether the next request is near, so that heartbeats are worth while."""
        return is_awake(now - self.demanded_at, lambda: self._rate.requests_per_second(now))

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
                self.is_urgent |= not lease.is_exact and header + lease.most - lease.spent > lease.seen

    def untold(self, key: WindowKey) -> int:
        """What was spent in a window and the store still counts as leased, or does not count."""
        lease = self._leases.get(key)
        return 0 if lease is None else lease.spent - lease.told.spent + lease.open

    def usages(self) -> Mapping[WindowKey, WindowUsage]:
        """The usage of each window as last told, by the store or by the origin: also while this process rests."""
        return {
            key: replace(lease.usage, used=max(lease.usage.used, lease.header)) for key, lease in self._leases.items()
        }

    def give_back(self) -> None:
        """Hold nothing any more."""
        for lease in self._leases.values():
            self._give_back(lease)

    def lose(self) -> None:
        """The store has lost data: give back everything, and count all open orders as spent."""
        self._suspects_loss = self.is_urgent = True
        self.news.lose(max(self.demanded_at, self._called_at))
        for lease in self._leases.values():
            lease.forget_orders()
            self._give_back(lease)

    def tick(self, now: float) -> None:
        """Do what is due by the time alone. Call `frame` first."""
        if now - self.demanded_at > IDLE_SECONDS:
            self.give_back()
            return
        for part in self._spendings.parts_at(now):
            if part.is_free:
                continue
            if part.is_crowded(now):
                self._give_back(part.lease)
            elif part.lease.taken == 0:
                self._fetch(part, now)

    def _refuse(self, spending: Spending, row: BoundRow) -> None:
        """Take back what was charged before this row. If it found too little, fetch enough for it."""
        spending.take_back(row)
        lease, cost, budget, part = row
        is_allowed = not (lease.is_exact or lease.seen > budget or lease.header > budget)
        if is_allowed and self._need.miss(part, cost):
            self._fetch(part, self.demanded_at)

    def _give_back(self, lease: Lease) -> None:
        if lease.held > 0:
            lease.give_back()
            self.is_urgent = True

    def _mind(self, spending: Spending) -> None:
        """Tell what was spent, and fetch the next blocks, unless what is held lasts to the end of the window."""
        for lease, _, _, part in spending.bound:
            self.is_urgent |= lease.must_tell
            if lease.is_low and lease.held >= self._need.target(part, self.demanded_at):
                lease.asked()
            elif lease.is_low:
                self._fetch(part, self.demanded_at)

    def _fetch(self, part: Part, now: float) -> None:
        is_due = not part.lease.is_exact and self.demanded_at >= part.lease.retry_at
        self.is_urgent |= is_due and self.may_hold and self._spendings.may_fetch(part, now)

    def due_at(self, now: float) -> float:
        """When it should be asked next whether to call the store; infinity: not before something happens."""
        if self.is_urgent:
            return now
        due = self.news.settled_at
        if due < math.inf:
            due = self.news.due_at(is_near=any(part.must_settle(now) for part in self._spendings.parts_at(now)))
        told_at = self._called_at + TELL_SECONDS
        may_tell = now < told_at or self._leases.has_news  # until then nobody need look for news
        return min(due, told_at) if may_tell else due

    def call(self, now: float, *, replicas: int, floors: Mapping[WindowKey, int], publishes: bool = False) -> Call:
        """The next call. It takes what is told once. `floors`: the most `kept` that the store told."""
        self._spendings.count_clients()
        self.news.forget(now)
        self._leases.forget(now)
        self.is_urgent, self._called_at = False, now
        settled = self.news.take()
        parts = {part.key: part for part in self._spendings.parts_at(now)}
        news = [key for key in self._leases if key not in parts and self._has_news(key, settled)]
        keys = [*parts, *news, *(key for key in settled if key not in self._leases and key not in parts)]
        windows = [
            self._window_call(key, parts.get(key), now, settled.get(key, NONE_ENDED), floors.get(key, 0))
            for key in keys
        ]
        return Call(
            now=now,
            run=self._run,
            number=self.news.number,
            parts=PARTS * max(1, replicas),
            birth=self._store.birth,
            suspects_loss=self._suspects_loss,
            publishes=publishes,
            windows=tuple(windows),
        )

    def answered(self, call: Call, reply: Reply) -> None:
        """Take over what the store said."""
        self.news.answered()
        is_lost = self._store.adopt(reply.birth, reply.number - call.publishes, reply.server_seconds)
        self._suspects_loss = is_lost or (self._suspects_loss and not call.suspects_loss)
        for told, said in zip(call.windows, reply.windows, strict=True):
            lease = self._leases[told.key]
            if said.taken > lease.taken:
                self._need.granted()
                lease.adopt_taken(said.taken)
            elif told.want:
                lease.retry_at = call.now + RETRY_SECONDS
            lease.was_told(Totals(said.taken, told.totals.returned, told.totals.spent), untold=said.untold)
            self.is_urgent |= lease.must_tell
            if lease.header <= told.header:
                lease.header = -1
            if told.want:
                lease.asked()
            self._see(lease, said.usage, is_exact=said.is_exact)
            missing = self.news.missing(told.key, said.usage)
            lease.seen += missing
            is_lost |= missing > 0
        if is_lost:
            self.lose()

    def failed(self, call: Call) -> None:
        """The outcome is unknown. Totals are told again, and so is what clients used."""
        for told in call.windows:
            lease = self._leases[told.key]
            self.is_urgent |= lease.must_tell
            lease.may_be_told(told.totals)
            if told.want:
                lease.retry_at = call.now + RETRY_SECONDS

    def observe(self, state: State) -> bool:
        """Take over a pushed state. False: it is older than what is known."""
        number, at = state.number, state.server_seconds
        if self._store.is_old(number, at):
            return False
        if self._store.adopt(state.birth, number - 1, at):
            self.lose()
        self._store.number, self._store.server_seconds = number, at
        for lease in self._leases.values():
            told = state.windows.get(lease.name)
            if told is not None:
                self._see(lease, told.usage, is_exact=told.is_exact)
        return True

    def see(self, usages: Mapping[WindowKey, WindowUsage]) -> None:
        """Take over what another answer of the store said."""
        for key in usages.keys() & self._leases.keys():
            self._see(self._leases[key], usages[key], is_exact=False)

    def _see(self, lease: Lease, usage: WindowUsage, *, is_exact: bool) -> None:
        """What was seen stays known until a store that has lost it is told."""
        lease.seen = max(usage.used, lease.seen if self._suspects_loss else 0)
        lease.usage = usage
        lease.is_exact |= is_exact
        if lease.is_exact:
            self._give_back(lease)

    def _has_news(self, key: WindowKey, settled: Mapping[WindowKey, Settled]) -> bool:
        lease, is_told = self._leases[key], key in settled or key in self.news.untold
        return is_told or self._suspects_loss or lease.has_news

    def _window_call(self, key: WindowKey, part: Part | None, now: float, settled: Settled, floor: int) -> WindowCall:
        lease, clients = self._leases[key], self.news.untold.get(key, {})
        want = 0 if part is None or part.is_free else self._want(lease, part, now)
        return window_call(key, lease, part, want=want, floor=floor, settled=settled, clients=clients)

    def _want(self, lease: Lease, part: Part, now: float) -> int:
        if not (lease.is_low or self._need.is_missed(part)):
            return 0
        is_idle = now - self.demanded_at > IDLE_SECONDS
        may_fetch = self.may_hold and self._spendings.may_fetch(part, now)
        if lease.is_exact or is_idle or now < lease.retry_at or not may_fetch:
            return 0
        return max(0, self._need.target(part, now) - lease.held)
