"""The forwarding path: a request goes on to the origin in the turn of the loop in which it came.

Owns: which connections may use it, what a connection may do meanwhile, and the bytes of the answer. Must not know:
endpoints, queries, how a request is known again, how an answer is got.

It acts where the fast path may (`proxy.server.fast_path`): on a connection that is exact and idle, for a chunk that is
one whole request. No client can see a difference to the ordinary way. While a request is under way here aiohttp knows
nothing of it, so what else comes on the connection is held back and read after the answer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import perf_counter
from typing import Any

from aiohttp.http import RawRequestMessage

from proxy.core.reply import Outcome, Reply, error_reply
from proxy.event_log import log, shown_path
from proxy.server import web
from proxy.server.api import LARGE_BYTES
from proxy.server.fast_path import FastPathProtocol
from proxy.server.forward_path_table import NOWHERE, Course, ForwardPathTable, Kind
from proxy.server.peers import peer_of
from proxy.server.refusals import TooManyRequests
from proxy.server.tls import BUFFER_BYTES
from proxy.server.unreadable import internal_error

JOINED_BYTES = 16 << 10
"""Larger bodies are written after the head in a write of their own: to copy them takes longer."""
_NOTHING = memoryview(b"")


class ForwardPathProtocol(FastPathProtocol):
    """aiohttp's connection, with the fast path and the forwarding path in front of its parser."""

    __slots__ = (
        *("_began", "_charged", "_claimed", "_course", "_forward_path", "_held", "_is_last", "_kinds", "_landed"),
        *("_unwritten", "_was_disturbed"),
    )

    def __init__(self, manager: web.Server, *, forward_path: ForwardPathTable, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._forward_path = forward_path
        self._course = NOWHERE
        """That of the last request that took this way."""
        self._claimed: str | None = None
        self._charged = ""
        """The name that it claimed, and who it was charged to."""
        self._began = 0.0
        """When that request came."""
        self._held: list[bytes] = []
        """What came while a request was under way."""
        self._kinds: list[Kind] = []
        """Those of the requests of accounts that came last."""
        self._landed: asyncio.Future[None] | None = None
        """What waits for the answer when the gateway stops."""
        self._was_disturbed = False
        """Whether something else happened while a request was under way."""
        self._unwritten = _NOTHING
        """What is left of a large answer to a client with TLS, which would encrypt at once all that it is given."""
        self._is_last = False
        """Whether the connection closes behind that answer."""

    def learns(self, data: bytes, message: RawRequestMessage) -> None:
        """Remember the head of a request that aiohttp has read."""
        self._forward_path.heads.learn(data, message)

    def begins(self, data: bytes) -> bool:
        """Send a request on, if it is one that may go this way."""
        shared = self._forward_path
        if shared.life_cycle.draining:
            return False
        self._began = perf_counter()
        try:
            found = shared.known.get(data) or shared.read(data, self._kinds)
        except Exception:
            log.exception("unexpected_error")
            return False
        if found is None:
            return False
        course, prepared = found
        if course is not self._course:
            self._turn_to(course)
        if not self._room.begin_request():
            self.answer(error_reply(TooManyRequests(), Outcome.REJECTED))
            return True
        self.is_forwarding = True
        try:
            if prepared.begin(self._charged, self):
                return True
        except Exception as error:
            self.fail(error)
            return True
        self.is_forwarding = False
        self._room.requests -= 1
        return False

    def _turn_to(self, course: Course) -> None:
        """From now on requests are of this course, and charged to the client that it names."""
        self._course, claimed = course, course.claimed
        if claimed != self._claimed:
            assert self.transport is not None  # it has just received data
            self._claimed, self._charged = claimed, self._forward_path.peers.client(peer_of(self.transport), claimed)

    def answer(self, reply: Reply) -> None:
        """Write the answer and count it, then go on with what came meanwhile."""
        shared, transport, body = self._forward_path, self.transport, reply.body
        closes = shared.life_cycle.draining
        try:
            head = shared.answer_heads.render(reply, is_public=self._course.is_public, closes=closes)
        except ValueError as error:  # a header that cannot be written
            self.fail(error)
            return
        was_let_in, self.is_forwarding = self.is_forwarding, False
        if transport is not None and not transport.is_closing():
            if len(body) <= JOINED_BYTES:
                transport.write(head + body)
                self.answered()
            elif len(body) > LARGE_BYTES and self.is_secure:
                transport.write(head)
                self.is_forwarding, self._unwritten, self._is_last = True, memoryview(body), closes
                self._loop.call_soon(self._write_on)
            else:
                transport.write(head)
                transport.write(body)
                self.answered()
        if was_let_in:
            self._room.requests -= 1
        shared.observer.answered(reply, perf_counter() - self._began)
        if (closes or self._was_disturbed) and not self.is_forwarding:
            self._do_what_waited(closes=closes)

    def _write_on(self) -> None:
        """Encrypt as much of a large answer as the client takes now. With the last of it the request ends."""
        transport = self.transport
        if not self._unwritten:  # it was called twice, or the client has left
            return
        while self._unwritten and transport is not None and not transport.is_closing():
            if self.writing_paused:
                return  # until `resume_writing`
            transport.write(self._unwritten[:BUFFER_BYTES])
            self._unwritten = self._unwritten[BUFFER_BYTES:]
        self._unwritten, self.is_forwarding = _NOTHING, False
        if transport is not None and not transport.is_closing():
            self.answered()
        if self._is_last or self._was_disturbed:
            self._do_what_waited(closes=self._is_last)

    def resume_writing(self) -> None:
        """The write buffer has room again."""
        super().resume_writing()
        if self._unwritten:
            self._loop.call_soon(self._write_on)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is closed."""
        super().connection_lost(exc)
        if self._unwritten:
            self._write_on()

    def fail(self, error: Exception) -> None:
        """Write a 500 and log the bug."""
        log.error("unexpected_error", path=shown_path(self._course.path), cause=error)
        self.answer(error_reply(internal_error(), Outcome.FAILED))

    def _do_what_waited(self, *, closes: bool) -> None:
        self._was_disturbed = False
        if self._landed is not None and not self._landed.done():
            self._landed.set_result(None)
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if closes or self._has_ended:
            self.force_close()
        elif self._held:
            self._loop.call_soon(self._go_on)  # after all that follows from the answer

    def _go_on(self) -> None:
        """Read what came while a request was under way."""
        transport, held, self._held = self.transport, self._held, []
        if transport is None or transport.is_closing():
            return
        transport.resume_reading()
        for data in held:
            self.data_received(data)

    def data_is_inexact(self, data: bytes) -> None:
        """Hold back what comes while a request is under way here."""
        if not (self.is_forwarding and data):
            super().data_is_inexact(data)
            return
        if not self._held and self.transport is not None:
            self.transport.pause_reading()
        self._held.append(data)
        self._was_disturbed = True

    def eof_received(self) -> bool:  # type: ignore[override] # as in ClientConnection
        """The client has ended its side; it still gets its answer."""
        self._was_disturbed = True
        stays = super().eof_received()
        return stays or (self.is_forwarding and not self.is_secure)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Wait for the answer under way, as aiohttp does for its own."""
        if self.is_forwarding:
            self._landed, self._was_disturbed = asyncio.get_running_loop().create_future(), True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._landed, timeout)
        await super().shutdown(timeout)
