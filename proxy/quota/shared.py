"""A ledger in Redis, which all replicas of a quota domain share; while Redis is away, a smaller share in this process.

Owns: when to ask Redis, which refusals need no round trip, how unsynced usage is merged into Redis. Must not know:
deadlines and the breaker (`proxy.redis_client.connection`), keys and arguments (`proxy.quota.scripts`), how the block
is followed (`proxy.quota.block_watch`).

`local_view` is a model with the usage and the block that this process has last seen. It serves the view, and it is the
ledger while Redis is away. What it proves refused costs no round trip: the part of `used` that no refund takes back
never falls, and a block never ends early, so an earlier answer of Redis stays true.

While Redis is away its counts cannot be corrected. A reservation made in Redis and answered meanwhile stays pending
there until its window expires. That counts it twice at worst, and never too little. So does a call whose answer was
lost after Redis had executed it. Nothing is refunded meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from msgspec.structs import replace

from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.budget import Blocked, Reservation
from proxy.core.quota.client_share import share_of
from proxy.core.quota.demand import Demand, demand_of
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.refusal import Refused
from proxy.core.quota.replica_view import ReplicaView, Wanted
from proxy.core.quota.replicas import ReplicaCount
from proxy.core.quota.view import LedgerView, no_lease, view_of
from proxy.core.quota.windows import Window
from proxy.errors import RedisAway
from proxy.ports import BlockKeeper, Clock, LedgerObserver, NullBlockKeeper, NullLedgerObserver
from proxy.quota.block_watch import BlockWatch
from proxy.quota.clock import Anchor
from proxy.quota.leasing import Leasing, LedgerFace
from proxy.quota.limits import FETCH_WEIGHT, KnownLimits
from proxy.quota.one_by_one import OneByOne
from proxy.quota.refusals import Refusals
from proxy.quota.scripts import ScriptRunner, Scripts
from proxy.quota.shared_block import SharedBlock
from proxy.quota.unsynced_sender import UnsyncedSender


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
        limits: KnownLimits | None = None,
        keeper: BlockKeeper | None = None,
        leases: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`leases`: whether weight may be taken ahead of need, while `run_leases` runs."""
        self._scripts = Scripts(connection, domain_key)
        self._clock, self._ratios = clock, ratios
        self._replica_count = replica_count or ReplicaCount()
        self._observer = observer or NullLedgerObserver()
        self._limits = limits or KnownLimits(refresh_ratio=ratios.refresh, fetch_weight=FETCH_WEIGHT, observer=observer)
        self._refusals = Refusals(self._limits, self._observer)
        self._keeper = keeper or NullBlockKeeper()
        self._seen = ReplicaView()
        self.local_view = self._seen.budget
        """The usage of the windows and the block, as this process has last seen them."""
        self._anchor = Anchor(self.local_view, clock)
        self._block = SharedBlock(
            self._scripts, budget=self.local_view, anchor=self._anchor, clock=clock, keeper=self._keeper
        )
        self._unsynced = UnsyncedSender(self._scripts, self._seen, self._block)
        self._blocks = BlockWatch(
            self._scripts,
            self._block,
            self._unsynced,
            budget=self.local_view,
            anchor=self._anchor,
            keeper=self._keeper,
            note_away=lambda: self._note_contact(False),
            sleep=sleep,
        )
        self.watch_block, self.read_block = self._blocks.run, self._blocks.read
        self.held_block, self.keep_block = self._blocks.held, self._blocks.keep
        self._local = False
        """Whether the last call found Redis away."""
        self._leasing = self._lease(connection, domain_key) if leases else None
        self._untold = no_lease if self._leasing is None else self._leasing.leases.untold
        self._one_by_one = OneByOne(
            self._scripts, seen=self._seen, block=self._block, clock=clock, wanted=self._wanted, leasing=self._leasing
        )

    def _lease(self, connection: ScriptRunner, domain_key: str) -> Leasing:
        face = LedgerFace(
            self._unsynced.send, self._block.adopt_pushed, self._note_contact, self._anchor.now, self._limits
        )
        return Leasing(
            connection,
            domain_key=domain_key,
            ledger=face,
            seen=self._seen,
            clock=self._clock,
            ratios=self._ratios,
            replica_count=self._replica_count,
            observer=self._observer,
        )

    async def reserve(
        self,
        weight: int,
        *,
        purpose: Purpose = Purpose.PUBLIC,
        refundable: bool = False,
        client: str | None = None,
    ) -> Reservation:
        """Charge before sending. Raises a SendingRefused, and then charges nothing.

        `refundable`: the origin takes the weight back on a 2xx. It then counts towards no client's share.
        """
        demand = demand_of(weight, purpose, refundable, client)
        wanted = self._wanted(demand)
        self._seen.forget(wanted.now)
        outcome: Reservation | Refused | Blocked | None = self._seen.refuse(wanted)
        if outcome is None and self._leasing is not None:
            leased = self._leasing.take(wanted.now, demand)
            if leased is not None:
                return leased
            self._leasing.demand(weight, wanted.now)
        try:
            await self._unsynced.send(self._anchor.now())
            if outcome is None:
                outcome = await self._one_by_one.reserve(demand)
                self._local = False
        except RedisAway:
            self._local = True
            if outcome is None:
                if self._leasing is not None:
                    self._seen.catch_up(self._leasing.leases.usages())
                wanted = self._wanted(demand)
                outcome = self._seen.reserve_alone(wanted, replicas=self._replica_count.replicas)
        now = self._anchor.now()
        match outcome:
            case Reservation():
                return await self._unless_blocked(outcome, now)
            case Refused():
                raise self._refusals.refused(outcome, now, ratio=wanted.ratio, client=client)
            case Blocked():
                raise self._refusals.blocked(outcome, now)

    def reserve_now(self, demand: Demand) -> Reservation | None:
        """The same out of what is leased. None: that does not suffice, nothing is charged, and Redis must be asked."""
        if self._leasing is None:
            return None
        block = self.local_view.last_block
        now = self._clock.look() if block is None else self._anchor.now()  # of what it moves only the block is read
        if block is not None and (block := self.local_view.block_at(now)) is not None:
            raise self._refusals.blocked(block, now)
        return self._leasing.take(now, demand)

    def can_settle_now(self, reservation: Reservation) -> bool:
        """Whether Redis need not be told of an answer at once."""
        return not (self._leasing is None or self._local or reservation.local or self.local_view.last_block is not None)

    def settle_now(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        """Note an answer; Redis is told in the background."""
        assert self._leasing is not None  # `can_settle_now` was asked
        now = self._clock.wall() + self._clock.offset_seconds
        self._leasing.settle(reservation, self._limits.read_usage_report(headers, now, ok), now)

    async def reconcile(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        """Correct the usage by an answer's headers (lower-case names); `ok` for a 2xx, which refunds. Never raises."""
        now = self._anchor.now()
        report = self._limits.read_usage_report(headers, now, ok)
        rest = self._seen.settle_alone(reservation, now)
        if self._leasing is not None and reservation.leased:
            self._leasing.settle(reservation, report, now)
            rest = replace(reservation, charges=())
        had_block = self.local_view.last_block is not None
        try:
            await self._unsynced.send(now)
            foreign_weight, self._local = (await self._one_by_one.reconcile(rest, report, now)).foreign_weight, False
        except RedisAway:
            self._local = True
            guard_seconds = self._clock.guard_seconds()
            foreign_weight = self._seen.reconcile_alone(rest, report, now, guard_seconds=guard_seconds)
        if had_block and self.local_view.last_block is None:
            await self._keeper.keep(None)
        if foreign_weight:
            self._observer.foreign_weight(foreign_weight)

    async def release(self, reservation: Reservation) -> None:
        """End a reservation whose request was certainly not sent: only `pending` falls. Never raises."""
        now = self._anchor.now()
        if self._leasing is not None and reservation.leased:
            self._leasing.leases.settle(reservation, ok=False)
            return
        rest = self._seen.settle_alone(reservation, now)
        if not rest.charges:
            return
        if self._leasing is not None:
            self._leasing.leases.news.close(rest)
        try:
            self._seen.adopt((await self._scripts.release(rest, floors=self._seen.floors, now=now)).usages)
        except RedisAway:
            self._local = True
            self.local_view.release(rest, now=now)

    async def block(self, reason: BlockReason, until: float | None) -> None:
        """Send nothing until `until`; None: for as long as the reason's penalty says. Never raises.

        Returns when the block is kept.
        """
        await self._blocks.refuse(reason, until)

    async def run_leases(self) -> None:
        """Fetch and return leases for as long as the process lives."""
        await (asyncio.sleep(0) if self._leasing is None else self._leasing.run())

    async def raise_if_blocked(self) -> None:
        """Raise the SendingRefused of a block, if one holds here or Redis knows of one."""
        is_known = self._leasing is not None and self._leasing.proof.holds()
        block = self.held_block() if is_known else await self._blocks.look()
        if block is not None:
            raise self._refusals.blocked(block, self._anchor.now())

    def restore(self, block: Block) -> None:
        """Adopt the block that an earlier process kept, and tell Redis, which may have lost it."""
        self._block.restore(block)

    def learn(self, windows: tuple[Window, ...], *, source: str = "") -> None:
        """Adopt the origin's limits, but for absurd ones. Of several sources the lowest limits hold."""
        self._limits.learn(windows, source=source)

    def view(self) -> LedgerView:
        """The current windows and the block, as last seen. No I/O."""
        ratio = self._ratios.of(Purpose.PUBLIC, local=self._local)
        now, wording = self._anchor.now(), self._limits.wording
        return view_of(
            self.local_view,
            self._limits.windows,
            now,
            ratio=ratio,
            local=self._local,
            wording=wording,
            leases=None if self._leasing is None else self._leasing.state(),
            untold=self._untold,
        )

    def used_weight(self) -> int:
        """The used weight of the current one-minute window, as last seen. No I/O."""
        minute = self.local_view.minute(self._clock.origin())
        return minute.counter.used - minute.counter.leased + self._untold(minute.key)

    def _note_contact(self, answered: bool) -> None:
        self._local = not answered

    def _wanted(self, demand: Demand) -> Wanted:
        return Wanted(
            now=self._anchor.now(),
            weight=demand.weight,
            windows=self._limits.windows,
            ratios=self._ratios,
            purpose=demand.purpose,
            refundable=demand.refundable,
            client_share=None if demand.refundable else share_of(demand.client, self._ratios.client_of(demand.purpose)),
            guard_seconds=self._clock.last_guard_seconds,
        )

    async def _unless_blocked(self, reservation: Reservation, now: float) -> Reservation:
        """Release the reservation and raise if this process learned of a block while Redis answered."""
        block = self.local_view.block_at(now)
        if block is None:
            return reservation
        await self.release(reservation)
        raise self._refusals.blocked(block, now)
