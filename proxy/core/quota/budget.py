"""The quota as a pure model: the reference that the Lua scripts in `proxy/quota/lua` are tested against.

Owns: what is admitted, and what an answer proves. Must not know: who counts for whom, Redis, clocks, headers. Times are
seconds since the epoch by the origin's clock.

Two counters a window and start. `used` is an upper bound of what the origin has counted and never falls. `pending` is
the part of it that was sent and not yet answered: a header may or may not include it, so `used` must be at least
`header + pending`. An answer that never comes (time-out, broken connection) leaves `used` and `pending` as they are
until the counter expires: the origin may count that request still. One block holds for all windows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proxy.core.quota.block import Block, BlockReason, next_block
from proxy.core.quota.client_share import Clients, ClientShare, Limit, exceeded_limit
from proxy.core.quota.windows import GUARD_SECONDS, MINUTE_SECONDS, RateLimitKind, Window

KEEP_SECONDS = 120
"""How long after its end a counter is kept: late answers still find their pending weight."""

TRUSTED_SKEW_SECONDS = 300
"""An answer's own time further than this from ours is not believed."""


@dataclass(frozen=True, slots=True)
class WindowKey:
    """One window from one start, whatever its limit is by now."""

    name: str
    """Of the window."""
    interval_seconds: int
    start: int

    @property
    def key(self) -> str:
        """Such as `REQUEST_WEIGHT:1m:1785050100`."""
        return f"{self.name}:{self.start}"

    @property
    def end(self) -> int:
        """The end of the window."""
        return self.start + self.interval_seconds

    @property
    def expires(self) -> int:
        """From then on the counter is as if never seen."""
        return self.end + KEEP_SECONDS


