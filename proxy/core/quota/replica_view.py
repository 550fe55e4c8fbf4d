"""What one replica has last seen of the shared ledger, and what it decides from that alone.

Owns: the usage seen in Redis, the usage that Redis lacks, refusals without a round trip, reservations while Redis is
away. Must not know: Redis, when it is asked, how usage is merged into it.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from proxy.core.quota.budget import Blocked, Budget, Reservation
from proxy.core.quota.charges import Charge, WindowKey, WindowUsage, charges_of, cost_of
from proxy.core.quota.client_share import ClientShare, ClientUsage
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.refusal import Refused, first_refusal
from proxy.core.quota.replicas import refuse_without_redis
from proxy.core.quota.unsynced_usage import UnsyncedUsage
from proxy.core.quota.usage_report import UsageReport, reported_usage
from proxy.core.quota.windows import GUARD_SECONDS, Window


class Wanted(Struct, frozen=True, kw_only=True):
    """A reservation that is asked for at `now`, the origin's time."""

    now: float
    weight: int
    windows: tuple[Window, ...]
    ratios: Ratios
    purpose: Purpose
    guard_seconds: float
    refundable: bool = False
    """Whether the origin takes the weight back if the request succeeds."""
    client_share: ClientShare | None = None

    @property
    def ratio(self) -> float:
        """The share of each limit that may be used while Redis answers."""
        return self.ratios.of(self.purpose, local=False)

    def charges(self) -> tuple[Charge, ...]:
        """What the reservation costs, in each window that it may count in."""
        return charges_of(
            self.now,
            cost_of(self.weight),
            self.windows,
            guard_seconds=self.guard_seconds,
            refundable=self.refundable,
        )


class ReplicaView:
    """The ledger as one replica sees it. No I/O."""

    __slots__ = ("budget", "floors", "unsynced")

    def __init__(self) -> None:
        self.budget = Budget()
        """The usage that Redis reported plus the unsynced usage, and the block."""
        self.floors: dict[WindowKey, int] = {}
        """The highest usage that stays (`kept`) which Redis reported for each window.

        Refunds do not lower it. If Redis has less used later, it has lost data.
        """
        self.unsynced = UnsyncedUsage()

    def refuse(self, wanted: Wanted) -> Refused | Blocked | None:
        """The refusal that needs no round trip, if any. For a client only its own confirmed usage counts."""
        block = self.budget.block_at(wanted.now)
        if block is not None:
            return Blocked(block.reason, block.until)
        return first_refusal(
            wanted.charges(),
            ratio=wanted.ratio,
            used=lambda key: self.floors.get(key, 0),
            client_usage=self.budget.client_usage,
            client_share=wanted.client_share,
            guard_seconds=wanted.guard_seconds,
        )

    def reserve_alone(self, wanted: Wanted, *, replicas: int) -> Reservation | Refused | Blocked:
        """Reserve while Redis is away: within the budget of all replicas, as last seen, and within the local ratio.

        What is reserved so is never taken back: the totals that Redis gets later only grow.
        """
        refused = refuse_without_redis(
            wanted.charges(),
            used=lambda key: self.budget.usage(key).used,
            unsynced=lambda key: self.unsynced.lacking(key).used,
            replicas=replicas,
            ratio=wanted.ratio,
            guard_seconds=wanted.guard_seconds,
        )
        outcome = refused or self.budget.reserve(
            wanted.now,
            cost_of(wanted.weight),
            wanted.windows,
            ratio=wanted.ratios.of(wanted.purpose, local=True),
            client_share=wanted.client_share,
            guard_seconds=wanted.guard_seconds,
        )
        if isinstance(outcome, Reservation):
            self.unsynced.charge(outcome.charges)
            return replace(outcome, local=True)
        return outcome

    def settle_alone(self, reservation: Reservation, now: float) -> Reservation:
        """Settle a local reservation. Returns the part that Redis must settle: no charge of a local one."""
        if not reservation.local:
            return reservation
        self.unsynced.clear_pending(reservation.charges)
        self.budget.release(reservation, now=now)
        return replace(reservation, charges=(), rows=None)

    def reconcile_alone(
        self, reservation: Reservation, report: UsageReport, now: float, *, guard_seconds: float = GUARD_SECONDS
    ) -> int:
        """Reconcile while Redis is away. Returns the foreign weight."""
        self.unsynced.record_headers(reported_usage(report, reservation.at, now, guard_seconds))
        return self.budget.reconcile(reservation, report, now=now, guard_seconds=guard_seconds).foreign_weight

    def adopt(self, usage: Mapping[WindowKey, WindowUsage]) -> None:
        """Adopt the usage that Redis reported, plus what it does not know yet."""
        for key, reported in usage.items():
            if reported.kept > self.floors.get(key, -1):
                self.floors[key] = reported.kept
            known = self._with_missing(key, reported)
            if known != self.budget.usage(key):
                self.budget.adopt(key, known)

    def catch_up(self, usages: Mapping[WindowKey, WindowUsage]) -> None:
        """Adopt usage that Redis may not have, such as what the origin told, where it is more. It makes no floor."""
        for key, told in usages.items():
            known = self._with_missing(key, told)
            if known.used > self.budget.usage(key).used:
                self.budget.adopt(key, known)

    def _with_missing(self, key: WindowKey, told: WindowUsage) -> WindowUsage:
        """The usage with what Redis does not know yet."""
        missing = self.unsynced.lacking(key)
        used, pending = told.used + missing.used, max(0, told.pending + missing.pending)
        return WindowUsage(used, pending, told.refundable, told.leased, told.untold)

    def client_usages(self, wanted: Wanted) -> dict[WindowKey, ClientUsage]:
        """What this replica knows of the client that asks."""
        keys = [charge.window_key for charge in wanted.charges()]
        return {key: self.budget.client_usage(key, wanted.client_share) for key in keys}

    def adopt_clients(
        self, client_share: ClientShare | None, used: Mapping[WindowKey, int], count: Mapping[WindowKey, int]
    ) -> None:
        """Adopt what the client that asked used, and how many clients were charged; call `adopt` first."""
        for key in count:
            if client_share is not None:
                self.budget.adopt_client(key, client_share, used[key])
            self.budget.adopt_client_count(key, count[key])

    def forget(self, now: float) -> None:
        """Drop the windows that have expired: those that the budget drops."""
        if self.budget.forget(now):
            for key in [key for key in self.floors if not self.budget.keeps(key)]:
                del self.floors[key]
            self.unsynced.forget(self.budget.keeps)
