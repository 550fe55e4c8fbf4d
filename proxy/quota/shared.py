"""A ledger that all replicas of a quota domain share, in Redis; while Redis is away, a smaller share in this process.

Owns: when to ask Redis, what is known without asking, and how what was counted alone gets back into the shared
counters. Must not know: deadlines and the breaker (`proxy.redis_client.connection`), keys and arguments (`scripts`).

What this process knows is kept in a model of its own (`known`): it serves the view, and it is the ledger while Redis
is away. A refusal that this knowledge already proves costs no round trip: `used` never falls and a block never ends
early, so yesterday's answer from Redis stays true.

While Redis is away nothing of Redis can be corrected: a reservation made there and answered meanwhile stays pending
there until its counter expires. That counts it twice at worst, and never too little. The same holds for a call that
Redis carried out but whose answer was lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace

from proxy.core.quota.block import Block, BlockReason, longer_block
from proxy.core.quota.budget import (
    Blocked,
    Budget,
    Charge,
    Refused,
    Reservation,
    UsageReport,
    WindowKey,
    WindowUsage,
    budget_of,
    charges_of,
    cost_of,
    refusal,
    told_counters,
)
from proxy.core.quota.client_share import ClientShare, exceeded_limit, share_of
from proxy.core.quota.replicas import ReplicaCount, refuse_without_redis
from proxy.core.quota.unsynced_usage import UnsyncedUsage
from proxy.core.quota.view import (
    LedgerView,
    Ratios,
    blocked_error,
    read_answer,
    refused_error,
    used_in_minute,
    view_of,
    with_learned,
)
from proxy.core.quota.windows import DEFAULT_WINDOWS, MINUTE_SECONDS, Window
from proxy.errors import RedisAway, SendingRefused
from proxy.ports import Clock, LedgerObserver, NullLedgerObserver
from proxy.quota.scripts import Request, Reserved, ScriptRunner, Scripts


class RedisLedger:
    """Counts in Redis. `clock` follows the origin's, in seconds since the epoch."""

    def __init__(  # noqa: PLR0913 - each is a decision of whoever composes
        self,
        connection: ScriptRunner,
        *,
        domain_key: str,
        clock: Clock,
        ratios: Ratios,
        replica_count: ReplicaCount | None = None,
        observer: LedgerObserver | None = None,
        windows: tuple[Window, ...] = DEFAULT_WINDOWS,
    ) -> None:
        self._scripts = Scripts(connection, domain_key)
        self._clock = clock
        self._ratios = ratios
        self._replica_count = replica_count or ReplicaCount()
        self._observer = observer or NullLedgerObserver()
        self._windows = windows
        self._process = f"alone-{secrets.token_hex(4)}"
        self.local_view = Budget()
        """What this process knows of the counters and the block."""
        self._floors: dict[WindowKey, int] = {}
        self._unsynced = UnsyncedUsage()
        self._unpublished: Block | None = None
        self._local = False

    async def reserve(self, weight: int, *, background: bool = False, client: str | None = None) -> Reservation:
        """Charge before sending. Raises a SendingRefused, and then charges nothing."""
        ratio = self._ratios.of(background=background, local=False)
        share = share_of(client, self._ratios.client)
        outcome: Reservation | Refused | Blocked | None = self._refusal_known(weight, ratio, share)
        try:
            await self._merge_unsynced(self._clock.origin())
            if outcome is None:
                outcome = await self._reserve_shared(weight, ratio, share)
        except RedisAway:
            self._local = True
            if outcome is None:
                outcome = self._reserve_local(weight, share, background=background)
        now = self._clock.origin()
        match outcome:
            case Reservation():
                return await self._unless_blocked(outcome, now)
            case Refused():
                raise self._count_refusal(refused_error(outcome, now, ratio=ratio, client=client))
            case Blocked():
                raise self._count_refusal(blocked_error(outcome, now))

    async def reconcile(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        """Correct by what an answer's headers (lower-case names) tell; `ok` for a 2xx. Never raises."""
        now = self._clock.origin()
        answer = read_answer(headers, now, ok=ok)
        rest = self._settle_local(reservation, now)
        try:
            foreign_weight = await self._reconcile_shared(rest, answer, now)
        except RedisAway:
            foreign_weight = self._reconcile_local(rest, answer, now)
        if foreign_weight:
            self._observer.foreign_weight(foreign_weight)

    async def release(self, reservation: Reservation) -> None:
        """The request was certainly not sent. Never raises."""
        now = self._clock.origin()
        rest = self._settle_local(reservation, now)
        if not rest.charges:
            return
        try:
            self._adopt((await self._scripts.release(rest, floors=self._floors, now=now)).counters)
        except RedisAway:
            self._local = True
            self.local_view.release(rest, now=now)

    async def block(self, reason: BlockReason, until: float | None) -> None:
        """Send nothing until `until`; None: for as long as the reason's penalty says. Never raises."""
        now = self._clock.origin()
        before = self.local_view.block_at(now)
        # This process stops at once, before the others are told.
        alone = self.local_view.block(reason, now, until=until, guard_seconds=self._clock.guard_seconds())
        try:
            await self._merge_unsynced(now)
            shared = await self._scripts.block(reason, now, until=until, guard_seconds=self._clock.guard_seconds())
        except RedisAway:
            self._local = True
            self._unpublished = alone
        else:
            self.local_view.adopt_block(longer_block(before, shared))
            if before is not None and before.until > shared.until:
                self._unpublished = before  # Redis has forgotten it.

    def learn(self, windows: tuple[Window, ...]) -> None:
        """Take the origin's own limits over."""
        self._windows = with_learned(self._windows, windows)

    def view(self) -> LedgerView:
        """The current windows and the block as last known. No I/O."""
        ratio = self._ratios.of(background=False, local=self._local)
        return view_of(self.local_view, self._windows, self._clock.origin(), ratio=ratio, local=self._local)

    def used_weight(self) -> int:
        """The used weight of the current one-minute window as last known. No I/O."""
        return used_in_minute(self.local_view, self._clock.origin())

    def _refusal_known(self, weight: int, ratio: float, share: ClientShare | None) -> Refused | Blocked | None:
        """The refusal that needs no round trip. Of a client it is known what it alone certainly used."""
        now = self._clock.origin()
        block = self.local_view.block_at(now)
        if block is not None:
            return Blocked(block.reason, block.until)
        for charge in reversed(self._charges(weight, now)):
            used, own = self._floors.get(charge.counter, 0), self.local_view.client_used(charge.counter, share)
            by = exceeded_limit(charge.weight, budget_of(charge.window.limit, ratio), used=used, own=own, share=share)
            if by is not None:
                return refusal(charge, self._clock.guard_seconds(), by)
        return None

    async def _reserve_shared(
        self, weight: int, ratio: float, share: ClientShare | None
    ) -> Reservation | Refused | Blocked:
        reserved = await self._ask(weight, ratio, share, is_synchronized=self._clock.is_synchronized())
        charges, now = reserved.charges, reserved.at
        self._local = False
        self._adopt(reserved.counters)
        if share is not None:
            for counter, used in reserved.own.items():
                self.local_view.adopt_client(counter, share, used)
        if reserved.block is not None:
            block = longer_block(self.local_view.block_at(now), reserved.block)
            self.local_view.adopt_block(block)
            return Blocked(block.reason, block.until)
        if reserved.in_the_way is not None:
            charge, by = reserved.in_the_way
            return refusal(charge, self._clock.guard_seconds(), by)
        return Reservation(charges, now)

    async def _ask(self, weight: int, ratio: float, share: ClientShare | None, *, is_synchronized: bool) -> Reserved:
        """Ask Redis; who is not sure of the time asks for that first, in the same call."""
        asked_at, now = self._clock.wall(), self._clock.origin()
        charges = self._charges(weight, now)
        own = {charge.counter: self.local_view.client_used(charge.counter, share) for charge in charges}
        request = Request(charges, ratio, share, now, is_synchronized)
        reserved = await self._scripts.reserve(request, floors=self._floors, own_floors=own)
        if isinstance(reserved, Reserved):
            return reserved
        self._clock.observe_shared(reserved, sent_at=asked_at, received_at=self._clock.wall())
        return await self._ask(weight, ratio, share, is_synchronized=True)

    def _reserve_local(
        self, weight: int, share: ClientShare | None, *, background: bool
    ) -> Reservation | Refused | Blocked:
        """Within the budget of all, as far as it is known, and with the smaller share of the limit."""
        refused = refuse_without_redis(
            self._charges(weight, self._clock.origin()),
            used=lambda counter: self.local_view.counter(counter).used,
            own=lambda counter: self._unsynced.missing(counter).used,
            replicas=self._replica_count.replicas,
            ratio=self._ratios.of(background=background, local=False),
            guard_seconds=self._clock.guard_seconds(),
        )
        if refused is not None:
            return refused
        ratio = self._ratios.of(background=background, local=True)
        outcome = self.local_view.reserve(
            self._clock.origin(),
            cost_of(weight),
            self._windows,
            ratio=ratio,
            share=share,
            guard_seconds=self._clock.guard_seconds(),
        )
        if isinstance(outcome, Reservation):
            self._unsynced.spend(outcome.charges)
            return replace(outcome, local=True)
        return outcome

    async def _unless_blocked(self, reservation: Reservation, now: float) -> Reservation:
        """A block that this process learned while Redis answered comes first."""
        block = self.local_view.block_at(now)
        if block is None:
            return reservation
        await self.release(reservation)
        raise self._count_refusal(blocked_error(block, now))

    async def _reconcile_shared(self, reservation: Reservation, answer: UsageReport, now: float) -> int:
        await self._merge_unsynced(now)
        told = told_counters(answer, now)
        settled = await self._scripts.reconcile(
            reservation, told, ok=answer.ok, floors=self._floors, now=now, is_synchronized=self._clock.is_synchronized()
        )
        self._local = False
        self._adopt(settled.counters)
        self.local_view.end_block(reservation, answer)
        return sum(raised for counter, raised in settled.raised.items() if counter.interval_seconds == MINUTE_SECONDS)

    def _reconcile_local(self, reservation: Reservation, answer: UsageReport, now: float) -> int:
        self._local = True
        self._unsynced.hear(told_counters(answer, now))
        return self.local_view.reconcile(reservation, answer, now=now).foreign_weight

    def _settle_local(self, reservation: Reservation, now: float) -> Reservation:
        """What is left for Redis to settle: of a local reservation it learns through the carry alone."""
        if not reservation.local:
            return reservation
        self._unsynced.settle(reservation.charges)
        self.local_view.release(reservation, now=now)
        return replace(reservation, charges=())

    async def _merge_unsynced(self, now: float) -> None:
        """Give Redis what was counted and learned while it was away. Raises RedisAway: still away.

        Several tasks may do so at once: the script adds nothing twice.
        """
        totals = self._unsynced.unsynced(now)
        if totals:
            counters = await self._scripts.merge_unsynced(
                self._process, self._unsynced.state, totals, floors=self._floors, now=now
            )
            self._unsynced.merged(totals)
            self._adopt(counters)
        block = self._unpublished
        if block is not None and block.until > now:
            shared = await self._scripts.block(
                block.reason, now, until=block.until, guard_seconds=self._clock.guard_seconds()
            )
            self.local_view.adopt_block(longer_block(self.local_view.block_at(now), shared))
        if block is self._unpublished:
            self._unpublished = None

    def _adopt(self, counters: Mapping[WindowKey, WindowUsage]) -> None:
        for counter, told in counters.items():
            self._floors[counter] = max(told.used, self._floors.get(counter, 0))
            missing = self._unsynced.missing(counter)
            both = WindowUsage(told.used + missing.used, max(0, told.pending + missing.pending))
            self.local_view.adopt(counter, both)

    def _charges(self, weight: int, now: float) -> tuple[Charge, ...]:
        self._forget(now)
        return charges_of(now, cost_of(weight), self._windows, guard_seconds=self._clock.guard_seconds())

    def _forget(self, now: float) -> None:
        self.local_view.forget(now)
        for counter in [counter for counter in self._floors if counter.expires <= now]:
            del self._floors[counter]

    def _count_refusal(self, error: SendingRefused) -> SendingRefused:
        self._observer.refused(error.reason)
        return error
