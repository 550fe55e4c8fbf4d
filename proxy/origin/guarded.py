"""Asking the origin under the quota: reserve, send, reconcile, and obey what it says.

Owns: the rule that nothing is sent without a reservation and no answer goes unread. Must not know: caching, clients.
The quota errs on the side of not sending: a request that may have reached the origin stays charged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import structlog

from proxy.core.messages import OriginResponse
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.origin_headers import origin_time, parse_rate_limits
from proxy.core.verdict import Failed, Good, Negative, Throttled, judge
from proxy.errors import BackedOff, Banned, ConnectionLost, Paused, SendingRefused, Unreachable, UpstreamFailed
from proxy.ports import Clock, Ledger, Observer, Upstream

log = structlog.get_logger(__name__)

LOST_ATTEMPTS = 2
"""How often one question may be sent when connections break under it; each time is charged."""

UNREACHABLE_SECONDS = 0.5
"""After no host could be reached none is tried for this long: each attempt stays charged, though nothing was sent."""

_BLOCKED = {
    BlockReason.BACK_OFF: (BackedOff, "Too many requests; the origin asked to back off."),
    BlockReason.BAN: (Banned, "Way too many requests; the origin has banned this IP."),
    BlockReason.PAUSE: (Paused, "The origin's firewall refused this IP."),
}


@dataclass(frozen=True, slots=True)
class AcceptedResponse:
    """An answer that can be passed on: proven good, or the origin's own refusal of this request."""

    response: OriginResponse
    verdict: Good | Negative


class Origin:
    """The origin as the gateway sees it: one question at a time, within the quota."""

    def __init__(
        self,
        upstream: Upstream,
        ledger: Ledger,
        clock: Clock,
        *,
        observer: Observer,
        total_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._clock = clock
        self._observer = observer
        self._total_seconds = total_seconds
        self._monotonic = monotonic
        self._unreachable_at = float("-inf")
        self._refused = False
        """Whether the last that was heard of the origin is that it, or another replica for it, refuses."""
        self._probing = asyncio.Lock()

    async def ask(
        self, query: CanonicalQuery, *, background: bool = False, client: str | None = None
    ) -> AcceptedResponse:
        """One answer of the origin, for this client. Raises a SendingRefused or an UpstreamFailed.

        Once the origin has refused, questions go one at a time until it answers one: when a back-off ends with
        many waiting, one of them finds out whether it really has ended.
        """
        if self._refused:
            async with self._probing:
                if self._refused:
                    return await self._ask_watching(query, background=background, client=client)
        return await self._ask_watching(query, background=background, client=client)

    async def _ask_watching(self, query: CanonicalQuery, *, background: bool, client: str | None) -> AcceptedResponse:
        try:
            answer = await self._ask(query, background=background, client=client)
        except (BackedOff, Banned, Paused):
            self._refused = True
            raise
        self._refused = False
        return answer

    async def _ask(self, query: CanonicalQuery, *, background: bool, client: str | None) -> AcceptedResponse:
        """Ask host after host until one answers.

        A host that cannot be reached costs nothing and the next is tried on the same reservation; a connection
        that breaks stays charged, and the next attempt is charged again.
        """
        if 0 <= self._clock.wall() - self._unreachable_at < UNREACHABLE_SECONDS:
            raise Unreachable
        cost = query.weight
        deadline = self._monotonic() + self._total_seconds
        lost = 0
        failure: UpstreamFailed = Unreachable()
        reservation: Reservation | None = None
        for base_url in self._upstream.candidates(query.endpoint):
            if self._monotonic() >= deadline or lost == LOST_ATTEMPTS:
                break
            if reservation is not None and not self._covers(reservation):
                await self._ledger.release(reservation)  # a slow connect has brought us into another window
                reservation = None
            reservation = reservation or await self._ledger.reserve(cost, background=background, client=client)
            try:
                return await self._send(base_url, query, reservation, client)
            except Unreachable as error:
                failure = error
            except ConnectionLost as error:
                failure, reservation, lost = error, None, lost + 1
        if reservation is not None:
            await self._ledger.release(reservation)
        if isinstance(failure, Unreachable):
            self._unreachable_at = self._clock.wall()
        raise failure

    def _covers(self, reservation: Reservation) -> bool:
        return reservation.covers(self._clock.origin(), self._clock.guard_seconds())

    def learn_limits(self, rate_limits: Sequence[Mapping[str, Any]]) -> None:
        """Take over the limits that a document tells; none tells nothing."""
        windows = parse_rate_limits(rate_limits)
        if windows:
            self._ledger.learn(windows)

    async def _send(
        self, base_url: str, query: CanonicalQuery, reservation: Reservation, client: str | None
    ) -> AcceptedResponse:
        try:
            response = await self._upstream.send(base_url, query)
        except Unreachable:
            raise
        except UpstreamFailed as error:
            self._observer.spent(query.endpoint.name, query.weight, client=client)
            if error.headers:
                await self._ledger.reconcile(reservation, error.headers, ok=False)
            raise
        self._observer.spent(query.endpoint.name, query.weight, client=client)
        return await self._read(query, response, reservation)

    async def _read(
        self, query: CanonicalQuery, response: OriginResponse, reservation: Reservation
    ) -> AcceptedResponse:
        self._learn_date(response)
        verdict = judge(query, response, self._clock.origin())
        if isinstance(verdict, Throttled):
            await self._ledger.block(verdict.reason, self._certainly(verdict.until))
        await self._ledger.reconcile(reservation, response.headers, ok=isinstance(verdict, Good))
        match verdict:
            case Good():
                self._learn(verdict, response)
                return AcceptedResponse(response, verdict)
            case Negative():
                return AcceptedResponse(response, verdict)
            case Throttled(reason, _):
                raise self._blocked(reason, response.status)
            case Failed(error):
                raise error
            case _:
                assert_never(verdict)

    def _certainly(self, until: float | None) -> float | None:
        """When the block is over by the clock of every replica, whatever they learn of the origin's meanwhile."""
        return None if until is None else until + self._clock.guard_seconds()

    def _blocked(self, reason: BlockReason, status: int) -> SendingRefused:
        """The error that everybody gets from now on, until the ledger lifts the block."""
        block = self._ledger.view().block
        remaining = block.until - self._clock.origin() if block is not None else 1.0
        error, msg = _BLOCKED[reason]
        log.warning("origin_blocks", reason=reason.value, status=status, seconds=round(remaining, 1))
        return error(msg, retry_after_seconds=remaining)

    def _learn_date(self, response: OriginResponse) -> None:
        told = origin_time(response.headers)
        if told is not None:
            self._clock.observe_date(told, sent_at=response.sent_at, received_at=response.received_at)

    def _learn(self, good: Good, response: OriginResponse) -> None:
        self.learn_limits(good.rate_limits)
        if good.server_time is not None:
            self._clock.observe_server_time(
                good.server_time, sent_at=response.sent_at, received_at=response.received_at
            )
