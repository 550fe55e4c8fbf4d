"""What one process tells the store of its leases, and what it takes over from answers and pushes.

Owns: when the next call is due, what it tells, what an answer, a call without one, and a push change. Must not know:
Redis, how a request is charged, when a grant is due. Times are seconds since the epoch by the origin's clock.

The store is told totals, so a call whose answer was lost is made good by the next one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec.structs import replace

from proxy.core.quota.charges import WindowKey, WindowUsage
from proxy.core.quota.held_leases import HeldLeases
from proxy.core.quota.lease import PARTS, Lease, Totals
from proxy.core.quota.lease_calls import NONE_ENDED, Call, Reply, Settled, State, WindowCall
from proxy.core.quota.lease_frame import Part
from proxy.core.quota.lease_window import window_call
from proxy.core.quota.ratios import Ratios
from proxy.core.quota.store_mark import StoreMark

TELL_SECONDS = 30.0
"""What was spent is told so often."""
RETRY_SECONDS = 1.0
"""After the store granted nothing it is not asked again for so long."""


class LeaseExchange(HeldLeases):
    """The leases of one process, which `run` names to the store."""

    def __init__(self, run: str, ratios: Ratios) -> None:
        super().__init__(ratios)
        self._run = run
        self._called_at, self._store, self._suspects_loss = -math.inf, StoreMark(), False

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
            self._see(lease, said.usage, is_exact=said.is_exact, is_lost=said.is_lost)
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
                self._see(lease, told.usage, is_exact=told.is_exact, is_lost=told.is_lost)
        return True

    def see(self, usages: Mapping[WindowKey, WindowUsage]) -> None:
        """Take over what another answer of the store said."""
        for key in usages.keys() & self._leases.keys():
            self._see(self._leases[key], usages[key])

    def usages(self) -> Mapping[WindowKey, WindowUsage]:
        """The usage of each window as last told, by the store or by the origin: also while this process rests."""
        return {
            key: replace(lease.usage, used=max(lease.usage.used, lease.header)) for key, lease in self._leases.items()
        }

    def lose(self) -> None:
        """The store has lost data: give back everything, and count all open orders as spent."""
        self._suspects_loss = self.is_urgent = True
        self.news.lose(max(self.demanded_at, self._called_at))
        for lease in self._leases.values():
            lease.forget_orders()
            self._give_back(lease)

    def _see(self, lease: Lease, usage: WindowUsage, *, is_exact: bool = False, is_lost: bool = False) -> None:
        """What was seen stays known until a store that has lost it is told."""
        lease.seen = max(usage.used, lease.seen if self._suspects_loss else 0)
        lease.usage = usage
        if is_exact:
            lease.make_exact(is_lost=is_lost)
        if lease.is_exact:
            self._give_back(lease)

    def _has_news(self, key: WindowKey, settled: Mapping[WindowKey, Settled]) -> bool:
        lease, is_told = self._leases[key], key in settled or key in self.news.untold
        return is_told or self._suspects_loss or lease.has_news

    def _window_call(self, key: WindowKey, part: Part | None, now: float, settled: Settled, floor: int) -> WindowCall:
        lease, clients = self._leases[key], self.news.untold.get(key, {})
        want = 0 if part is None or part.is_free else self._want(lease, part, now)
        return window_call(key, lease, part, want=want, floor=floor, settled=settled, clients=clients)
