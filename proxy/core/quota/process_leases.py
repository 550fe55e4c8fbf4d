"""All leases of one process in one pool: what may be spent without asking, and what must be told to the store.

Owns: when a request needs no round trip, when a lease is fetched or given back, what the next call tells. Must not
know: Redis, whether a push channel lives, blocks. Times are seconds since the epoch by the origin's clock.

The store is told totals, so a call whose answer was lost is made good by the next one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from proxy.core.quota.budget import Reservation
from proxy.core.quota.charges import Charge, WindowKey, WindowUsage
from proxy.core.quota.lease import HEAVY_WEIGHT, LIGHT_WEIGHT, PARTS, Lease, Rate, Totals, enough, is_awake
from proxy.core.quota.lease_calls import Call, Reply, Settled, State, WindowCall
from proxy.core.quota.lease_frame import Frame, Part, frame_at
from proxy.core.quota.lease_news import News
from proxy.core.quota.lease_table import LeaseTable
from proxy.core.quota.lease_window import window_call
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.store_mark import StoreMark
from proxy.core.quota.windows import RateLimitKind, Window

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
        self.news, self._run = News(), run
        self._ratios = ratios
        self._suspects_loss = False
        self._leases = LeaseTable()
        self._frame: Frame | None = None
        self._rate = Rate()
        self._missing = dict.fromkeys(RateLimitKind, 0)
        """What the last request needed that found too little."""
        self._called_at, self._store = -math.inf, StoreMark()

    def frame(self, now: float, windows: tuple[Window, ...], guard_seconds: float) -> Frame | None:
        """The windows that a request is charged in now; None where no leases are spent.

        One for a smaller guard than this holds no more: the clock was set, or its error has grown.
        """
        frame = self._frame
        if (
            frame is not None
            and frame.begins <= now < frame.ends
            and frame.windows is windows
            and frame.guard_seconds >= guard_seconds
        ):
            return frame
        frame = self._frame = frame_at(
            now, windows, guard_seconds, ratios=self._ratios, lease_of=self._leases.__getitem__
        )
        return frame if frame.begins <= now < frame.ends else None

    def demand(self, weight: int, now: float) -> None:
        """Note that a request of this weight wants to be sent."""
        self.demanded_at = now
        self._rate.add(weight, now)

    def expects_requests(self, now: float) -> bool:
        """Whether the next request is near, so that heartbeats are worth while."""
        return is_awake(now - self.demanded_at, lambda: self._rate.requests_per_second(now))

    def spend(
        self, frame: Frame, weight: int, *, purpose: Purpose, refundable: bool, client: str | None
    ) -> tuple[Charge, ...] | None:
        """Charge a request to the leases, and to its client's field. None: they do not suffice; nothing is charged."""
        spending = frame.made.get((weight, purpose, refundable)) or frame.make(weight, purpose, refundable=refundable)
        for part, lease, cost, budget in spending.rows:
            if part.is_free:
                continue
            if lease.is_exact or lease.seen > budget or lease.header > budget:
                return None
            if cost > lease.held:
                if cost > self._missing[part.window.kind] or lease.is_low:
                    self._missing[part.window.kind] = cost
                    self._fetch(part, self.demanded_at)
                return None
        for part, lease, cost, _ in spending.rows:
            lease.charge(cost, refundable=refundable and part.counts_weight)
            if not part.is_free and (lease.held <= lease.low_at or lease.spent >= lease.tell_at):
                self._mind(part)
        if client is not None:
            self.news.use(spending.charges, client)
        return spending.charges

    def settle(self, reservation: Reservation, *, ok: bool) -> bool:
        """A request that was charged to leases has ended. Whether something of it could be taken back."""
        is_refundable = False
        for charge in reservation.charges:
            if charge.is_refundable:
                self._leases[charge.window_key].settle(charge.weight, succeeded=ok)
                is_refundable = True
        return is_refundable

    def record_headers(self, reported: Mapping[WindowKey, int]) -> None:
        """Note what the origin told. If it is more than the store knows, the store is told at once."""
        for key, header in reported.items():
            lease = self._leases[key]
            if header > lease.header:
                lease.header = header
                self.is_urgent |= not lease.is_exact and header + lease.held > lease.seen

    def untold(self, key: WindowKey) -> int:
        """What was spent in a window and the store still counts as leased, or does not count."""
        lease = self._leases.get(key)
        return 0 if lease is None else lease.spent - lease.told.spent + lease.open

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
        for part in self._parts_at(now):
            if part.is_free:
                continue
            if part.is_crowded(now):
                self._give_back(part.lease)
            elif part.lease.taken == 0:
                self._fetch(part, now)
            elif part.is_near_half and part.lease.held >= 2 * self._target(part, now):
                part.lease.give_back(keep=self._target(part, now))
                self.is_urgent = True

    def _parts_at(self, now: float) -> tuple[Part, ...]:
        return () if self._frame is None else self._frame.parts_at(now)

    def _may_fetch(self, part: Part, now: float) -> bool:
        return self._frame is not None and self.may_hold and self._frame.may_fetch(part, now)

    def _give_back(self, lease: Lease) -> None:
        if lease.held > 0:
            lease.give_back()
            self.is_urgent = True

    def _mind(self, part: Part) -> None:
        """Tell what was spent, and fetch the next block, unless what is held lasts to the end of the window."""
        lease = part.lease
        self.is_urgent |= lease.must_tell
        if lease.is_low and lease.held >= self._target(part, self.demanded_at):
            lease.asked()
        elif lease.is_low:
            self._fetch(part, self.demanded_at)

    def _target(self, part: Part, now: float) -> int:
        kind = part.window.kind
        least = LIGHT_WEIGHT if part.is_near_half else HEAVY_WEIGHT
        rate = self._rate.per_second if kind is RateLimitKind.REQUEST_WEIGHT else self._rate.requests_per_second
        return enough(rate(now), part.closes - now, least=max(least, self._missing[kind]))

    def _fetch(self, part: Part, now: float) -> None:
        lease = part.lease
        self.is_urgent |= not lease.is_exact and self.demanded_at >= lease.retry_at and self._may_fetch(part, now)

    def due_at(self, now: float) -> float:
        """When it should be asked next whether to call the store; infinity: not before something happens."""
        if self.is_urgent:
            return now
        due = self.news.settled_at
        if due < math.inf:
            due = self.news.due_at(is_exact=any(part.lease.is_exact for part in self._parts_at(now)))
        told_at = self._called_at + TELL_SECONDS
        return min(due, told_at) if now < told_at or self._leases.has_news else due

    def call(self, now: float, *, replicas: int, floors: Mapping[WindowKey, int], publishes: bool = False) -> Call:
        """The next call. It takes what is told once. `floors`: the most `kept` that the store told."""
        self.news.forget(now)
        self._leases.forget(now)
        self.is_urgent, self._called_at = False, now
        settled = self.news.take()
        parts = {part.key: part for part in self._parts_at(now)}
        news = [key for key in self._leases if key not in parts and self._has_news(key, settled)]
        keys = [*parts, *news, *(key for key in settled if key not in self._leases and key not in parts)]
        return Call(
            now=now,
            run=self._run,
            number=self.news.number,
            parts=PARTS * max(1, replicas),
            birth=self._store.birth,
            suspects_loss=self._suspects_loss,
            publishes=publishes,
            windows=tuple(
                self._window_call(key, parts.get(key), now, settled.get(key, Settled()), floors.get(key, 0))
                for key in keys
            ),
        )

    def answered(self, call: Call, reply: Reply) -> None:
        """Take over what the store said."""
        self.news.answered()
        is_lost = self._store.adopt(reply.birth, reply.number - call.publishes, reply.server_seconds)
        self._suspects_loss = is_lost or (self._suspects_loss and not call.suspects_loss)
        for told, said in zip(call.windows, reply.windows, strict=True):
            lease = self._leases[told.key]
            if said.taken > lease.taken:
                self._missing = dict.fromkeys(RateLimitKind, 0)
                lease.adopt_taken(said.taken)
            elif told.want:
                lease.retry_at = call.now + RETRY_SECONDS
            if said.taken != told.totals.taken or told.totals != lease.told:
                lease.was_told(Totals(said.taken, told.totals.returned, told.totals.spent))
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
        for told in (told for told in call.windows if told.want):
            self._leases[told.key].retry_at = call.now + RETRY_SECONDS

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
        for key, usage in usages.items():
            if key in self._leases:
                self._see(self._leases[key], usage, is_exact=False)

    def _see(self, lease: Lease, usage: WindowUsage, *, is_exact: bool) -> None:
        """What was seen stays known until a store that has lost it is told."""
        lease.seen = max(usage.used, lease.seen if self._suspects_loss else 0)
        lease.most_spent = usage.most_spent
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
        if not (lease.is_low or self._missing[part.window.kind] > lease.held):
            return 0
        is_idle = now - self.demanded_at > IDLE_SECONDS
        if lease.is_exact or is_idle or now < lease.retry_at or not self._may_fetch(part, now):
            return 0
        return max(0, self._target(part, now) - lease.held)
