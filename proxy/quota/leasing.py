"""Leases of one quota domain as a running part: fetches grants in the background, settles in batches, listens.

Owns: when Redis is called for leases, whether the push channel is proven alive, what happens when it is not. Must not
know: what is granted (`proxy.core.quota.lease_store`), what may be spent (`proxy.core.quota.process_leases`).

The same script serves for everything, and its state is pushed as the heartbeat of the channel.
"""

from __future__ import annotations

import asyncio
import math
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from msgspec import Struct

from proxy.background import Alarm
from proxy.core.quota.budget import Reservation
from proxy.core.quota.charges import WindowKey, WindowUsage, budget_of
from proxy.core.quota.client_share import ClientShare
from proxy.core.quota.demand import Demand
from proxy.core.quota.process_leases import ProcessLeases
from proxy.core.quota.ratios import Ratios
from proxy.core.quota.replica_view import ReplicaView, Wanted
from proxy.core.quota.replicas import ReplicaCount
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.view import LeaseState
from proxy.core.quota.windows import MINUTE_SECONDS
from proxy.errors import RedisAway
from proxy.event_log import log
from proxy.ports import Clock, LedgerObserver
from proxy.quota.limits import KnownLimits
from proxy.quota.push_channel import ChannelState, PushChannel
from proxy.quota.push_proof import PushProof
from proxy.quota.script_replies import StoredBlock
from proxy.quota.scripts import ScriptRunner, push_channel
from proxy.quota.sync_script import Push, SyncScript

TICK_SECONDS = 0.25
"""What is due by the time alone is looked for so often: less often than a heartbeat is due, which wakes as well."""
IDLE_TICK_SECONDS = 1.0
"""The same without requests."""
EARLY_BEAT_SECONDS = 0.07
"""A call is a heartbeat too if one is due so soon."""
RETRY_SECONDS = 0.25
"""After a call that failed."""


class LedgerFace(Struct, frozen=True):
    """What the ledger does for its leases."""

    merge: Callable[[float], Awaitable[None]]
    """Tell Redis what was counted alone. Raises RedisAway."""
    adopt_block: Callable[[StoredBlock, float], Awaitable[None]]
    contact: Callable[[bool], None]
    """Whether Redis answered."""
    now: Callable[[], float]
    """The origin's time, after a look at the clock."""
    limits: KnownLimits


