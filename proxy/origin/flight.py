"""A request that left in the turn of the loop in which it came, until its answer is there.

Owns: what is done at once with the usual answer, and the task for any other. Must not know: hosts, who asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol

from msgspec import Struct

from proxy.core.messages import OriginResponse
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.budget import Reservation
from proxy.core.quota.demand import Demand
from proxy.errors import BackedOff, Banned, Paused, UpstreamFailed
from proxy.origin.gate import Gate, Ticket
from proxy.origin.passage import MustWait, Passage
from proxy.origin.reading import AcceptedResponse, AnswerReading


class Taker(Protocol):
    """Who waits for an answer."""

    def take(self, answer: AcceptedResponse) -> None:
        """Here it is."""

    def fail(self, error: Exception) -> None:
        """There is none: what `Origin.ask` raises."""


class Attempts(Struct):
    """One question to the hosts of an API."""

    query: UpstreamQuery
    passage: Passage
    ticket: Ticket
    candidates: tuple[str, ...]
    """Base URLs in the order to try them."""
    outcome: OriginResponse | UpstreamFailed | None = None
    """How the attempt ended that was made before; None: none was made."""

    def take_outcome(self) -> OriginResponse | None:
        """The answer of the attempt that was made before, once. Raises how it failed."""
        outcome, self.outcome = self.outcome, None
        if isinstance(outcome, UpstreamFailed):
            raise outcome
        return outcome


class Asking(Protocol):
    """Who asks on where a first attempt has ended."""

    async def rest(self, attempts: Attempts) -> AcceptedResponse:
        """Ask on from the end of the first attempt. Gives back the slot."""

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it in a task."""


class Flight(Struct, eq=False):
    """One request on the wire."""

    query: UpstreamQuery
    demand: Demand
    deadline: float
    """On the monotonic clock."""
    candidates: tuple[str, ...]
    """Base URLs in the order to try them."""
    gate: Gate
    reader: AnswerReading
    asking: Asking
    taker: Taker
    reservation: Reservation | None = None

    def check(self) -> None:
        """Reserve, and be sent in this very turn of the loop. Raises MustWait, or a SendingRefused: not charged."""
        gate = self.gate
        try:
            self.reservation = reservation = gate.ledger.reserve_now(self.demand)
        except (BackedOff, Banned, Paused):
            gate.close()
            raise
        if reservation is None:
            raise MustWait

    def landed(self, outcome: OriginResponse | UpstreamFailed) -> None:
        """The first attempt has ended."""
        reservation, accepted = self.reservation, None
        assert reservation is not None  # it was checked
        try:
            if isinstance(outcome, OriginResponse):
                accepted = self.reader.accept(self.query, outcome, self.demand)
        except Exception as error:
            self.gate.leave(self.demand)
            self.taker.fail(error)
            return
        if accepted is None:
            self.asking.start(self._finish(self.asking.rest(self._attempts(outcome, reservation))))
        elif not self.gate.ledger.can_settle_now(reservation):
            self.asking.start(self._finish(self._settle(accepted, reservation)))
        else:
            try:
                self.taker.take(accepted)  # first: a client waits
            finally:
                self.reader.settle_now(self.query, accepted, reservation)
                self.gate.leave(self.demand)

    def _attempts(self, outcome: OriginResponse | UpstreamFailed, reservation: Reservation) -> Attempts:
        passage = Passage(self.demand, self.deadline)
        ticket = Ticket(self.gate, passage, reservation, is_sent=True)
        return Attempts(self.query, passage, ticket, self.candidates, outcome)

    async def _settle(self, accepted: AcceptedResponse, reservation: Reservation) -> AcceptedResponse:
        try:
            return await self.reader.settle(self.query, accepted, reservation)
        finally:
            self.gate.leave(self.demand)

    async def _finish(self, work: Awaitable[AcceptedResponse]) -> None:
        try:
            accepted = await work
        except Exception as error:
            self.taker.fail(error)
        else:
            self.taker.take(accepted)
