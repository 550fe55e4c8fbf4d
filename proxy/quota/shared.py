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
    Refused,
    Reservation,
    UsageReport,
    first_refusal,
    refusal,
    reported_usage,
)
from proxy.core.quota.charges import Charge, WindowKey, WindowUsage, charges_of, cost_of
from proxy.core.quota.client_share import ClientShare, share_of
from proxy.core.quota.replicas import ReplicaCount, refuse_without_redis
from proxy.core.quota.unsynced_usage import UnsyncedUsage
from proxy.core.quota.view import (
    LedgerView,
    Ratios,
    blocked_error,
    read_usage_report,
    refused_error,
    used_in_minute,
    view_of,
    with_learned,
)
from proxy.core.quota.windows import DEFAULT_WINDOWS, Window
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
        client_share = share_of(client, self._ratios.client)
        outcome: Reservation | Refused | Blocked | None = self._refusal_known(weight, ratio, client_share)
        try:
            await self._merge_unsynced(self._clock.origin())
            if outcome is None:
                outcome = await self._reserve_shared(weight, ratio, client_share)
        except RedisAway:
            self._local = True
            if outcome is None:
                outcome = self._reserve_local(weight, client_share, background=background)
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
        answer = read_usage_report(headers, now, ok=ok)
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
            self._adopt((await self._scripts.release(rest, floors=self._floors, now=now)).usages)
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

    def _refusal_known(self, weight: int, ratio: float, client_share: ClientShare | None) -> Refused | Blocked | None:
        """The refusal that needs no round trip. Of a client it is known what it alone certainly used."""
        now = self._clock.origin()
        block = self.local_view.block_at(now)
        if block is not None:
            return Blocked(block.reason, block.until)
        return first_refusal(
            self._charges(weight, now),
            ratio=ratio,
            used=lambda window_key: self._floors.get(window_key, 0),
            client_used=self.local_view.client_used,
            client_share=client_share,
            guard_seconds=self._clock.guard_seconds(),
        )

    async def _reserve_shared(
        self, weight: int, ratio: float, client_share: ClientShare | None
    ) -> Reservation | Refused | Blocked:
        reserved = await self._ask(weight, ratio, client_share, is_synchronized=self._clock.is_synchronized())
        self._local = False
        self._adopt(reserved.usages)
        if client_share is not None:
            for window_key, used in reserved.client_used.items():
                self.local_view.adopt_client(window_key, client_share, used)
        if reserved.block is not None:
            block = longer_block(self.local_view.block_at(reserved.at), reserved.block)
            self.local_view.adopt_block(block)
            return Blocked(block.reason, block.until)
        if reserved.exceeded is not None:
            charge, by = reserved.exceeded
            return refusal(charge, self._clock.guard_seconds(), by)
        return Reservation(reserved.charges, reserved.at)

    async def _ask(
        self, weight: int, ratio: float, client_share: ClientShare | None, *, is_synchronized: bool
    ) -> Reserved:
        """Ask Redis; who is not sure of the time asks for that first, in the same call."""
        asked_at, now = self._clock.wall(), self._clock.origin()
        charges = self._charges(weight, now)
        client_used = {
            charge.window_key: self.local_view.client_used(charge.window_key, client_share) for charge in charges
        }
        request = Request(charges, ratio, client_share, now, is_synchronized)
        reserved = await self._scripts.reserve(request, floors=self._floors, client_floors=client_used)
        if isinstance(reserved, Reserved):
            return reserved
        self._clock.observe_shared(reserved, sent_at=asked_at, received_at=self._clock.wall())
        return await self._ask(weight, ratio, client_share, is_synchronized=True)

    def _reserve_local(
        self, weight: int, client_share: ClientShare | None, *, background: bool
    ) -> Reservation | Refused | Blocked:
        """Within the budget of all, as far as it is known, and with the smaller share of the limit."""
        guard_seconds, now = self._clock.guard_seconds(), self._clock.origin()
        refused = refuse_without_redis(
            self._charges(weight, now),
            used=lambda window_key: self.local_view.usage(window_key).used,
            unsynced=lambda window_key: self._unsynced.unmerged(window_key).used,
            replicas=self._replica_count.replicas,
            ratio=self._ratios.of(background=background, local=False),
            guard_seconds=guard_seconds,
        )
        if refused is not None:
            return refused
        ratio = self._ratios.of(background=background, local=True)
        outcome = self.local_view.reserve(
            now, cost_of(weight), self._windows, ratio=ratio, client_share=client_share, guard_seconds=guard_seconds
        )
        if isinstance(outcome, Reservation):
            self._unsynced.charge(outcome.charges)
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
        reported, synchronized = reported_usage(answer, now), self._clock.is_synchronized()
        settled = await self._scripts.reconcile(
            reservation, reported, ok=answer.ok, floors=self._floors, now=now, is_synchronized=synchronized
        )
        self._local = False
        self._adopt(settled.usages)
        self.local_view.end_block(reservation, answer)
        return settled.foreign_weight

    def _reconcile_local(self, reservation: Reservation, answer: UsageReport, now: float) -> int:
        self._local = True
        self._unsynced.record_headers(reported_usage(answer, now))
        return self.local_view.reconcile(reservation, answer, now=now).foreign_weight

    def _settle_local(self, reservation: Reservation, now: float) -> Reservation:
        """What is left for Redis to settle: of a local reservation it learns through the carry alone."""
        if not reservation.local:
            return reservation
        self._unsynced.clear_pending(reservation.charges)
        self.local_view.release(reservation, now=now)
        return replace(reservation, charges=())

    async def _merge_unsynced(self, now: float) -> None:
        """Give Redis what was counted and learned while it was away. Raises RedisAway: still away.

        Several tasks may do so at once: the script adds nothing twice.
        """
        totals = self._unsynced.unsynced(now)
        if totals:
            usages = await self._scripts.merge_unsynced(
                self._process, self._unsynced.state, totals, floors=self._floors, now=now
            )
            self._unsynced.mark_merged(totals)
            self._adopt(usages)
        block = self._unpublished
        if block is not None and block.until > now:
            shared = await self._scripts.block(
                block.reason, now, until=block.until, guard_seconds=self._clock.guard_seconds()
            )
            self.local_view.adopt_block(longer_block(self.local_view.block_at(now), shared))
        if block is self._unpublished:
            self._unpublished = None

    def _adopt(self, usages: Mapping[WindowKey, WindowUsage]) -> None:
        for window_key, reported in usages.items():
            self._floors[window_key] = max(reported.used, self._floors.get(window_key, 0))
            missing = self._unsynced.unmerged(window_key)
            both = WindowUsage(reported.used + missing.used, max(0, reported.pending + missing.pending))
            self.local_view.adopt(window_key, both)

    def _charges(self, weight: int, now: float) -> tuple[Charge, ...]:
        self._forget(now)
        return charges_of(now, cost_of(weight), self._windows, guard_seconds=self._clock.guard_seconds())

    def _forget(self, now: float) -> None:
        self.local_view.forget(now)
        for window_key in [window_key for window_key in self._floors if window_key.expires <= now]:
            del self._floors[window_key]

    def _count_refusal(self, error: SendingRefused) -> SendingRefused:
        self._observer.refused(error.reason)
        return error