@dataclass(frozen=True, slots=True)
class WindowUsage:
    """What is known of one window from one start."""

    used: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request adds to one counter."""

    window: Window
    counter: WindowKey
    weight: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """Leave to send one request."""

    charges: tuple[Charge, ...]
    at: float
    local: bool = False
    """Made by one process on its own while Redis was away."""

    def covers(self, now: float, guard_seconds: float = GUARD_SECONDS) -> bool:
        """Whether a request sent at `now` can be counted only where it was charged."""
        charged = {charge.counter for charge in self.charges}
        windows = {charge.window for charge in self.charges}
        return all(
            counter_of(window, start) in charged for window in windows for start in window.spans(now, guard_seconds)
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """The request would pass the budget of `window` or its client's share; it could pass at `until` at the earliest."""

    window: Window
    until: float
    by: Limit = Limit.BUDGET


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nothing may be sent until `until`."""

    reason: BlockReason
    until: float


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What an answer of the origin proves: `used_weight` by interval in seconds; `ok` for a 2xx."""

    answered_at: float
    used_weight: Mapping[int, int]
    ok: bool


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What an answer changed."""

    foreign_weight: int
    """Weight in its minute that no reservation of ours explains."""
    counters: Mapping[WindowKey, WindowUsage]
    """Every counter that the answer or the reservation touches, as it is now."""


def budget_of(limit: int, ratio: float) -> int:
    """Our share of a limit, rounded down; 0.29 of 100 is 29 in spite of binary fractions."""
    return math.floor(round(limit * ratio, 6))


def cost_of(weight: int) -> dict[RateLimitKind, int]:
    """What one request of this weight costs."""
    return {RateLimitKind.REQUEST_WEIGHT: weight, RateLimitKind.RAW_REQUESTS: 1}


def counter_of(window: Window, start: int) -> WindowKey:
    """The counter of a window from `start`."""
    return WindowKey(window.name, window.interval_seconds, start)


def charges_of(
    now: float, cost: Mapping[RateLimitKind, int], windows: Iterable[Window], *, guard_seconds: float
) -> tuple[Charge, ...]:
    """The charges of a request sent at `now`; the counter that ends last is the last."""
    charges = [
        Charge(window, counter_of(window, start), cost[window.kind])
        for window in windows
        if window.kind in cost
        for start in window.spans(now, guard_seconds)
    ]
    return tuple(sorted(charges, key=lambda charge: charge.counter.end))


def refusal(charge: Charge, guard_seconds: float, by: Limit) -> Refused:
    """The refusal of a request for what is in the way in the counter of this charge."""
    return Refused(charge.window, charge.window.effect_end(charge.counter.start, guard_seconds), by)


def told_counters(answer: UsageReport, now: float) -> dict[WindowKey, int]:
    """The counters that an answer tells of, and the used weight in each."""
    believed = abs(answer.answered_at - now) <= TRUSTED_SKEW_SECONDS
    at = answer.answered_at if believed else now
    told = {}
    for interval_seconds, used in answer.used_weight.items():
        window = Window(RateLimitKind.REQUEST_WEIGHT, interval_seconds, limit=0)
        counter = counter_of(window, window.start(at))
        if now < counter.expires:
            told[counter] = used
    return told


class Budget:
    """Counters and block of one quota domain, in memory."""

    __slots__ = ("_block", "_clients", "_counters", "version")

    def __init__(self) -> None:
        self.version = 0
        """Counts up whenever a counter changes: who remembers what was used must look again."""
        self._counters: dict[tuple[str, int], tuple[int, WindowUsage]] = {}
        """(window's name, start) -> (expires, counter)."""
        self._clients: dict[tuple[str, int], Clients] = {}
        self._block: Block | None = None

    def reserve(
        self,
        now: float,
        cost: Mapping[RateLimitKind, int],
        windows: Iterable[Window],
        *,
        ratio: float,
        share: ClientShare | None = None,
        guard_seconds: float = GUARD_SECONDS,
    ) -> Reservation | Refused | Blocked:
        """Charge every window the request may be counted in, or change nothing and say until when."""
        self.forget(now)
        block = self.block_at(now)
        if block is not None:
            return Blocked(block.reason, block.until)
        charges = charges_of(now, cost, windows, guard_seconds=guard_seconds)
        for charge in reversed(charges):
            used, own = self.counter(charge.counter).used, self._own(charge.counter, share)
            by = exceeded_limit(charge.weight, budget_of(charge.window.limit, ratio), used=used, own=own, share=share)
            if by is not None:
                return refusal(charge, guard_seconds, by)
        for charge in charges:
            self._add(charge.counter, used=charge.weight, pending=charge.weight)
            if share is not None:
                self._clients_of(charge.counter).spend(share.field, charge.weight)
        return Reservation(charges, now)

    def reconcile(self, reservation: Reservation, answer: UsageReport, *, now: float) -> Reconciled:
        """Take the pending weight off, follow the headers upwards, end the strikes on a good answer."""
        self.release(reservation, now=now)
        told = told_counters(answer, now)
        foreign_weight = 0
        for counter, header in told.items():
            raised = self._raise(counter, header)
            if counter.interval_seconds == MINUTE_SECONDS:
                foreign_weight = raised
        self.end_block(reservation, answer)
        touched = [charge.counter for charge in reservation.charges] + list(told)
        return Reconciled(foreign_weight, {counter: self.counter(counter) for counter in touched})

    def release(self, reservation: Reservation, *, now: float) -> None:
        """The request was certainly not sent: nothing of it is pending. `used` stays, for it never falls."""
        for charge in reservation.charges:
            known = (charge.counter.name, charge.counter.start) in self._counters
            if known and now < charge.counter.expires:
                self._add(charge.counter, used=0, pending=-charge.weight)

    def block(
        self, reason: BlockReason, now: float, *, until: float | None, guard_seconds: float = GUARD_SECONDS
    ) -> Block:
        """Send nothing until `until`; None: for as long as the reason's penalty says."""
        self._block = next_block(self._block, reason, now, until=until, guard_seconds=guard_seconds)
        return self._block

    def end_block(self, reservation: Reservation, answer: UsageReport) -> None:
        """Forget a block, and with it the strikes, if a request from after its end was answered well."""
        if answer.ok and self._block is not None and self._block.until <= reservation.at:
            self._block = None

    def block_at(self, now: float) -> Block | None:
        """The block that holds at `now`."""
        return self._block if self._block is not None and self._block.until > now else None

    def counter(self, counter: WindowKey) -> WindowUsage:
        """What is known of a counter; zeros for one never seen."""
        return self.counter_at(counter.name, counter.start)

    def counter_at(self, name: str, start: int) -> WindowUsage:
        """The same by the window's name and start."""
        known = self._counters.get((name, start))
        return WindowUsage() if known is None else known[1]

    def adopt(self, counter: WindowKey, told: WindowUsage) -> None:
        """Take over what all replicas together know of a counter; `used` never falls."""
        used = max(told.used, self.counter(counter).used)
        self._put(counter, WindowUsage(used, told.pending))

    def adopt_client(self, counter: WindowKey, share: ClientShare, used: int) -> None:
        """The same of what one client used; a counter must be adopted first."""
        self._clients_of(counter).hear(share.field, used)

    def client_used(self, counter: WindowKey, share: ClientShare | None) -> int:
        """What this client certainly used of a counter."""
        known = self._clients.get((counter.name, counter.start))
        return 0 if known is None or share is None else known.known(share.field)

    def adopt_block(self, told: Block) -> None:
        """Take over the block that all replicas together know, in place of ours."""
        self._block = told

    def forget(self, now: float) -> None:
        """Drop the counters that have expired."""
        gone = [key for key, (expires, _) in self._counters.items() if expires <= now]
        for key in gone:
            del self._counters[key]
            self._clients.pop(key, None)

    def _own(self, counter: WindowKey, share: ClientShare | None) -> int:
        known = self._clients.get((counter.name, counter.start))
        return 0 if known is None or share is None else known.used(share.field)

    def _clients_of(self, counter: WindowKey) -> Clients:
        return self._clients.setdefault((counter.name, counter.start), Clients())

    def _raise(self, counter: WindowKey, header: int) -> int:
        known = self.counter(counter)
        raised = max(0, header + known.pending - known.used)
        if raised:
            self._add(counter, used=raised, pending=0)
        return raised

    def _add(self, counter: WindowKey, *, used: int, pending: int) -> None:
        known = self.counter(counter)
        self._put(counter, WindowUsage(known.used + used, max(0, known.pending + pending)))

    def _put(self, counter: WindowKey, told: WindowUsage) -> None:
        self._counters[counter.name, counter.start] = (counter.expires, told)
        self.version += 1
