"""The gate in front of the origin: what may be sent at this moment, and how much at once.

Owns: the connection slots and their queue, the reservation of each request until its first byte is written, and the
last look at both block and reservation. Must not know: hosts, HTTP, what an answer means. Every way to the origin
passes here: enter, send, and call the check right before the first byte.

A request waits for its slot without a reservation, so a queue charges nothing. When the origin refuses, everything
that waits is refused at once. After a block requests go one at a time until the origin answers one.

An eighth of the slots is kept for requests with a key. They go before all others in the queue, and wait a second at
most: the origin refuses an order that comes later than its `recvWindow`, and nobody wants an old one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from msgspec import Struct

from proxy.core.quota.block import Block
from proxy.core.quota.budget import Reservation
from proxy.core.quota.demand import Demand
from proxy.core.quota.ratios import Purpose
from proxy.core.quota.view import blocked_error
from proxy.errors import BackedOff, Banned, ConnectionLost, NotSent, Paused, SendingRefused, TooSlow
from proxy.origin.passage import Passage
from proxy.ports import Clock, Ledger, RefusalObserver

SLOTS = 64
"""The most requests on the wire at once, to all hosts together: so many the origin may get after its first refusal."""

KEPT_PART = 8
"""One slot in so many is kept for requests with a key."""
KEYED_WAIT_SECONDS = 1.0
"""The longest that a request with a key waits for its slot."""

_KEYED = Purpose.KEYED
_RESERVATIONS = 3
"""How often one attempt may reserve: each time another window began before the connection was there."""

T = TypeVar("T")


class _Outdated(Exception):
    """Another window has begun since the reservation: reserve again."""


class Gate:
    """One for all requests of this process that count in one pool."""

    def __init__(  # noqa: PLR0913 - the parts that it joins, and its bounds
        self,
        ledger: Ledger,
        clock: Clock,
        *,
        observer: RefusalObserver,
        above: Ledger | None = None,
        slots: int = SLOTS,
        keyed_wait_seconds: float = KEYED_WAIT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = ledger
        self._above = above
        """The ledger whose block holds here too: that of the API, for a limit of its own within the API."""
        self.clock = clock
        self.monotonic = monotonic
        self.is_probing = False
        """Whether the origin has answered no request since the last block, as far as this process knows."""
        self._observer = observer
        self._slots = self._most = slots
        """The most requests on the wire, and the most of now: one while `is_probing`."""
        self._others_slots = slots - slots // KEPT_PART
        """The most slots for requests without a key."""
        self._keyed_wait_seconds = keyed_wait_seconds
        self._keyed_in_use = 0
        self._others_in_use = 0
        self._keyed_waiting: deque[asyncio.Future[bool]] = deque()
        """Those that wait and have a key. True: the waiter has a slot. False: look at the block again."""
        self._others_waiting: deque[asyncio.Future[bool]] = deque()
        """Those that have none."""

    @asynccontextmanager
    async def enter(self, passage: Passage) -> AsyncIterator[Ticket]:
        """Hold a slot. Raises a SendingRefused while a block holds, TooSlow when there is no slot before the deadline.

        A request with a key raises NotSent instead, at the latest after a second. A reservation that was not used is
        released at the end.
        """
        await self._acquire(passage)
        ticket = Ticket(self, passage)
        try:
            yield ticket
        finally:
            try:
                await ticket.close()
            finally:
                self.leave(passage.demand)

    def enter_now(self, demand: Demand) -> bool:
        """Take a slot without waiting, for `leave` afterwards; False where it must wait, or be refused."""
        if self.is_probing or (self._above is not None and self._above.held_block() is not None):
            return False  # a block of the ledger itself refuses the charge
        return self._take(demand.purpose is _KEYED)

    def leave(self, demand: Demand) -> None:
        """Give back the slot that a request had."""
        if demand.purpose is _KEYED:
            self._keyed_in_use -= 1
        else:
            self._others_in_use -= 1
        if self._keyed_waiting or self._others_waiting:
            self._serve()

    def close(self) -> None:
        """The origin refuses, as the ledger knows by now: refuse all that wait, then send one at a time."""
        self.is_probing, self._most = True, 1
        for queue in (self._keyed_waiting, self._others_waiting):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(False)

    def open(self) -> None:
        """The origin has answered a request that was sent after the block."""
        self.is_probing, self._most = False, self._slots
        self._serve()

    def raise_if_blocked(self) -> None:
        """Raise the error of the block that holds. No I/O."""
        block = self._block()
        if block is not None:
            self.close()
            error = self.blocked(block)
            self._observer.refused(error.reason)
            raise error

    def blocked(self, block: Block) -> SendingRefused:
        """The error of every request while this block holds."""
        view = self.ledger.view()
        return blocked_error(block, self.clock.origin(), view.windows, view.wording)

    def _block(self) -> Block | None:
        block = self.ledger.held_block()
        if block is None and self._above is not None:
            block = self._above.held_block()
        return block

    def _take(self, is_keyed: bool) -> bool:
        """Take a slot, if there is one."""
        others = self._others_in_use
        if self._keyed_in_use + others >= self._most:
            return False
        if is_keyed:
            self._keyed_in_use += 1
            return True
        if others >= self._others_slots:
            return False
        self._others_in_use = others + 1
        return True

    async def _acquire(self, passage: Passage) -> None:
        self.raise_if_blocked()
        is_keyed, until = passage.demand.purpose is _KEYED, passage.deadline
        if self._take(is_keyed):
            return
        if is_keyed:
            until = min(until, self.monotonic() + self._keyed_wait_seconds)
        while not await self._wait(passage.demand, until):
            self.raise_if_blocked()

    async def _wait(self, demand: Demand, until: float) -> bool:
        """Wait in the queue. Returns whether there is a slot now; then it is taken."""
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        is_keyed = demand.purpose is _KEYED
        (self._keyed_waiting if is_keyed else self._others_waiting).append(turn)
        try:
            async with asyncio.timeout(max(0.0, until - self.monotonic())):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave(demand)  # the slot came at the moment of giving up
            if isinstance(error, TimeoutError):
                raise (self.not_sent() if is_keyed else TooSlow()) from error
            raise

    def not_sent(self) -> NotSent:
        """The error of a request with a key that was given up before it was sent. Counted as a refusal."""
        self._observer.refused(NotSent.reason)
        return NotSent()

    def _serve(self) -> None:
        """Give free slots to those that wait, and to those with a key first."""
        for is_keyed, queue in ((True, self._keyed_waiting), (False, self._others_waiting)):
            while queue:
                if not queue[0].done():
                    if not self._take(is_keyed):
                        break
                    queue[0].set_result(True)
                queue.popleft()


class Ticket(Struct, eq=False):
    """A slot, and the reservation of the request that is sent with it."""

    _gate: Gate
    _passage: Passage
    _reservation: Reservation | None = None
    is_sent: bool = False
    """Whether the first byte of the last attempt may have been written."""
    _is_probe: bool = False

    async def send(self, exchange: Callable[[Callable[[], None]], Awaitable[T]]) -> T:
        """Reserve, then run the exchange, which calls the check that it gets right before the first byte.

        If the exchange ends without that call, the reservation stays for the next one. Raises a SendingRefused, TooSlow
        after the deadline, and what the exchange raises.
        """
        for _ in range(_RESERVATIONS):
            await self._reserve()
            try:
                return await exchange(self._check)
            except _Outdated:
                await self._release()
        raise TooSlow

    def charge(self) -> Reservation:
        """Take the reservation out: its request was sent, so it is not released."""
        reservation, self._reservation = self._reservation, None
        assert reservation is not None, "nothing was reserved"
        return reservation

    def answered(self) -> None:
        """The origin answered the request: if it was sent after a block, the others may go again."""
        if self._is_probe:
            self._gate.open()

    async def close(self) -> None:
        """Release a reservation that was not used."""
        if not self.is_sent:
            await self._release()

    async def _reserve(self) -> None:
        gate, passage = self._gate, self._passage
        self.is_sent = False
        if self._reservation is not None and self._covers(self._reservation):
            return
        await self._release()
        if gate.monotonic() >= passage.deadline:
            raise TooSlow
        try:
            self._reservation = await gate.ledger.reserve(
                passage.demand.weight,
                purpose=passage.demand.purpose,
                refundable=passage.demand.refundable,
                client=passage.demand.client,
            )
        except (BackedOff, Banned, Paused):
            gate.close()
            raise

    def _check(self) -> None:
        """Raise if the request may not be sent at this very moment. One permission is one request."""
        if self.is_sent:
            raise ConnectionLost("The connection to the origin broke, and the request is not sent again.")
        self._gate.raise_if_blocked()
        if self._reservation is None or not self._covers(self._reservation):
            raise _Outdated
        self.is_sent = True
        self._is_probe = self._gate.is_probing

    def _covers(self, reservation: Reservation) -> bool:
        return reservation.covers(self._gate.clock.origin(), self._gate.clock.guard_seconds())

    async def _release(self) -> None:
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            await self._gate.ledger.release(reservation)
