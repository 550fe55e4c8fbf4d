"""A request that left in the turn of the loop in which it came, until its answer is there.

Owns: what is done at once with the usual answer, and the task for any other. Must not know: hosts, who asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from msgspec import Struct

from proxy.core.messages import OriginResponse
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.budget import Reservation
from proxy.errors import UpstreamFailed
from proxy.origin.gate import Gate, Ticket
from proxy.origin.passage import Passage
from proxy.origin.reading import AcceptedResponse, AnswerReading

Done = Callable[[AcceptedResponse | Exception], None]
"""Gets the answer, or what `Origin.ask` raises."""


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


class Flight:
    """One request on the wire."""

    __slots__ = ("_attempts", "_done", "_gate", "_reader", "_rest", "_start")

    def __init__(
        self,
        attempts: Attempts,
        *,
        reader: AnswerReading,
        gate: Gate,
        rest: Callable[[Attempts], Awaitable[AcceptedResponse]],
        start: Callable[[Coroutine[Any, Any, None]], None],
        done: Done,
    ) -> None:
        """`rest` asks on from the end of the first attempt, and gives back the slot. `start` runs it in a task."""
        self._attempts = attempts
        self._reader = reader
        self._gate = gate
        self._rest = rest
        self._start = start
        self._done = done

    def landed(self, outcome: OriginResponse | UpstreamFailed) -> None:
        """The first attempt has ended."""
        attempts, reader = self._attempts, self._reader
        query, result = attempts.query, None
        try:
            if isinstance(outcome, OriginResponse):
                result = reader.begin(query, outcome, attempts.passage)
            if result is None:
                attempts.outcome = outcome
                self._start(self._finish(self._rest(attempts)))
                return
            reservation = attempts.ticket.charge()
            if not reader.settle_now(query, result, reservation):
                self._start(self._finish(self._settle(result, reservation)))
                return
        except Exception as error:
            self._leave(error)
        else:
            self._leave(result)

    def _leave(self, result: AcceptedResponse | Exception) -> None:
        self._gate.leave(self._attempts.passage)
        self._done(result)

    async def _settle(self, accepted: AcceptedResponse, reservation: Reservation) -> AcceptedResponse:
        try:
            await self._reader.settle(self._attempts.query, accepted, reservation)
        finally:
            self._gate.leave(self._attempts.passage)
        return accepted

    async def _finish(self, work: Awaitable[AcceptedResponse]) -> None:
        try:
            outcome: AcceptedResponse | Exception = await work
        except Exception as error:
            outcome = error
        self._done(outcome)
