"""The origin behind the quota: reserve, send, reconcile, and block when the origin says so.

Owns: the order of hosts of one question. Must not know: caching, clients, what follows from an answer.
In doubt the quota counts too much: a request that may have reached the origin stays charged.

A request with a key, or of another method than GET, may be an order: once a byte of it may have left it is never sent
again, and its client is told that the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from msgspec.structs import replace

from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.messages import OriginResponse
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.demand import Demand, demand_of
from proxy.core.quota.pools import SPOT
from proxy.core.quota.ratios import Purpose
from proxy.errors import ConnectionLost, OutcomeUnknown, PassedOn, Restricted, TooSlow, Unreachable, UpstreamFailed
from proxy.origin.firewall import FirewallProbe
from proxy.origin.flight import Attempts, Flight, Taker
from proxy.origin.gate import Gate
from proxy.origin.passage import MustWait, Passage
from proxy.origin.reading import AcceptedResponse, AnswerReading, RateLimits
from proxy.ports import Clock, Ledger, Observer, Upstream

LOST_ATTEMPTS = 2
"""How often a request may be sent if its connections break. Each attempt is charged."""

SPOT_PINGS: Mapping[bool, UpstreamQuery] = {
    is_on: CanonicalQuery(endpoint=replace(ENDPOINTS["/api/v3/ping"], on_public_data=is_on)) for is_on in (False, True)
}
"""By whether the host of public data may be asked."""

_KEYED, _BACKGROUND, _PUBLIC = Purpose.KEYED, Purpose.BACKGROUND, Purpose.PUBLIC

Exchange = Callable[[Callable[[], None]], Awaitable[OriginResponse]]
"""Sends a request once, and calls what it gets right before the first byte."""

UNREACHABLE_SECONDS = 0.5
"""When no host could be reached, none is tried for this long."""


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
        pings: Mapping[bool, UpstreamQuery] = SPOT_PINGS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`gate`: that of the ledger's pool; `pool`: the word for it in logs. `learn`: takes the limits that an API
        announces. `firewall`: that of the API, for a pool of its own within the API; None: a new one that asks for
        one of `pings`. `above`: the ledger of the API, for a pool whose own limit never leads to a ban.
        """
        self._upstream = upstream
        self._clock = clock
        self._total_seconds = total_seconds
        self._monotonic = monotonic
        self._gate = gate
        self._observer = observer
        self.reader = AnswerReading(ledger, clock, observer=observer, gate=gate, pool=pool, learn=learn, above=above)
        """Learns from each answer."""
        self.firewall = firewall or FirewallProbe(self._ask, pings, monotonic=monotonic)
        """Tells whether the API's firewall refuses this IP."""
        self._unreachable: tuple[float, Unreachable] | None = None
        """When no host could be reached, by this machine's clock, and the error."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(
        self, query: UpstreamQuery, *, background: bool = False, client: str | None = None
    ) -> AcceptedResponse:
        """One answer of the origin, for this client. Raises a SendingRefused or an UpstreamFailed.

        The deadline counts from now: the wait for a connection is part of it.
        """
        passage = Passage(_demand(query, client, background=background), self._monotonic() + self._total_seconds)
        return await self._unless_by_firewall(query, await self._ask(query, passage), passage)

    def begin(self, query: UpstreamQuery, *, client: str | None, taker: Taker) -> bool:
        """`ask` without waiting, where nothing has to be waited for: the request leaves in this turn of the loop.

        `taker` gets the answer in a later turn. False: nothing is charged or sent, and the caller awaits `ask`. Raises
        a SendingRefused.
        """
        if self._unreachable is not None and self._fails_at_once() is not None:
            return False
        gate, demand = self._gate, _demand(query, client)
        if not gate.enter_now(demand):
            return False
        upstream, seconds, monotonic = self._upstream, self._total_seconds, self._monotonic
        candidates = upstream.candidates(query.endpoint)
        flight = Flight(query, demand, monotonic() + seconds, candidates, gate, self.reader, self, taker)
        try:
            if upstream.begin(candidates[0], query, flight=flight, seconds=seconds):
                self._count_sent(query, demand)
                return True
        except MustWait:
            pass
        except BaseException:
            gate.leave(demand)
            raise
        gate.leave(demand)
        return False

    async def rest(self, attempts: Attempts) -> AcceptedResponse:
        """`ask` from the end of its first attempt on. Gives back the slot."""
        try:
            accepted = await self._ask_in_turn(attempts)
        finally:
            try:
                await attempts.ticket.close()
            finally:
                self._gate.leave(attempts.passage.demand)
        return await self._unless_by_firewall(attempts.query, accepted, attempts.passage)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it in a task that ends with the process."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _unless_by_firewall(
        self, query: UpstreamQuery, accepted: AcceptedResponse, passage: Passage
    ) -> AcceptedResponse:
        if accepted.is_by_firewall:
            await self.firewall.probe(passage.deadline, on_public_data=query.endpoint.on_public_data)
        return accepted

    async def _ask(self, query: UpstreamQuery, passage: Passage) -> AcceptedResponse:
        self._raise_if_unreachable()
        async with self._gate.enter(passage) as ticket:
            return await self._ask_in_turn(Attempts(query, passage, ticket, self._upstream.candidates(query.endpoint)))

    async def _ask_in_turn(self, attempts: Attempts) -> AcceptedResponse:
        ask = self._ask_once if _is_sent_once(attempts.query) else self._ask_hosts
        return await ask(attempts)

    def _raise_if_unreachable(self) -> None:
        error = self._fails_at_once()
        if error is not None:
            raise error.with_traceback(None)

    def _fails_at_once(self) -> Unreachable | None:
        """The error of every request, for a moment after no host could be reached."""
        if self._unreachable is None:
            return None
        at, error = self._unreachable
        return error if 0 <= self._clock.wall() - at < UNREACHABLE_SECONDS else None

    async def _ask_hosts(self, attempts: Attempts) -> AcceptedResponse:
        """Ask one host after another until one answers.

        A host that cannot be reached costs nothing: the next one is tried with the same reservation. A request whose
        connection broke stays charged, and the next attempt is charged again. So is that after a 451: another host may
        serve this location. A 5xx ends it, because all hosts of the API share what is behind them.
        """
        lost_attempts = 0
        failure: UpstreamFailed | None = None
        for base_url in attempts.candidates:
            is_over = self._monotonic() >= attempts.passage.deadline or lost_attempts == LOST_ATTEMPTS
            if is_over and attempts.outcome is None:  # what was sent before counts, however late
                break
            try:
                return await self._send(base_url, attempts)
            except Unreachable as error:
                failure = failure if isinstance(failure, Restricted) else error
            except Restricted as error:
                failure = error
            except ConnectionLost as error:
                failure, lost_attempts = error, lost_attempts + 1
            except TooSlow as error:
                if not attempts.ticket.is_sent and failure is not None:
                    break  # the time went by at the hosts before
                raise error
        failure = failure or TooSlow()
        if isinstance(failure, Unreachable):
            self._unreachable = (self._clock.wall(), failure)
        raise failure

    async def _ask_once(self, attempts: Attempts) -> AcceptedResponse:
        """Ask the first host that can be reached. Nothing is sent a second time, whatever fails.

        Only a host that certainly got nothing is followed by the next one.
        """
        failure: Unreachable | None = None
        for base_url in attempts.candidates:
            try:
                return await self._send(base_url, attempts)
            except PassedOn:
                raise
            except UpstreamFailed as error:
                if attempts.ticket.is_sent:
                    raise OutcomeUnknown(headers=error.headers) from error
                if not isinstance(error, Unreachable):
                    break
                failure = error
        if failure is None:
            raise self._gate.not_sent()
        self._unreachable = (self._clock.wall(), failure)
        raise failure

    async def _send(self, base_url: str, attempts: Attempts) -> AcceptedResponse:
        query, passage, ticket = attempts.query, attempts.passage, attempts.ticket

        async def exchange(check: Callable[[], None]) -> OriginResponse:
            seconds = passage.deadline - self._monotonic()
            if seconds <= 0:
                raise TooSlow
            return await self._upstream.send(base_url, query, check=check, seconds=seconds)

        try:
            earlier = attempts.take_outcome()
            response = await self._send_now(attempts, exchange) if earlier is None else earlier
        except UpstreamFailed as error:
            if ticket.is_sent:
                await self.reader.failed(query, error, passage.demand, ticket.charge())
            raise
        accepted = await self.reader.read(query, response, passage.demand, ticket.charge())
        if not accepted.is_by_firewall:
            ticket.answered()
        return accepted

    async def _send_now(self, attempts: Attempts, exchange: Exchange) -> OriginResponse:
        ticket = attempts.ticket
        try:
            return await ticket.send(exchange)
        finally:
            if ticket.is_sent:
                self._count_sent(attempts.query, attempts.passage.demand)

    def _count_sent(self, query: UpstreamQuery, demand: Demand) -> None:
        """Count a request that has left. One whose weight may be given back is counted when its end is known."""
        if not demand.refundable:
            self._observer.spent(query.endpoint.name, demand.weight, client=demand.client)


def _demand(query: UpstreamQuery, client: str | None, *, background: bool = False) -> Demand:
    """What the question wants of the quota."""
    if query.is_keyed:
        return demand_of(query.weight, _KEYED, query.endpoint.is_free_on_success, client)
    return demand_of(query.weight, _BACKGROUND if background else _PUBLIC, False, client)


def _is_sent_once(query: UpstreamQuery) -> bool:
    """Whether sending it twice may do twice what it asks for."""
    return query.is_keyed or query.method != "GET"
