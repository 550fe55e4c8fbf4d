"""The origin behind the quota: reserve, send, reconcile, and block when the origin says so.

Owns: the rules that nothing is sent without a reservation, and that every answer is reconciled. Must not know:
caching, clients. In doubt the quota counts too much: a request that may have reached the origin stays charged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import structlog

from proxy.core.messages import OriginResponse
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Blocked, Reservation
from proxy.core.quota.origin_headers import is_api_answer, origin_time, parse_rate_limits
from proxy.core.quota.view import blocked_error
from proxy.core.verdict import Failed, Good, Negative, Throttled, judge
from proxy.errors import BackedOff, Banned, ConnectionLost, Paused, SendingRefused, Unreachable, UpstreamFailed
from proxy.ports import Clock, Ledger, Observer, Upstream

log = structlog.get_logger(__name__)

LOST_ATTEMPTS = 2
"""How often a request may be sent if its connections break. Each attempt is charged."""

UNREACHABLE_SECONDS = 0.5
"""When no host could be reached, none is tried for this long: each attempt stays charged, though nothing was sent."""


@dataclass(frozen=True, slots=True)
class AcceptedResponse:
    """An answer that can be passed on: a good one, or the origin's own 400."""

    response: OriginResponse
    verdict: Good | Negative


class Origin:
    """Sends requests to the origin, within the quota."""

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
        self._is_blocked = False
        """Whether the last request ended with a block of the origin, seen by this replica or by another one."""
        self._probing = asyncio.Lock()

    async def ask(
        self, query: CanonicalQuery, *, background: bool = False, client: str | None = None
    ) -> AcceptedResponse:
        """One answer of the origin, for this client. Raises a SendingRefused or an UpstreamFailed.

        After a block requests go one at a time until the origin answers one. So when a block ends while many
        requests wait, a single one finds out whether the origin really answers again.
        """
        if self._is_blocked:
            async with self._probing:
                if self._is_blocked:
                    return await self._ask_noting_blocks(query, background=background, client=client)
        return await self._ask_noting_blocks(query, background=background, client=client)

    async def _ask_noting_blocks(
        self, query: CanonicalQuery, *, background: bool, client: str | None
    ) -> AcceptedResponse:
        try:
            accepted = await self._ask(query, background=background, client=client)
        except (BackedOff, Banned, Paused):
            self._is_blocked = True
            raise
        self._is_blocked = False
        return accepted

    async def _ask(self, query: CanonicalQuery, *, background: bool, client: str | None) -> AcceptedResponse:
        """Ask one host after another until one answers.

        A host that cannot be reached costs nothing: the next one is tried with the same reservation. A request whose
        connection broke stays charged, and the next attempt is charged again.
        """
        if 0 <= self._clock.wall() - self._unreachable_at < UNREACHABLE_SECONDS:
            raise Unreachable
        deadline = self._monotonic() + self._total_seconds
        lost_attempts = 0
        failure: UpstreamFailed = Unreachable()
        reservation: Reservation | None = None
        for base_url in self._upstream.candidates(query.endpoint):
            if self._monotonic() >= deadline or lost_attempts == LOST_ATTEMPTS:
                break
            if reservation is not None and not self._covers(reservation):
                await self._ledger.release(reservation)  # connecting took so long that another window has begun
                reservation = None
            reservation = reservation or await self._ledger.reserve(query.weight, background=background, client=client)
            try:
                return await self._send(base_url, query, reservation, client)
            except Unreachable as error:
                failure = error
            except ConnectionLost as error:
                failure, reservation, lost_attempts = error, None, lost_attempts + 1
        if reservation is not None:
            await self._ledger.release(reservation)
        if isinstance(failure, Unreachable):
            self._unreachable_at = self._clock.wall()
        raise failure

    def _covers(self, reservation: Reservation) -> bool:
        return reservation.covers(self._clock.origin(), self._clock.guard_seconds())

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
            await self._ledger.block(verdict.reason, self._with_guard(verdict.until))
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

    def _with_guard(self, until: float | None) -> float | None:
        """The end of a block by the clock of every replica, whatever they learn of the origin's clock meanwhile."""
        return None if until is None else until + self._clock.guard_seconds()

    def _blocked(self, reason: BlockReason, status: int) -> SendingRefused:
        """The error of every request from now on, until the block ends."""
        block, now = self._ledger.view().block, self._clock.origin()
        until = block.until if block is not None else now + 1.0
        log.warning("origin_blocks", reason=reason.value, status=status, seconds=round(until - now, 1))
        return blocked_error(Blocked(reason, until), now)

    def _learn_date(self, response: OriginResponse) -> None:
        date = origin_time(response.headers)
        if date is not None and is_api_answer(response.headers):
            self._clock.observe_date(date, sent_at=response.sent_at, received_at=response.received_at)

    def _learn(self, good: Good, response: OriginResponse) -> None:
        self._ledger.learn(parse_rate_limits(good.rate_limits))
        if good.server_time is not None:
            self._clock.observe_server_time(
                good.server_time, sent_at=response.sent_at, received_at=response.received_at
            )
