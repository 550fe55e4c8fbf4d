"""Requests that Redis grants and settles one by one.

Owns: the round trips of one request, and what is learned from their answers. Must not know: what happens while Redis
is away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.core.quota.budget import Blocked, Reservation
from proxy.core.quota.charges import WindowKey
from proxy.core.quota.client_share import ClientUsage
from proxy.core.quota.demand import Demand
from proxy.core.quota.refusal import Refused, refusal
from proxy.core.quota.replica_view import ReplicaView, Wanted
from proxy.core.quota.usage_report import UsageReport, reported_usage
from proxy.ports import Clock
from proxy.quota.leasing import Leasing
from proxy.quota.script_replies import Reserved, Settled
from proxy.quota.scripts import Request, Scripts
from proxy.quota.shared_block import SharedBlock


class OneByOne:
    """Asks Redis for each request."""

    __slots__ = ("_block", "_clock", "_leasing", "_scripts", "_seen", "_wanted")

    def __init__(
        self,
        scripts: Scripts,
        *,
        seen: ReplicaView,
        block: SharedBlock,
        clock: Clock,
        wanted: Callable[[Demand], Wanted],
        leasing: Leasing | None,
    ) -> None:
        """`wanted`: a demand at this moment. `leasing`: with it lost data makes a window exact."""
        self._scripts = scripts
        self._seen = seen
        self._block = block
        self._clock = clock
        self._wanted = wanted
        self._leasing = leasing

    async def reserve(self, demand: Demand) -> Reservation | Refused | Blocked:
        """Reserve in Redis. Raises RedisAway."""
        leasing, wanted = self._leasing, self._wanted(demand)
        if leasing is not None and leasing.owes_clients(wanted):
            await leasing.sync()
        wanted, reserved = await self._ask(demand, is_synchronized=self._clock.is_synchronized())
        self._seen.adopt(reserved.usages)
        self._seen.adopt_clients(wanted.client_share, reserved.client_used, reserved.client_count)
        if reserved.block is not None:
            await self._block.adopt(reserved.block, reserved.at)
            block = self._seen.budget.block_at(reserved.at) or reserved.block.block
            return Blocked(block.reason, block.until)
        if leasing is not None:
            leasing.see(reserved.usages)
        if reserved.exceeded is not None:
            charge, limit = reserved.exceeded
            return refusal(charge, self._clock.guard_seconds(), limit)
        reservation = Reservation(reserved.charges, reserved.at)
        if leasing is not None:
            leasing.leases.news.open(reservation)
        return reservation

    async def reconcile(self, reservation: Reservation, report: UsageReport, now: float) -> Settled:
        """Tell Redis of an answer. Raises RedisAway."""
        if self._leasing is not None:
            self._leasing.leases.news.close(reservation)
        settled = await self._scripts.reconcile(
            reservation,
            reported_usage(report, reservation.at, now, self._clock.guard_seconds()),
            ok=report.ok,
            floors=self._seen.floors,
            now=now,
            may_teach=self._clock.may_teach(),
        )
        self._seen.adopt(settled.usages)
        self._seen.budget.end_block(reservation, report, now)
        return settled

    async def _ask(self, demand: Demand, *, is_synchronized: bool) -> tuple[Wanted, Reserved]:
        """Reserve in Redis. A process that is not synchronized gets the origin's time first, and then asks again."""
        asked_at, wanted = self._clock.wall(), self._wanted(demand)
        request = Request(
            wanted.charges(),
            wanted.ratio,
            wanted.client_share,
            wanted.now,
            is_synchronized,
            leases=self._leasing is not None,
        )
        usages: Mapping[WindowKey, ClientUsage] = self._seen.client_usages(wanted)
        reserved = await self._scripts.reserve(request, floors=self._seen.floors, client_usages=usages)
        if isinstance(reserved, Reserved):
            return wanted, reserved
        self._clock.observe_shared(reserved, sent_at=asked_at, received_at=self._clock.wall())
        return await self._ask(demand, is_synchronized=True)
