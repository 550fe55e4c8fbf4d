"""The origin behind the quota: reserve, send, reconcile, and block when the origin says so.

Owns: the order of hosts of one question, and the rule that every answer is reconciled. Must not know: caching, clients.
In doubt the quota counts too much: a request that may have reached the origin stays charged.

A request with a key, or of another method than GET, may be an order: once a byte of it may have left it is never sent
again, and its client is told that the outcome is unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.messages import OriginResponse
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.clock_offset import JUMP_SECONDS
from proxy.core.quota.origin_headers import is_api_answer, origin_time, without_used_weight
from proxy.core.quota.pools import SPOT
from proxy.core.quota.ratios import Purpose
from proxy.core.quota.windows import GUARD_SECONDS
from proxy.core.verdict import Failed, Good, Negative, Throttled, judge
from proxy.errors import (
    ConnectionLost,
    OutcomeUnknown,
    PassedOn,
    Restricted,
    SendingRefused,
    TooSlow,
    Unreachable,
    UpstreamFailed,
)
from proxy.event_log import log
from proxy.origin.firewall import FirewallProbe
from proxy.origin.gate import Gate, Passage, Ticket
from proxy.ports import Clock, Ledger, Observer, Upstream

LOST_ATTEMPTS = 2
"""How often a request may be sent if its connections break. Each attempt is charged."""

SPOT_PING = CanonicalQuery(endpoint=ENDPOINTS["/api/v3/ping"])

RateLimits = Sequence[Mapping[str, Any]]
"""The `rateLimits` of an exchangeInfo document."""

UNREACHABLE_SECONDS = 0.5
"""When no host could be reached, none is tried for this long."""


@dataclass(frozen=True, slots=True)
class AcceptedResponse:
    """An answer that can be passed on: a good one, or the origin's own 400."""

    response: OriginResponse
    verdict: Good | Negative


