"""A ledger in this process alone.

Owns: the shell around the model of `proxy.core.quota.budget`. Must not know: Redis. It may use the whole budget, so
replicas that share an IP need the ledger in Redis.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.budget import Blocked, Budget, Reservation
from proxy.core.quota.charges import cost_of
from proxy.core.quota.client_share import share_of
from proxy.core.quota.demand import Demand, demand_of
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.refusal import Refused
from proxy.core.quota.view import LedgerView, view_of
from proxy.core.quota.windows import Window
from proxy.ports import BlockKeeper, Clock, LedgerObserver, NullBlockKeeper, NullLedgerObserver
from proxy.quota.clock import Anchor
from proxy.quota.limits import FETCH_WEIGHT, KnownLimits
from proxy.quota.refusals import Refusals


class MemoryLedger:
    """Counts in this process."""

    __slots__ = ("_anchor", "_clock", "_keeper", "_limits", "_observer", "_parts", "_ratios", "_refusals", "local_view")

    def __init__(
        self,
        *,
        clock: Clock,
        ratios: Ratios,
        observer: LedgerObserver | None = None,
        limits: KnownLimits | None = None,
        keeper: BlockKeeper | None = None,
    ) -> None:
        self.local_view = Budget()
        """The usage of the windows, and the block."""
        self._clock = clock
        self._ratios = ratios
        self._parts = {purpose: (ratios.of(purpose, local=False), ratios.client_of(purpose)) for purpose in Purpose}
        """For each purpose the ratio, and that of one client."""
        self._observer = observer or NullLedgerObserver()
        self._limits = limits or KnownLimits(refresh_ratio=ratios.refresh, fetch_weight=FETCH_WEIGHT, observer=observer)
        self._anchor = Anchor(self.local_view, clock)
        self._refusals = Refusals(self._limits, self._observer)
        self._keeper = keeper or NullBlockKeeper()

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
        return self.reserve_now(demand_of(weight, purpose, refundable, client))

    def reserve_now(self, demand: Demand) -> Reservation:
        """The same: nothing here waits."""
        budget, clock, windows = self.local_view, self._clock, self._limits.windows
        now = clock.look() if budget.last_block is None else self._anchor.now()  # nor is anything forgotten here
        again = budget.reserve_again(now, windows, clock.last_guard_seconds, demand)
        return self._reserve(demand) if again is None else again

    def _reserve(self, demand: Demand) -> Reservation:
        now = self._anchor.now()  # before anything is forgotten
        ratio, client_ratio = self._parts[demand.purpose]
        outcome = self.local_view.reserve(
            now,
            cost_of(demand.weight),
            self._limits.windows,
            ratio=ratio,
            client_share=None if demand.refundable else share_of(demand.client, client_ratio),
            refundable=demand.refundable,
            guard_seconds=self._clock.last_guard_seconds,
            name=demand,
        )
        match outcome:
            case Reservation():
                return outcome
            case Refused():
                raise self._refusals.refused(outcome, now, ratio=ratio, client=demand.client)
            case Blocked():
                raise self._refusals.blocked(outcome, now)

    async def reconcile(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        """Correct the usage by an answer's headers (lower-case names); `ok` for a 2xx, which refunds."""
        had_block, now = self.local_view.last_block is not None, self._anchor.now()
        report, guard_seconds = self._limits.read_usage_report(headers, now, ok), self._clock.last_guard_seconds
        foreign_weight = self.local_view.settle(reservation, report, now, guard_seconds)
        if foreign_weight:
            self._observer.foreign_weight(foreign_weight)
        if had_block and self.local_view.last_block is None:
            await self._keeper.keep(None)

    def can_settle_now(self, reservation: Reservation) -> bool:
        """Not after a block: its end is kept on disk."""
        return self.local_view.last_block is None

    def settle_now(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        """`reconcile` without waiting, where that is possible."""
        clock, budget = self._clock, self.local_view
        wall = clock.wall
        now = wall() + clock.offset_seconds
        report = self._limits.read_usage_report(headers, now, ok)
        foreign_weight = budget.settle(reservation, report, now, clock.last_guard_seconds)
        if foreign_weight:
            self._observer.foreign_weight(foreign_weight)

    async def release(self, reservation: Reservation) -> None:
        """End a reservation whose request was certainly not sent: it is not pending any more, and stays in `used`."""
        self.local_view.release(reservation, now=self._anchor.now())

    async def block(self, reason: BlockReason, until: float | None) -> None:
        """Send nothing until `until`; None: for as long as the reason's penalty says. Returns when it is kept."""
        guard_seconds = self._clock.guard_seconds()
        await self._keeper.keep(
            self.local_view.block(reason, self._anchor.now(), until=until, guard_seconds=guard_seconds)
        )

    async def keep_block(self) -> None:
        """Keep the block anew: this machine's clock was set, by which its end is kept, or it may be lost."""
        block = self.held_block()
        if block is not None:
            await self._keeper.keep(block)

    async def raise_if_blocked(self) -> None:
        """Raise the SendingRefused of a block, if one holds."""
        now = self._anchor.now()
        block = self.local_view.block_at(now)
        if block is not None:
            raise self._refusals.blocked(block, now)

    def restore(self, block: Block) -> None:
        """Adopt the block that an earlier process kept."""
        self.local_view.adopt_block(block)

    def learn(self, windows: tuple[Window, ...], *, source: str = "") -> None:
        """Adopt the origin's limits, but for absurd ones. Of several sources the lowest limits hold."""
        self._limits.learn(windows, source=source)

    def view(self) -> LedgerView:
        """The current windows and the block."""
        ratio = self._ratios.of(Purpose.PUBLIC, local=False)
        now, wording = self._anchor.now(), self._limits.wording
        return view_of(self.local_view, self._limits.windows, now, ratio=ratio, local=False, wording=wording)

    def held_block(self) -> Block | None:
        """The block that holds now."""
        return None if self.local_view.last_block is None else self.local_view.block_at(self._anchor.now())

    def used_weight(self) -> int:
        """The used weight of the current one-minute window."""
        clock, wall = self._clock, self._clock.wall
        return self.local_view.minute(wall() + clock.offset_seconds).counter.used  # nothing is leased
