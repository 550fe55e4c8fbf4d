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
from proxy.forward.failures import ConnectionEnded, failed_answer, lower_headers
from proxy.forward.head import InvalidAnswer
from proxy.forward.tls import Tls

ONE_WRITE_BYTES = 1 << 16
"""A body up to this size goes out in one write with the head."""
_TICK_SECONDS = 0.001
"""What uvloop's clock and timers round to."""


class Asker(Protocol):
    """Who waits for an answer."""

    def ended(self, error: UpstreamFailed | None) -> None:
        """There is a whole answer (None), or none will come."""


class _Waiter(Struct, eq=False):
    """Waits in a coroutine."""

    future: asyncio.Future[None]

    def ended(self, error: UpstreamFailed | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class Connection(asyncio.Protocol):
    """Made by a loop's `create_connection`. One exchange at a time."""

    __slots__ = (
        "_asker",
        "_deadline",
        "_lost",
        "_poll",
        "_reader",
        "_timer",
        "_tls",
        "expires_at",
        "loop",
        "stays_seconds",
        "transport",
    )

    def __init__(self, lost: Callable[[Connection], None], *, tls: Tls | None = None) -> None:
        """`tls`: the session that begins with the connection."""
        self.loop = asyncio.get_running_loop()
        self._lost = lost
        self.transport: asyncio.Transport | None = None
        """None when the connection is lost."""
        self._tls = tls
        self._poll = select.poll()
        self._reader: AnswerReader | None = None
        self._asker: Asker | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self.stays_seconds = float("inf")
        """For how long the connection may be kept after the last answer; 0: not at all."""
        self.expires_at = 0.0
        """For the pool: until when it is kept, by the monotonic clock."""

    # --- What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.transport = cast(asyncio.Transport, transport)  # those of uvloop have no common class with asyncio's
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        if self._tls is not None:
            self._tls.begin(self.transport.write)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        tls = self._tls
        if tls is not None:
            try:
                data = tls.received(data)
            except ssl.SSLError as error:
                self._broke(error)
                return
        reader = self._reader
        if data and reader is None:
            self.abort()  # nobody asked
        elif data and reader is not None:
            try:
                is_complete = reader.feed(data)
            except InvalidAnswer as error:
                self._fail(failed_answer(error, reader.head))
                return
            if is_complete:
                self._complete(reader)
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
        self.transport = None
        self._lost(self)

    # --- What the client calls.

    async def secure(self, context: ssl.SSLContext, server_name: str) -> None:
        """Speak TLS from now on, through the TLS that is spoken already if there is one.

        Raises ssl.SSLError and OSError.
        """
        if self.transport is None:
            raise ConnectionEnded("closed")
        before, self._tls = self._tls, Tls(context, server_name, below=self._tls)
        self._tls.begin(self.transport.write if before is None else before.write)
        await self._tls.shaken()
        self.stays_seconds = float("inf")

    async def secured(self) -> None:
        """Wait for the end of the handshake under way, if there is one. Raises ssl.SSLError and OSError."""
        if self._tls is not None:
            await self._tls.shaken()

    def is_open(self) -> bool:
        """Whether a request may be sent, as far as the loop knows."""
        transport = self.transport
        return transport is not None and not transport.is_closing() and self.stays_seconds > 0

    def is_usable(self) -> bool:
        """Whether it is open, and nothing has come since the last answer, no end either, that the loop has not seen.

        Not for a new connection: the first that TLS sends after the handshake is no part of an answer.
        """
        transport = self.transport
        return (
            transport is not None and self.stays_seconds > 0 and not transport.is_closing() and not self._poll.poll(0)
        )

    def send(
        self,
        head: bytes,
        body: bytes,
        *,
        reader: AnswerReader,
        deadline: float | None,
        asker: Asker,
    ) -> None:
        """Write one request. `asker.ended` gets None when `reader` has its whole answer, else the error.

        It is called once, in a later turn of the loop, until `deadline` by the loop's clock (None: nobody sets one).
        Before that `stays_seconds` tells whether the connection may be used again; after an error it is closed.
        """
        transport = self.transport
        assert transport is not None, "is_open() was asked"
        self._reader, self._asker = reader, asker
        way = self._tls or transport
        if len(body) > ONE_WRITE_BYTES:
            way.write(head)
            way.write(body)
        else:
            way.write(head + body)
        if deadline is not None:
            self._deadline = deadline
            if self._timer is None or self._timer.when() > deadline:
                self._set_timer(deadline)

    async def exchange(self, head: bytes, body: bytes, *, reader: AnswerReader, deadline: float | None) -> RawResponse:
        """Write one request and wait for its answer, until `deadline` by the loop's clock (None: the caller's).

        The first byte is written before anything is waited for. Raises an UpstreamFailed, and then the connection is
        closed. Afterwards `stays_seconds` tells whether it may be used again.
        """
        waiter = _Waiter(self.loop.create_future())
        self.send(head, body, reader=reader, deadline=deadline, asker=waiter)
        try:
            await waiter.future
        except BaseException:
            self._reader = self._asker = None
            self.abort()
            raise
        return reader.response()

    def abort(self) -> None:
        """Close at once. Says nothing more, in TLS neither."""
        self.stays_seconds = 0.0
        if self.transport is not None:
            self.transport.abort()

    def _complete(self, reader: AnswerReader) -> None:
        """The answer is whole."""
        asker, transport, head = self._asker, self.transport, reader.head
        self._reader = self._asker = None
        assert asker is not None
        assert head is not None
        # An answer may come before the request is out. What is left of it must not go before the next one.
        is_sent = transport is not None and not transport.get_write_buffer_size()
        tls = self._tls
        stays = is_sent and not reader.has_surplus and (tls is None or tls.is_free)
        self.stays_seconds = head.stays_seconds if stays else 0.0
        asker.ended(None)

    def _fail(self, error: UpstreamFailed) -> None:
        """There will be no whole answer."""
        asker, self._reader, self._asker = self._asker, None, None
        self.abort()
        assert asker is not None
        asker.ended(error)

    def _broke(self, error: Exception | None) -> None:
        """The session within the connection has ended."""
        self._ended(error)
        self.abort()

    def _ended(self, error: Exception | None) -> None:
        """There is no more to read."""
        self.stays_seconds = 0.0
        if self._tls is not None:
            self._tls.lost(error or ConnectionResetError("closed"))
        reader = self._reader
        if reader is None:
            return
        # Over TLS a peer says that it ends: anybody on the way can cut a connection (RFC 8446, section 6.1).
        is_meant = error is None and (self._tls is None or self._tls.is_ended)
        if is_meant and reader.end():
            self._complete(reader)
            self.stays_seconds = 0.0
        else:
            self._fail(failed_answer(error or ConnectionEnded("closed"), reader.head))

    def _set_timer(self, deadline: float) -> None:
        """One timer serves many exchanges: it is moved only if it would be too late, else when it fires."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(deadline, self._fired)

    def _fired(self) -> None:
        self._timer = None
        if self._reader is None:
            return
        if self.loop.time() + _TICK_SECONDS < self._deadline:
            self._set_timer(self._deadline)
            return
        self._fail(TooSlow(headers=lower_headers(self._reader.head)))
