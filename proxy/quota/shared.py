"""A ledger in Redis, which all replicas of a quota domain share; while Redis is away, a smaller share in this process.

Owns: when to ask Redis, which refusals need no round trip, how unsynced usage is merged into Redis. Must not know:
deadlines and the breaker (`proxy.redis_client.connection`), keys and arguments (`proxy.quota.scripts`).

`local_view` is a model with the usage and the block that this process has last seen. It serves the view, and it is the
ledger while Redis is away. If it already proves a refusal, that costs no round trip: `used` never falls and a block
never ends early, so an earlier answer of Redis stays true.

While Redis is away its counts cannot be corrected. A reservation made in Redis and answered meanwhile stays pending
there until its window expires. That counts it twice at worst, and never too little. The same holds for a call that
Redis executed but whose answer was lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from proxy.core.quota.block import Block, BlockReason, longer_block
from proxy.core.quota.budget import Blocked, Refused, Reservation, UsageReport, refusal, reported_usage
from proxy.core.quota.client_share import share_of
from proxy.core.quota.replica_view import ReplicaView, Wanted
from proxy.core.quota.replicas import ReplicaCount
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
    """Counts in Redis."""

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
        self._seen = ReplicaView()
        self.local_view = self._seen.budget
        """The usage of the windows and the block, as this process has last seen them."""
        self._unpublished: Block | None = None
        """A block that Redis does not know yet."""
        self._local = False
        """Whether the last call found Redis away."""

    async def reserve(self, weight: int, *, background: bool = False, client: str | None = None) -> Reservation:
        """Charge before sending. Raises a SendingRefused, and then charges nothing."""
        wanted = self._wanted(weight, background=background, client=client)
        outcome: Reservation | Refused | Blocked | None = self._seen.refuse(wanted)
        try:
            await self._merge_unsynced(self._clock.origin())
            if outcome is None:
                outcome = await self._reserve_shared(weight, background=background, client=client)
        except RedisAway:
            self._local = True
            if outcome is None:
                wanted = self._wanted(weight, background=background, client=client)
                outcome = self._seen.reserve_alone(wanted, replicas=self._replica_count.replicas)
        now = self._clock.origin()
        match outcome:
            case Reservation():
                return await self._unless_blocked(outcome, now)
            case Refused():
                raise self._count_refusal(refused_error(outcome, now, ratio=wanted.ratio, client=client))
            case Blocked():
                raise self._count_refusal(blocked_error(outcome, now))

    async def reconcile(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        """Correct the usage by an answer's headers (lower-case names); `ok` for a 2xx. Never raises."""
        now = self._clock.origin()
        report = read_usage_report(headers, now, ok=ok)
        rest = self._seen.settle_alone(reservation, now)
        try:
            foreign_weight = await self._reconcile_shared(rest, report, now)
        except RedisAway:
            self._local = True
            foreign_weight = self._seen.reconcile_alone(rest, report, now)
        if foreign_weight:
            self._observer.foreign_weight(foreign_weight)

    async def release(self, reservation: Reservation) -> None:
        """Take a reservation back: the request was certainly not sent. Never raises."""
        now = self._clock.origin()
        rest = self._seen.settle_alone(reservation, now)
        if not rest.charges:
            return
        try:
            self._seen.adopt((await self._scripts.release(rest, floors=self._seen.floors, now=now)).usages)
        except RedisAway:
            self._local = True
            self.local_view.release(rest, now=now)

    async def block(self, reason: BlockReason, until: float | None) -> None:
        """Send nothing until `until`; None: for as long as the reason's penalty says. Never raises."""
        now = self._clock.origin()
        before = self.local_view.block_at(now)
        # This process stops at once, before Redis tells the other replicas.
        local = self.local_view.block(reason, now, until=until, guard_seconds=self._clock.guard_seconds())
        try:
            await self._merge_unsynced(now)
            shared = await self._scripts.block(reason, now, until=until, guard_seconds=self._clock.guard_seconds())
        except RedisAway:
            self._local = True
            self._unpublished = local
        else:
            self.local_view.adopt_block(longer_block(before, shared))
            if before is not None and before.until > shared.until:
                self._unpublished = before  # Redis has lost it

    def learn(self, windows: tuple[Window, ...]) -> None:
        """Adopt the origin's limits."""
        self._windows = with_learned(self._windows, windows)

    def view(self) -> LedgerView:
        """The current windows and the block, as last seen. No I/O."""
        ratio = self._ratios.of(background=False, local=self._local)
        return view_of(self.local_view, self._windows, self._clock.origin(), ratio=ratio, local=self._local)

    def used_weight(self) -> int:
        """The used weight of the current one-minute window, as last seen. No I/O."""
        return used_in_minute(self.local_view, self._clock.origin())

    def _wanted(self, weight: int, *, background: bool, client: str | None) -> Wanted:
        now = self._clock.origin()
        self._seen.forget(now)
        return Wanted(
            now=now,
            weight=weight,
            windows=self._windows,
            ratios=self._ratios,
            background=background,
            client_share=share_of(client, self._ratios.client),
            guard_seconds=self._clock.guard_seconds(),
        )

    async def _reserve_shared(
        self, weight: int, *, background: bool, client: str | None
    ) -> Reservation | Refused | Blocked:
        is_synchronized = self._clock.is_synchronized()
        wanted, reserved = await self._ask(
            weight, background=background, client=client, is_synchronized=is_synchronized
        )
        self._local = False
        self._seen.adopt(reserved.usages)
        if wanted.client_share is not None:
            for key, used in reserved.client_used.items():
                self.local_view.adopt_client(key, wanted.client_share, used)
        if reserved.block is not None:
            block = self._seen.adopt_block(reserved.block, reserved.at)
            return Blocked(block.reason, block.until)
        if reserved.exceeded is not None:
            charge, limit = reserved.exceeded
            return refusal(charge, self._clock.guard_seconds(), limit)
        return Reservation(reserved.charges, reserved.at)

    async def _ask(
        self, weight: int, *, background: bool, client: str | None, is_synchronized: bool
    ) -> tuple[Wanted, Reserved]:
        """Reserve in Redis. A process that is not synchronized gets the origin's time first, and then asks again."""
        asked_at, wanted = self._clock.wall(), self._wanted(weight, background=background, client=client)
        charges, share = wanted.charges(), wanted.client_share
        client_floors = {charge.window_key: self.local_view.client_used(charge.window_key, share) for charge in charges}
        request = Request(charges, wanted.ratio, share, wanted.now, is_synchronized)
        reserved = await self._scripts.reserve(request, floors=self._seen.floors, client_floors=client_floors)
        if isinstance(reserved, Reserved):
            return wanted, reserved
        self._clock.observe_shared(reserved, sent_at=asked_at, received_at=self._clock.wall())
        return await self._ask(weight, background=background, client=client, is_synchronized=True)

    async def _unless_blocked(self, reservation: Reservation, now: float) -> Reservation:
        """Release the reservation and raise if this process learned of a block while Redis answered."""
        block = self.local_view.block_at(now)
        if block is None:
            return reservation
        await self.release(reservation)
        raise self._count_refusal(blocked_error(block, now))

    async def _reconcile_shared(self, reservation: Reservation, report: UsageReport, now: float) -> int:
        await self._merge_unsynced(now)
        settled = await self._scripts.reconcile(
            reservation,
            reported_usage(report, now),
            ok=report.ok,
            floors=self._seen.floors,
            now=now,
            is_synchronized=self._clock.is_synchronized(),
        )
        self._local = False
        self._seen.adopt(settled.usages)
        self.local_view.end_block(reservation, report)
        return settled.foreign_weight

    async def _merge_unsynced(self, now: float) -> None:
        """Send Redis the usage and the block that it missed. Raises RedisAway if it is still away.

        Several tasks may do this at once: the script adds nothing twice.
        """
        unsynced = self._seen.unsynced
        totals = unsynced.unsynced(now)
        if totals:
            usage = await self._scripts.merge_unsynced(
                self._process, unsynced.state, totals, floors=self._seen.floors, now=now
            )
            unsynced.mark_merged(totals)
            self._seen.adopt(usage)
        block = self._unpublished
        if block is not None and block.until > now:
            shared = await self._scripts.block(
                block.reason, now, until=block.until, guard_seconds=self._clock.guard_seconds()
            )
            self._seen.adopt_block(shared, now)
        if block is self._unpublished:
            self._unpublished = None

    def _count_refusal(self, error: SendingRefused) -> SendingRefused:
        self._observer.refused(error.reason)
        return error
