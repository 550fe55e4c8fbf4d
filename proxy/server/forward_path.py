"""The forwarding path: a request goes on to the origin in the turn of the loop in which it came.

Owns: which connections may use it, what a connection may do meanwhile, and the bytes of the answer. Must not know:
endpoints, queries, how an answer is got.

It acts where the fast path may (`proxy.server.fast_path`): on a connection that is exact and idle, for a chunk that is
one whole request. No client can see a difference to the ordinary way. While a request is under way here aiohttp knows
nothing of it, so what else comes on the connection is held back and read after the answer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import perf_counter
from typing import Any, Protocol

from aiohttp.http import RawRequestMessage
from msgspec import Struct

from proxy.core.messages import ClientRequest
from proxy.core.reply import Outcome, Reply, error_reply
from proxy.event_log import log, shown_path
from proxy.ports import Asker
from proxy.server import web
from proxy.server.answer_heads import AnswerHeads
from proxy.server.api import Headers, TrafficObserver
from proxy.server.cors import is_public
from proxy.server.fast_path import FastPathProtocol
from proxy.server.fast_path_table import LifeCycle
from proxy.server.heads import Asked, Heads
from proxy.server.peers import Peers, peer_of
from proxy.server.refusals import TooManyRequests
from proxy.server.unreadable import internal_error

_SHORT_BYTES = 1 << 10
_MAX_KNOWN = 1024
JOINED_BYTES = 16 << 10
"""Larger bodies are written after the head in a write of their own: to copy them takes longer."""


class Prepared(Protocol):
    """A request that can be sent, for any client."""

    @property
    def may_be_repeated(self) -> bool:
        """Whether it may be remembered, and sent again for whoever sends the same bytes."""

    def begin(self, client: str, asker: Asker) -> bool:
        """Whether the request is under way, or refused; `asker` gets the reply, at once or later. False: neither."""


class OfAccounts(Protocol):
    """What requests of accounts have in common that differ in target, key and body alone."""

    def prepare(self, target: str, *, api_key: str, body: bytes) -> Prepared:
        """One of them, ready to be sent."""


class Direct(Protocol):
    """Sends requests on without waiting."""

    def find(self, method: str, path: str) -> Any:
        """Where requests with this method and path go; None: not this way."""

    def prepare(self, place: Any, request: ClientRequest) -> Prepared | None:
        """The request, ready to be sent; None: it goes another way. `place`: what was found."""

    def of_accounts(self, place: Any, request: ClientRequest) -> OfAccounts | None:
        """What requests like this one have in common, if all of them are of accounts; None: each is prepared alone."""


class Course(Struct, frozen=True, eq=False):
    """What the answers to requests with the same head, method and path have in common."""

    claimed: str
    """The name that the client gives itself."""
    path: str
    is_public: bool
    """Whether pages of other sites may read the answer."""


class Kind(Struct, frozen=True, eq=False):
    """What the requests with the same head, method and path have in common themselves."""

    course: Course
    method: str
    place: Any
    of_accounts: OfAccounts | None
    target_at: int
    """Where the target begins in the request line."""


_NOWHERE = Course("", "", is_public=False)
"""Of a connection on which nothing was sent on."""


class ForwardPath:
    """What all connections share."""

    def __init__(
        self,
        direct: Direct,
        *,
        headers: Headers,
        peers: Peers,
        observer: TrafficObserver,
        life_cycle: LifeCycle,
    ) -> None:
        self.heads = Heads()
        self.known: dict[bytes, tuple[Course, Prepared]] = {}
        """Requests that are asked again and again; none with a key."""
        self.peers = peers
        self.direct = direct
        self.life_cycle = life_cycle
        self.answer_heads = AnswerHeads(headers)
        self.observer = observer

    def read(self, data: bytes) -> tuple[Course, Prepared] | None:
        """The request with these bytes; None: it goes another way."""
        asked = self.heads.asked(data)
        if asked is None:
            return None
        kind = asked.head.kinds.get(asked.start) or self._kind(asked)
        if kind is None:
            return None
        of_accounts = kind.of_accounts
        if of_accounts is None:
            return self._read_alone(data, asked, kind)
        target = asked.line[kind.target_at :].decode("ascii")
        return kind.course, of_accounts.prepare(target, api_key=asked.api_key, body=asked.body)

    def _kind(self, asked: Asked) -> Kind | None:
        place = asked.place()
        if place is None:
            return None
        method, path = place
        found = self.direct.find(method, path)
        if found is None:
            return None
        course = Course(asked.head.claimed, path, is_public(path))
        of_accounts = self.direct.of_accounts(found, asked.request(method, path))
        kind = Kind(course, method, found, of_accounts, len(method) + 1)
        asked.head.keep(asked.start, kind)
        return kind

    def _read_alone(self, data: bytes, asked: Asked, kind: Kind) -> tuple[Course, Prepared] | None:
        course = kind.course
        prepared = self.direct.prepare(kind.place, asked.request(kind.method, course.path))
        if prepared is None:
            return None
        if prepared.may_be_repeated and not asked.api_key and len(data) <= _SHORT_BYTES:
            if len(self.known) >= _MAX_KNOWN:
                del self.known[next(iter(self.known))]
            self.known[data] = course, prepared
        return course, prepared


class ForwardPathProtocol(FastPathProtocol):
    """aiohttp's connection, with the fast path and the forwarding path in front of its parser."""

    __slots__ = ("_began", "_charged", "_claimed", "_course", "_forward_path", "_held", "_landed", "_was_disturbed")

    def __init__(self, manager: web.Server, *, forward_path: ForwardPath, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._forward_path = forward_path
        self._course = _NOWHERE
        """That of the last request that took this way."""
        self._claimed: str | None = None
        self._charged = ""
        """The name that it claimed, and who it was charged to."""
        self._began = 0.0
        """When that request came."""
        self._held: list[bytes] = []
        """What came while a request was under way."""
        self._landed: asyncio.Future[None] | None = None
        """What waits for the answer when the gateway stops."""
        self._was_disturbed = False
        """Whether something else happened while a request was under way."""

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
            found = shared.known.get(data) or shared.read(data)
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
        if transport is not None and not transport.is_closing():
            if len(body) > JOINED_BYTES:
                transport.write(head)
                transport.write(body)
            else:
                transport.write(head + body)
            self.answered()
        if self.is_forwarding:  # it was let in
            self.is_forwarding = False
            self._room.requests -= 1
        shared.observer.answered(reply, perf_counter() - self._began)
        if closes or self._was_disturbed:
            self._do_what_waited(closes=closes)

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
