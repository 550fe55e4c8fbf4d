"""One connection to an origin or a proxy, and one exchange after the other on it.

Owns: the transport, the bytes that come, the deadline of the exchange under way. Must not know: pools, names, who is
trusted, and whether what is sent may be sent.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import Protocol, cast

from msgspec import Struct

from proxy.errors import TooSlow, UpstreamFailed
from proxy.forward.answer import AnswerReader, RawResponse
from proxy.forward.failures import ConnectionEnded, failed_answer, headers_of_head
from proxy.forward.head import InvalidAnswer
from proxy.forward.tls import Tls

ONE_WRITE_BYTES = 1 << 16
"""A body up to this size goes out in one write with the head."""
_TICK_SECONDS = 0.001
"""What uvloop's clock and timers round to."""
NEVER = float("inf")
"""A deadline that somebody else sets."""


class Asker(Protocol):
    """Who waits for an answer."""

    def answered(self, answer: RawResponse) -> None:
        """Here it is."""

    def failed(self, error: UpstreamFailed) -> None:
        """None will come."""


class _Waiter(Struct, eq=False):
    """Waits in a coroutine."""

    future: asyncio.Future[RawResponse]

    def answered(self, answer: RawResponse) -> None:
        if not self.future.done():
            self.future.set_result(answer)

    def failed(self, error: UpstreamFailed) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _NoTransport(asyncio.Transport):
    """That of a connection that is not made yet, or lost."""

    def is_closing(self) -> bool:
        return True

    def write(self, data: object) -> None:
        raise AssertionError("is_open() was asked")

    def abort(self) -> None:
        pass


_NONE = _NoTransport()


