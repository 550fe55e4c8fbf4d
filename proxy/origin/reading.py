"""What follows from an answer of the origin: for the ledger, the clock, the limits, and whoever asked.

Owns: `AcceptedResponse`, and the rule that every answer is reconciled. Must not know: hosts, connections, who asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

from msgspec import Struct

from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.messages import OriginResponse
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.clock_offset import JUMP_SECONDS
from proxy.core.quota.demand import Demand
from proxy.core.quota.origin_headers import is_api_answer, origin_time, without_used_weight
from proxy.core.quota.windows import GUARD_SECONDS
from proxy.core.verdict import GOOD, Failed, Good, Negative, Throttled, Verdict, judge, told_time
from proxy.errors import SendingRefused, UpstreamFailed
from proxy.event_log import log
from proxy.origin.gate import Gate
from proxy.ports import Clock, Ledger, Observer

LEARN_SECONDS = 0.25
"""So long after an answer others with the same Date say next to nothing new of the origin's time."""

RateLimits = Sequence[Mapping[str, Any]]
"""The `rateLimits` of an exchangeInfo document."""


class AcceptedResponse(Struct, frozen=True):
    """An answer that can be passed on: a good one, or the origin's own 400."""

    response: OriginResponse
    verdict: Good | Negative
    refund: int = 0
    """The weight that is given back for it, and is still counted as used while its client is answered."""

    @property
    def is_by_firewall(self) -> bool:
        """Whether the firewall refused it: its words, or this IP."""
        return isinstance(self.verdict, Negative) and self.verdict.by_firewall


class AnswerReading:
    """Reads the answers of one API within one pool."""

    def __init__(  # noqa: PLR0913 - the parts that learn from an answer
        self,
        ledger: Ledger,
        clock: Clock,
        *,
        observer: Observer,
        gate: Gate,
        pool: str,
        learn: Callable[[Endpoint, RateLimits], None],
        above: Ledger | None,
    ) -> None:
        """The arguments are those of `Origin`."""
        self._ledger = ledger
        self._clock = clock
        self._observer = observer
        self._gate = gate
        self._pool = pool
        self._learn_limits = learn
        self._above = above
        self._logged_until = 0.0
        self._date = ""
        """The Date that was learned from last."""
        self._learned_at, self._news_from = math.inf, -math.inf
        """By the wall clock: when its answer came, and from when on others with this Date are news."""
        self._told_at, self._time_news_from = math.inf, -math.inf
        """The same of the server time in a body, which is more exact than a Date."""

    async def failed(
        self, query: UpstreamQuery, error: UpstreamFailed, demand: Demand, reservation: Reservation
    ) -> None:
        """A request was sent, and there is no whole answer."""
        self._count_kept(query, demand)
        if error.headers:
            await self._ledger.reconcile(reservation, _believed(query.endpoint, error.headers), ok=False)

    async def read(
        self, query: UpstreamQuery, response: OriginResponse, demand: Demand, reservation: Reservation
    ) -> AcceptedResponse:
        """The answer, if it can be passed on. Raises a SendingRefused or an UpstreamFailed."""
        self._learn_date(response)
        verdict = judge(query, response, self._clock.origin())
        if not isinstance(verdict, Good):
            self._count_kept(query, demand)
        if isinstance(verdict, Throttled):
            await self._block(verdict)
        if isinstance(verdict, Good):  # first: reconciling tells the other replicas the origin's time
            self._learn(query.endpoint, verdict, response)
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

    def accept(self, query: UpstreamQuery, response: OriginResponse, demand: Demand) -> AcceptedResponse | None:
        """A usual answer, which is settled next; None for any other: `read` takes it."""
        if response.status == 200 and query.passes_as_it_came:
            verdict: Verdict = GOOD
        else:
            verdict = judge(query, response, response.received_at + self._clock.offset_seconds)
        if isinstance(verdict, Good):
            return AcceptedResponse(response, verdict, demand.refund)
        if not isinstance(verdict, Negative) or verdict.by_firewall:
            return None
        self._count_kept(query, demand)
        return AcceptedResponse(response, verdict)

    def settle_now(self, query: UpstreamQuery, accepted: AcceptedResponse, reservation: Reservation) -> None:
        """Do what follows from an accepted answer, without waiting. Only where the ledger can.

        A bug here is logged and not raised: the answer may be about an order, and its client must get it.
        """
        response, verdict, endpoint = accepted.response, accepted.verdict, query.endpoint
        headers = response.headers
        try:
            is_new = headers.get("date", "") != self._date
            if is_new or not self._learned_at <= response.received_at < self._news_from:
                self._learn_now(endpoint, verdict, response)
            elif isinstance(verdict, Good):
                tells_time = (
                    endpoint.name == "time" and not self._told_at <= response.received_at < self._time_news_from
                )
                if tells_time or (verdict is not GOOD and verdict.rate_limits):
                    self._learn(endpoint, verdict, response)
            if not endpoint.has_used_weight:  # as in `_believed`, without its call
                headers = without_used_weight(headers)
            self._ledger.settle_now(reservation, headers, ok=isinstance(verdict, Good))
        except Exception:
            log.exception("unexpected_error")

    async def settle(
        self, query: UpstreamQuery, accepted: AcceptedResponse, reservation: Reservation
    ) -> AcceptedResponse:
        """The same where the ledger must wait. Returns the answer, after which nothing is given back any more."""
        response, verdict = accepted.response, accepted.verdict
        self._learn_now(query.endpoint, verdict, response)
        headers = _believed(query.endpoint, response.headers)
        await self._ledger.reconcile(reservation, headers, ok=isinstance(verdict, Good))
        return AcceptedResponse(response, verdict)

    def _count_kept(self, query: UpstreamQuery, demand: Demand) -> None:
        """Count a request whose weight could have been given back, and is not: before the answer that it cost.

        One that is given back has spent nothing. All others are counted when they are sent.
        """
        if demand.refundable:
            self._observer.spent(query.endpoint.name, demand.weight, client=demand.client)

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
        headers = response.headers
        date = origin_time(headers)
        if date is not None and is_api_answer(headers):
            self._clock.observe_date(date, sent_at=response.sent_at, received_at=response.received_at)

    def _learn_now(self, endpoint: Endpoint, verdict: Good | Negative, response: OriginResponse) -> None:
        """Learn all that this answer tells. For a moment those with the same Date tell next to nothing new."""
        self._date, self._learned_at = response.headers.get("date", ""), response.received_at
        self._news_from = self._learned_at + LEARN_SECONDS
        self._learn_date(response)
        if isinstance(verdict, Good):
            self._learn(endpoint, verdict, response)

    def _learn(self, endpoint: Endpoint, good: Good, response: OriginResponse) -> None:
        if good.rate_limits:
            self._learn_limits(endpoint, good.rate_limits)
        server_time = told_time(endpoint, good, response)
        if server_time is not None:
            self._told_at = response.received_at
            self._time_news_from = self._told_at + LEARN_SECONDS
            self._clock.observe_server_time(server_time, sent_at=response.sent_at, received_at=response.received_at)


def _believed(endpoint: Endpoint, headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of an answer, without a used weight that is wrong or is that of another pool."""
    return headers if endpoint.has_used_weight else without_used_weight(headers)
