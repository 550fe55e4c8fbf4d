"""The forwarding path: a request goes on to the origin in the turn of the loop in which it came.

Owns: which connections may use it, what a connection may do meanwhile, and the bytes of the answer. Must not know:
endpoints, queries, how an answer is got.

It acts where the fast path may (`proxy.server.fast_path`): on a connection that is exact and idle, for a chunk that is
one whole request. No client can see a difference to the ordinary way. While a request is under way here aiohttp knows
nothing of it, so what else comes on the connection is held back and read after the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from aiohttp.http import RawRequestMessage

from proxy.core.messages import ClientRequest
from proxy.core.reply import Outcome, Reply, error_reply
from proxy.event_log import log
from proxy.server import web
from proxy.server.answer_heads import AnswerHeads
from proxy.server.api import Headers, TrafficObserver
from proxy.server.cors import READABLE_PATHS
from proxy.server.fast_path import FastPathProtocol
from proxy.server.fast_path_table import LifeCycle
from proxy.server.heads import MAX_BODY_BYTES, MAX_HEAD_BYTES, Heads
from proxy.server.peers import Peers, peer_of
from proxy.server.refusals import TooManyRequests
from proxy.server.unreadable import internal_error

_MAX_CHUNK_BYTES = 2 * MAX_HEAD_BYTES + MAX_BODY_BYTES
_SHORT_BYTES = 1 << 10
_MAX_KNOWN = 1024
JOIN_BYTES = 16 << 10
"""Larger bodies are written separately, so that they are not copied behind the head."""


class Asker(Protocol):
    """Who waits for a reply."""

    def answer(self, outcome: Reply | Exception) -> None:
        """Here is the reply, or a bug of ours."""


class Prepared(Protocol):
    """What all requests with the same bytes have in common."""

    path: str

    def begin(self, client: str, asker: Asker) -> bool:
        """As `Direct.begin`, for this client."""


class Direct(Protocol):
    """Sends requests on without waiting."""

    @property
    def found(self) -> Mapping[tuple[str, str], Any]:
        """What `find` has returned, by method and path."""

    def find(self, method: str, path: str) -> Any:
        """Where requests with this method and path go; None: not this way."""

    def prepare(self, place: Any, request: ClientRequest) -> Prepared | None:
        """What all requests like this one have in common; None: each is begun by itself, or goes another way."""

    def begin(self, place: Any, request: ClientRequest, asker: Asker) -> bool:
        """Whether the request is under way, or refused; `asker` gets the reply. `place`: what was found."""


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
        self.known: dict[bytes, tuple[Prepared, str]] = {}
        """Requests that are asked again and again, and the name that their client claims; none with a key."""
        self.peers = peers
        self.direct = direct
        self.life_cycle = life_cycle
        self.answer_heads = AnswerHeads(headers)
        self.observer = observer

    def remember(self, data: bytes, place: Any, request: ClientRequest, claimed: str) -> None:
        """Keep what requests with these bytes have in common, and the name that their client claims."""
        prepared = self.direct.prepare(place, request)
        if prepared is None:
            return
        if len(self.known) >= _MAX_KNOWN:
            del self.known[next(iter(self.known))]
        self.known[data] = prepared, claimed


def _bug(path: str, error: Exception) -> Reply:
    log.error("unexpected_error", path=path[:200], cause=error)
    return error_reply(internal_error(), Outcome.FAILED)


class ForwardPathProtocol(FastPathProtocol):
    """aiohttp's connection, with the fast path and the forwarding path in front of its parser."""

    __slots__ = ("_began", "_forward_path", "_held", "_landed", "_named", "_path")

    def __init__(self, manager: web.Server, *, forward_path: ForwardPath, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._forward_path = forward_path
        self._named: tuple[str, str] | None = None
        """The name that the last request claimed, and who it was charged to."""
        self._path, self._began = "", 0.0
        """Of the last request that took this way: its path, and when it came."""
        self._held: list[bytes] = []
        """What came while a request was under way."""
        self._landed: asyncio.Future[None] | None = None
        """What waits for the answer when the gateway stops."""

    def learns(self, data: bytes, message: RawRequestMessage) -> None:
        """Remember the head of a request that aiohttp has read."""
        self._forward_path.heads.learn(data, message)

    def begins(self, data: bytes) -> bool:
        """Send a request on, if it is one that may go this way."""
        self._began = time.perf_counter()
        shared = self._forward_path
        if shared.life_cycle.draining:
            return False
        known = shared.known.get(data)
        if known is None:
            is_short = len(data) <= _MAX_CHUNK_BYTES
            request = shared.heads.request(data, self._named, self._client) if is_short else None
            if request is None:
                return False
            method, path = request.method, request.path
            place = shared.direct.found.get((method, path)) or shared.direct.find(method, path)
            if place is None:
                return False
            if not request.api_key and len(data) <= _SHORT_BYTES and self._named is not None:
                shared.remember(data, place, request, self._named[0])
            prepared, client, self._path = None, request.client, path
        else:
            prepared, claimed = known
            request = place = None
            named = self._named
            client = named[1] if named is not None and named[0] == claimed else self._client(claimed)
            self._path = prepared.path
        if not self._room.begin_request():
            self.answer(error_reply(TooManyRequests(), Outcome.REJECTED))
            return True
        self._exact, self.is_forwarding = False, True
        try:
            if prepared is not None:
                is_begun = prepared.begin(client, self)
            else:
                is_begun = request is not None and shared.direct.begin(place, request, self)
        except Exception as error:
            self.answer(error)
            return True
        if not is_begun:
            self._exact, self.is_forwarding = True, False
            self._room.end_request()
        return is_begun

    def _client(self, claimed: str) -> str:
        """Who a request on this connection is charged to."""
        if self._named is None or self._named[0] != claimed:
            assert self.transport is not None  # it has just received data
            self._named = claimed, self._forward_path.peers.client(peer_of(self.transport), claimed)
        return self._named[1]

    def answer(self, outcome: Reply | Exception) -> None:
        """Write the answer and count it, then go on with what came meanwhile."""
        if self.is_forwarding:  # it was let in
            self._room.end_request()
        shared, path, is_readable = self._forward_path, self._path, self._path in READABLE_PATHS
        closes, seconds = shared.life_cycle.draining, time.perf_counter() - self._began
        reply = outcome if isinstance(outcome, Reply) else _bug(path, outcome)
        try:
            head = shared.answer_heads.render(reply, is_public=is_readable, closes=closes)
        except ValueError as error:  # a header that cannot be written
            reply = _bug(path, error)
            head = shared.answer_heads.render(reply, is_public=is_readable, closes=closes)
        self.is_forwarding = False
        if self._landed is not None and not self._landed.done():
            self._landed.set_result(None)
        transport, body = self.transport, reply.body
        if transport is None or transport.is_closing():
            shared.observer.answered(reply, seconds)
            return
        if len(body) > JOIN_BYTES:
            transport.write(head)
            transport.write(body)
        else:
            transport.write(head + body)
        shared.observer.answered(reply, seconds)
        self.answered()
        if closes or self._has_ended:
            self.force_close()
        elif self._held:
            self._go_on(transport)

    def _go_on(self, transport: asyncio.Transport) -> None:
        held, self._held = self._held, []
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

    def eof_received(self) -> bool:  # type: ignore[override] # as in ClientConnection
        """The client has ended its side; it still gets its answer."""
        stays = super().eof_received()
        return stays or (self.is_forwarding and not self.is_secure)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Wait for the answer under way, as aiohttp does for its own."""
        if self.is_forwarding:
            self._landed = asyncio.get_running_loop().create_future()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._landed, timeout)
        await super().shutdown(timeout)