class Origin:
    """Sends requests to the hosts of one API, within the quota of one pool."""

    def __init__(  # noqa: PLR0913 - the parts that it joins
        self,
        upstream: Upstream,
        ledger: Ledger,
        clock: Clock,
        *,
        observer: Observer,
        total_seconds: float,
        gate: Gate,
        pool: str = SPOT,
        learn: Callable[[Endpoint, RateLimits], None],
        firewall: FirewallProbe | None = None,
        above: Ledger | None = None,
        ping: UpstreamQuery = SPOT_PING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`gate`: that of the ledger's pool; `pool`: the word for it in logs. `learn`: takes the limits that an API
        announces. `firewall`: that of the API, for a pool of its own within the API; None: a new one that asks for
        `ping`. `above`: the ledger of the API, for a pool whose own limit never
        leads to a ban.
        """
        self._upstream = upstream
        self._ledger = ledger
        self._above = above
        self._clock = clock
        self._observer = observer
        self._total_seconds = total_seconds
        self._monotonic = monotonic
        self._gate = gate
        self._pool = pool
        self.firewall = firewall or FirewallProbe(self._ask, ping, monotonic=monotonic)
        """Tells whether the API's firewall refuses this IP."""
        self._learn_limits = learn
        self._unreachable: tuple[float, Unreachable] | None = None
        """When no host could be reached, by this machine's clock, and the error."""
        self._logged_until = 0.0

    async def ask(
        self, query: UpstreamQuery, *, background: bool = False, client: str | None = None
    ) -> AcceptedResponse:
        """One answer of the origin, for this client. Raises a SendingRefused or an UpstreamFailed.

        The deadline counts from now: the wait for a connection is part of it.
        """
        passage = Passage(
            query.weight,
            self._monotonic() + self._total_seconds,
            purpose=_purpose(query, background=background),
            refundable=query.is_keyed and query.endpoint.is_free_on_success,
            client=client,
        )
        accepted = await self._ask(query, passage)
        if isinstance(accepted.verdict, Negative) and accepted.verdict.by_firewall:
            await self.firewall.probe(passage.deadline)
        return accepted

    async def _ask(self, query: UpstreamQuery, passage: Passage) -> AcceptedResponse:
        self._raise_if_unreachable()
        async with self._gate.enter(passage) as ticket:
            if _is_sent_once(query):
                return await self._ask_once(query, passage, ticket)
            return await self._ask_hosts(query, passage, ticket)

    def _raise_if_unreachable(self) -> None:
        if self._unreachable is None:
            return
        at, error = self._unreachable
        if 0 <= self._clock.wall() - at < UNREACHABLE_SECONDS:
            raise error.with_traceback(None)

    async def _ask_hosts(self, query: UpstreamQuery, passage: Passage, ticket: Ticket) -> AcceptedResponse:
        """Ask one host after another until one answers.

        A host that cannot be reached costs nothing: the next one is tried with the same reservation. A request whose
        connection broke stays charged, and the next attempt is charged again. So is that after a 451: another host may
        serve this location. A 5xx ends it, because all hosts of the API share what is behind them.
        """
        lost_attempts = 0
        failure: UpstreamFailed | None = None
        for base_url in self._upstream.candidates(query.endpoint):
            if self._monotonic() >= passage.deadline or lost_attempts == LOST_ATTEMPTS:
                break
            try:
                return await self._send(base_url, query, passage, ticket)
            except Unreachable as error:
                failure = failure if isinstance(failure, Restricted) else error
            except Restricted as error:
                failure = error
            except ConnectionLost as error:
                failure, lost_attempts = error, lost_attempts + 1
            except TooSlow as error:
                if not ticket.is_sent and failure is not None:
                    break  # the time went by at the hosts before
                raise error
        failure = failure or TooSlow()
        if isinstance(failure, Unreachable):
            self._unreachable = (self._clock.wall(), failure)
        raise failure

    async def _ask_once(self, query: UpstreamQuery, passage: Passage, ticket: Ticket) -> AcceptedResponse:
        """Ask the first host that can be reached. Nothing is sent a second time, whatever fails.

        Only a host that certainly got nothing is followed by the next one.
        """
        failure: Unreachable | None = None
        for base_url in self._upstream.candidates(query.endpoint):
            try:
                return await self._send(base_url, query, passage, ticket)
            except PassedOn:
                raise
            except UpstreamFailed as error:
                if ticket.is_sent:
                    raise OutcomeUnknown(headers=error.headers) from error
                if not isinstance(error, Unreachable):
                    break
                failure = error
        if failure is None:
            raise self._gate.not_sent()
        self._unreachable = (self._clock.wall(), failure)
        raise failure

    async def _send(self, base_url: str, query: UpstreamQuery, passage: Passage, ticket: Ticket) -> AcceptedResponse:
        async def exchange(check: Callable[[], None]) -> OriginResponse:
            seconds = passage.deadline - self._monotonic()
            if seconds <= 0:
                raise TooSlow
            return await self._upstream.send(base_url, query, check=check, seconds=seconds)

        try:
            response = await ticket.send(exchange)
        except UpstreamFailed as error:
            if ticket.is_sent:
                self._observer.spent(query.endpoint.name, query.weight, client=passage.client)
                reservation = ticket.charge()
                if error.headers:
                    await self._ledger.reconcile(reservation, _believed(query.endpoint, error.headers), ok=False)
            raise
        accepted = await self._read(query, response, passage, ticket.charge())
        if not (isinstance(accepted.verdict, Negative) and accepted.verdict.by_firewall):
            ticket.answered()
        return accepted

    async def _read(
        self, query: UpstreamQuery, response: OriginResponse, passage: Passage, reservation: Reservation
    ) -> AcceptedResponse:
        self._learn_date(response)
        verdict = judge(query, response, self._clock.origin())
        is_free = passage.refundable and isinstance(verdict, Good)
        self._observer.spent(query.endpoint.name, 0 if is_free else query.weight, client=passage.client)
        if isinstance(verdict, Throttled):
            await self._block(verdict)
        if isinstance(verdict, Good):
            self._learn(
                query.endpoint, verdict, response
            )  # first: reconciling tells the other replicas the origin's time
        headers = _believed(query.endpoint, response.headers)
        await self._ledger.reconcile(reservation, headers, ok=isinstance(verdict, Good))
        match verdict:
            case Good() | Negative():
                return AcceptedResponse(response, verdict)
            case Throttled(reason, _):
                raise self._blocked(reason, response.status)
            case Failed(error):
                raise error
            case _:
                assert_never(verdict)

    async def _block(self, throttled: Throttled) -> None:
        """Tell the ledger, which tells the other replicas; then refuse all that wait here."""
        until = throttled.until
        # When the clock jumps, the block moves with it. It must outlast the smaller corrections, which do not move it.
        guard_seconds = min(self._clock.guard_seconds(), GUARD_SECONDS + JUMP_SECONDS)
        guarded = None if until is None else until + guard_seconds
        await self._ledger.block(throttled.reason, guarded)
        if self._above is not None and throttled.reason is not BlockReason.BACK_OFF:
            await self._above.block(throttled.reason, guarded)  # it is about the IP, not about this limit
        self._gate.close()

    def _blocked(self, reason: BlockReason, status: int) -> SendingRefused:
        """The error of every request from now on, until the block ends."""
        now = self._clock.origin()
        block = self._ledger.held_block() or Block(reason, now + 1.0)
        if block.until != self._logged_until:  # all that were on the wire are refused alike
            self._logged_until = block.until
            log.debug(  # that the pool is blocked is told once, as an event, whoever met the refusal
                "origin_blocks",
                pool=self._pool,
                reason=reason.value,
                status=status,
                seconds=round(block.until - now, 1),
            )
        return self._gate.blocked(block)

    def _learn_date(self, response: OriginResponse) -> None:
        date = origin_time(response.headers)
        if date is not None and is_api_answer(response.headers):
            self._clock.observe_date(date, sent_at=response.sent_at, received_at=response.received_at)

    def _learn(self, endpoint: Endpoint, good: Good, response: OriginResponse) -> None:
        if good.rate_limits:
            self._learn_limits(endpoint, good.rate_limits)
        if good.server_time is not None:
            self._clock.observe_server_time(
                good.server_time, sent_at=response.sent_at, received_at=response.received_at
            )


def _purpose(query: UpstreamQuery, *, background: bool) -> Purpose:
    if query.is_keyed:
        return Purpose.KEYED
    return Purpose.BACKGROUND if background else Purpose.PUBLIC


def _is_sent_once(query: UpstreamQuery) -> bool:
    """Whether sending it twice may do twice what it asks for."""
    return query.is_keyed or query.method != "GET"


def _believed(endpoint: Endpoint, headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of an answer, without a used weight that is wrong or is that of another pool."""
    if endpoint.has_used_weight and endpoint.pool is None:
        return headers
    return without_used_weight(headers)