class Connection(asyncio.Protocol):
    """Made by a loop's `create_connection`. One exchange at a time."""

    __slots__ = (
        *("_asker", "_deadline", "_lost", "_poll", "_reader", "_timer", "_tls", "_transport", "_wakes_at", "_way"),
        *("expires_at", "loop", "stays_seconds"),
    )

    def __init__(self, lost: Callable[[Connection], None], *, reader: AnswerReader, tls: Tls | None = None) -> None:
        """`reader`: of the answers on this connection; `tls`: the session that begins with it."""
        self.loop = asyncio.get_running_loop()
        self._lost = lost
        self._transport: asyncio.Transport = _NONE
        self._poll = select.poll()
        """Tells what has come that the transport has not read."""
        self._tls = tls
        self._reader = reader
        self._asker: Asker | None = None
        """Who waits for the answer under way."""
        self._way: Tls | asyncio.Transport = _NONE
        """What takes the bytes of a request: the transport, or the session that goes through it."""
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = NEVER
        """When the timer fires, by the loop's clock."""
        self._deadline = NEVER
        self.stays_seconds = float("inf")
        """For how long the connection may be kept after the last answer; 0: not at all."""
        self.expires_at = 0.0
        """For the pool: until when it is kept, by the monotonic clock."""

    # --- What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        made = cast(asyncio.Transport, transport)  # those of uvloop have no common class with asyncio's
        self._poll.register(made.get_extra_info("socket").fileno(), select.POLLIN)
        self._transport = self._way = made
        if self._tls is not None:
            self._begin(self._tls)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        tls, asker = self._tls, self._asker
        if tls is not None:
            try:
                data = tls.received(data)
            except ssl.SSLError as error:
                self._broke(error)
                return
        if asker is None:
            if data:
                self.abort()  # nobody asked
        elif data:
            try:
                answer = self._reader.feed(data)
            except InvalidAnswer as error:
                self._fail(failed_answer(error, self._reader.head))
                return
            if answer is not None:
                self._asker = None
                # An answer may come before the request is out. What is left of it must not go before the next one.
                is_sent = not self._transport.get_write_buffer_size() and (tls is None or tls.is_free)
                self.stays_seconds = answer.head.stays_seconds if is_sent and not answer.has_surplus else 0.0
                asker.answered(answer)
        if tls is not None and tls.is_over:
            self._broke(None)

    def eof_received(self) -> None:
        """The other side sends no more. The transport then closes."""
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._ended(exc)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport = self._way = _NONE
        self._lost(self)

    # --- What the client calls.

    async def secure(self, context: ssl.SSLContext, server_name: str) -> None:
        """Speak TLS from now on, through the TLS that is spoken already if there is one.

        Raises ssl.SSLError and OSError.
        """
        if self._transport.is_closing():
            raise ConnectionEnded("closed")
        self._tls = Tls(context, server_name, below=self._tls)
        self._begin(self._tls)
        await self._tls.shaken()
        self.stays_seconds = float("inf")

    async def secured(self) -> None:
        """Wait for the end of the handshake under way, if there is one. Raises ssl.SSLError and OSError."""
        if self._tls is not None:
            await self._tls.shaken()

    def is_open(self) -> bool:
        """Whether a request may be sent, as far as the loop knows."""
        return self.stays_seconds > 0 and not self._transport.is_closing()

    def is_usable(self, now: float) -> bool:
        """Whether the pool may still keep it, and nothing has come since the last answer, no end either.

        The loop may not have seen that yet. Not for a new connection: the first that TLS sends after the handshake is
        no part of an answer.
        """
        return now < self.expires_at and not self._transport.is_closing() and not self._poll.poll(0)

    def send(self, head: bytes, body: bytes) -> None:
        """Write one request. `expect` follows in the same turn of the loop.

        What the write raises is raised here, and then the connection is closed.
        """
        try:
            if len(body) > ONE_WRITE_BYTES:
                self._way.write(head)
                self._way.write(body)
            else:
                self._way.write(head + body)
        except BaseException:
            self.abort()
            raise

    def expect(self, asker: Asker, *, deadline: float) -> None:
        """Give `asker` the answer to what was sent, or the error.

        It is called once, in a later turn of the loop, until `deadline` by the loop's clock. Before an answer
        `stays_seconds` tells whether the connection may be used again; before an error it is closed.
        """
        self._asker, self._deadline = asker, deadline
        if deadline < self._wakes_at:
            self._set_timer(deadline)

    async def exchange(
        self, head: bytes, body: bytes, *, deadline: float = NEVER, has_no_body: bool = False
    ) -> RawResponse:
        """Write one request and wait for its answer, until `deadline` by the loop's clock. `has_no_body`: the answer.

        The first byte is written before anything is waited for. Raises an UpstreamFailed, and then the connection is
        closed. Afterwards `stays_seconds` tells whether it may be used again.
        """
        if has_no_body:
            self._reader.expect_no_body()
        waiter = _Waiter(self.loop.create_future())
        self.send(head, body)
        self.expect(waiter, deadline=deadline)
        try:
            return await waiter.future
        except BaseException:
            self._asker = None
            self.abort()
            raise

    def abort(self) -> None:
        """Close at once. Says nothing more, in TLS neither."""
        self.stays_seconds = self.expires_at = 0.0
        self._transport.abort()

    def _begin(self, tls: Tls) -> None:
        """Begin a session through what carried the bytes until now."""
        tls.begin(self._way.write)
        self._way = tls

    def _fail(self, error: UpstreamFailed) -> None:
        """There will be no whole answer."""
        asker, self._asker = self._asker, None
        self.abort()
        assert asker is not None
        asker.failed(error)

    def _broke(self, error: Exception | None) -> None:
        """The session within the connection has ended."""
        self._ended(error)
        self.abort()

    def _ended(self, error: Exception | None) -> None:
        """There is no more to read."""
        self.stays_seconds = self.expires_at = 0.0
        if self._tls is not None:
            self._tls.lost(error or ConnectionResetError("closed"))
        asker = self._asker
        if asker is None:
            return
        # Over TLS a peer says that it ends: anybody on the way can cut a connection (RFC 8446, section 6.1).
        is_meant = error is None and (self._tls is None or self._tls.is_ended)
        answer = self._reader.end() if is_meant else None
        if answer is None:
            self._fail(failed_answer(error or ConnectionEnded("closed"), self._reader.head))
        else:
            self._asker = None
            asker.answered(answer)

    def _set_timer(self, deadline: float) -> None:
        """One timer serves many exchanges: it is moved only if it would be too late, else when it fires."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._wakes_at = self.loop.call_at(deadline, self._fired), deadline

    def _fired(self) -> None:
        self._timer, self._wakes_at = None, NEVER
        if self._asker is None:
            return
        if self.loop.time() + _TICK_SECONDS >= self._deadline:
            self._fail(TooSlow(headers=headers_of_head(self._reader.head)))
        elif self._deadline < NEVER:
            self._set_timer(self._deadline)