class Leasing:
    """The leases of one process in one quota domain."""

    def __init__(  # noqa: PLR0913 - the parts that it joins
        self,
        connection: ScriptRunner,
        *,
        domain_key: str,
        ledger: LedgerFace,
        seen: ReplicaView,
        clock: Clock,
        ratios: Ratios,
        replica_count: ReplicaCount,
        observer: LedgerObserver,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.leases = ProcessLeases(secrets.token_hex(6), ratios)
        self._script = SyncScript(connection, domain_key)
        self._name = push_channel(domain_key)
        self._channel = PushChannel(connection.client, self._name, on_push=self.on_push)
        self._ledger = ledger
        self._seen = seen
        self._clock = clock
        self._replica_count = replica_count
        self._observer = observer
        self._monotonic = monotonic
        self.proof = PushProof(monotonic, chance, lambda: replica_count.replicas)
        self._is_proven = self.proof.holds
        self._wake = Alarm()
        self._turn = asyncio.Lock()
        """One call at a time: an answer is that to the last call."""
        self._ended: list[tuple[Reservation, UsageReport]] = []
        """Requests that were reserved by themselves and are not settled yet."""
        self._good_at: float | None = None
        self._running = False
        self._retry_at = -math.inf
        self._publish_refused = False
        self._was_on: bool | None = None

    # What requests ask.

    def demand(self, weight: int, now: float) -> None:
        """A request is reserved by itself."""
        self.leases.demand(weight, now)
        self._wake.set()

    def take(self, now: float, demand: Demand) -> Reservation | None:
        """A reservation out of leases, after a look at the clock; None if they do not suffice."""
        if not self._running or not self.proof.holds():
            return None
        leases = self.leases
        limits, guard_seconds = self._ledger.limits, self._clock.last_guard_seconds
        charges = leases.spend(now, demand, limits.windows, guard_seconds)
        if leases.is_urgent:
            self._wake.set()
        if charges is None:
            return None
        self._seen.budget.version += 1
        return Reservation(charges, now, leased=True, is_proven=self._is_proven, is_refundable=demand.refundable)

    def settle(self, reservation: Reservation, report: UsageReport, now: float) -> None:
        """A request has ended; Redis is told in the background."""
        leases = self.leases
        leases.record_headers(report, reservation.at, now, self._clock.last_guard_seconds)
        if not reservation.leased:
            leases.news.settle(reservation, now, ok=report.ok)
            self._ended.append((reservation, report))
            if len(self._ended) == 1:
                self._wake.set()
        elif reservation.is_refundable:
            self._seen.budget.version += leases.settle(reservation, ok=report.ok)
        if report.ok and (self._good_at is None or self._good_at < reservation.at):
            self._good_at = reservation.at
        if leases.is_urgent:
            self._wake.set()

    def see(self, usages: Mapping[WindowKey, WindowUsage]) -> None:
        """Redis told the usage in the answer to another call."""
        self.leases.see(usages)

    def owes_clients(self, wanted: Wanted) -> bool:
        """Whether Redis must learn what the client spent before it can judge its share."""
        share: ClientShare | None = wanted.client_share
        return share is not None and any(
            self.leases.used_by(charge.window_key, share.field)
            and 2 * (self._seen.budget.usage(charge.window_key).most_spent + charge.weight)
            > budget_of(charge.window.limit, wanted.ratio)
            for charge in wanted.charges()
        )

    def state(self) -> LeaseState:
        """For the status page."""
        if self._channel.state is ChannelState.REFUSED or self._publish_refused:
            return LeaseState.REFUSED
        if self.proof.holds():
            return LeaseState.ON
        return LeaseState.NO_PUSH if self._is_active(self._clock.origin()) else LeaseState.IDLE

    # What runs in the background.

    async def run(self) -> None:
        """Run until cancelled; then give everything back."""
        await self._wake.wait()  # a pool that nobody uses needs no subscription
        self.proof.start()
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._channel.run())
            try:
                self._running = True
                await self._work()
            finally:
                self._running = self.leases.may_hold = False
                self.leases.give_back()
                listening.cancel()
                with suppress(RedisAway):
                    await self.sync()

    async def sync(self, *, publishes: bool = False) -> None:
        """Call Redis once. Raises RedisAway."""
        async with self._turn:
            await self._sync(publishes=publishes)

    async def on_push(self, data: bytes | str) -> None:
        """Take over what was pushed."""
        try:
            push = self._script.read_push(data)
            block = self._stored_block(push)
        except ValueError:
            return
        if not self.leases.observe(push.state):
            return
        self.proof.pushed(push.state.server_seconds)
        if self.leases.is_urgent:
            self._wake.set()
        if block is not None:
            await self._ledger.adopt_block(block, self._ledger.now())

    async def turn(self, now: float, *, is_active: bool) -> None:
        """Do what is due now. Never raises."""
        self._mind_trust(is_active=is_active)
        self.leases.frame(now, self._ledger.limits.windows, self._clock.last_guard_seconds)
        self.leases.tick(now)
        beats = is_active and self.proof.beat_in() <= 0
        if self._monotonic() >= self._retry_at and (beats or self.leases.due_at(now) <= now):
            await self._try(publishes=is_active and self.proof.beat_in() <= EARLY_BEAT_SECONDS)

    async def _work(self) -> None:
        while True:
            now = self._ledger.now()
            await self.turn(now, is_active=self._is_active(now))
            self._wake.clear()
            if self.leases.is_urgent and self._monotonic() >= self._retry_at:
                await asyncio.sleep(0)
                continue
            is_active = self._is_active(now)  # the first request after a while may have come during the turn
            await self._wake.wait(self._pause_seconds(now) if is_active else IDLE_TICK_SECONDS)

    def _pause_seconds(self, now: float) -> float:
        """How long nothing is due, unless something happens."""
        until_due = min(self.proof.beat_in(), self.leases.due_at(now) - now)
        return max(0.0, min(TICK_SECONDS, until_due), self._retry_at - self._monotonic())

    def _is_active(self, now: float) -> bool:
        return self.leases.expects_requests(now)

    def _mind_trust(self, *, is_active: bool) -> None:
        """Fetch nothing without proof; give back what was not spendable for a while, and say so once."""
        is_silent, is_on = self.proof.is_silent(), self.proof.holds()
        self.leases.may_hold = is_on
        if is_silent:
            self.leases.give_back()
        if is_active and (is_on or is_silent) and is_on != self._was_on:
            self._was_on = is_on
            if is_on:
                log.info("leases_on", channel=self._name)
            else:
                log.warning("leases_off", channel=self._name, reason=self.state().value)
        if is_active and is_silent and self._monotonic() >= self._retry_at and self.proof.must_renew():
            self._channel.renew()

    async def _try(self, *, publishes: bool) -> None:
        if publishes:
            self.proof.beat()
        try:
            await self.sync(publishes=publishes)
        except RedisAway:
            self._retry_at = self._monotonic() + RETRY_SECONDS

    async def _sync(self, *, publishes: bool) -> None:
        now = self._ledger.now()
        self._seen.forget(now)
        ended, self._ended = self._ended, []
        good_at, self._good_at = self._good_at, None
        self.leases.frame(now, self._ledger.limits.windows, self._clock.last_guard_seconds)
        call = self.leases.call(
            now, replicas=self._replica_count.replicas, floors=self._seen.floors, publishes=publishes
        )
        sent_at = self._monotonic()
        try:
            await self._ledger.merge(now)
            sent_at = self._monotonic()
            synced = await self._script.call(call, good_at=good_at, may_teach=self._clock.may_teach())
        except RedisAway:
            self._ledger.contact(False)
            self.leases.failed(call)
            for reservation, report in ended:
                guard_seconds = self._clock.guard_seconds()
                self._seen.reconcile_alone(reservation, report, now, guard_seconds=guard_seconds)
            raise
        self._ledger.contact(True)
        self._publish_refused = bool(synced.refusal)
        self.proof.answered(synced.push.state.server_seconds, sent_at=sent_at)
        self.leases.answered(call, synced.reply)
        usages, foreign = {}, 0
        for told, said in zip(call.windows, synced.reply.windows, strict=True):
            usages[told.key] = said.usage
            foreign += said.raised if told.key.interval_seconds == MINUTE_SECONDS else 0
        self._seen.adopt(usages)
        if foreign:
            self._observer.foreign_weight(foreign)
        block = self._stored_block(synced.push)
        if block is not None:
            await self._ledger.adopt_block(block, self._ledger.now())

    def _stored_block(self, push: Push) -> StoredBlock | None:
        return push.stored_block(self._ledger.now()) if push.block else None
