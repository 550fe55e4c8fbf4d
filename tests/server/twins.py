"""Two gateways that differ in nothing but the fast path, and clients that do the same to both.

Owns: playing steps, and waiting until a gateway has done all it will do. Must not know: which steps there are to play
in what order, what is right.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, assert_never
from unittest import mock

from aiohttp.web_protocol import RequestHandler

from proxy import bodies
from proxy.app import Application
from proxy.core.endpoints.catalogue import Forward
from proxy.errors import SidecarError
from proxy.server import connection as connections
from proxy.server import turn
from proxy.server.connection import ClientConnection as OrdinaryProtocol
from proxy.server.fast_path import FastPathProtocol
from proxy.server.forward_path import ForwardPathProtocol
from tests.gateway.harness import Clock, gateway
from tests.server.streams import CONNECTIONS, SIGNED, TAG, Crowd, Event, Leave, Push, Send, Spend, Status, Step, Trouble
from tests.simulator import Document, Fault, Simulator, generate_document
from tests.simulator.account import HMAC_SECRET

DOCUMENT_SYMBOLS = 20
"""So that the document is above the size up to which answers are joined."""
_ETAG = re.compile(rb'ETag: ("[^"]*")')
_ADDRESS = re.compile(rb"127\.0\.0\.1:[0-9]+")
"""The origin's, in the text of an error."""
_DATE = re.compile(rb"Date: [^\r]*")
_ORIGIN_ID = re.compile(rb"x-mbx-uuid: [^\r]*")
"""By which an origin names each of its answers."""
_LED = re.compile(rb"fwd=(bypass|uri-miss; collapsed)(?=\r)")
"""Of several clients that share a request, whose it was. The counters tell how many shared it."""
_DATE_SHAPE = re.compile(rb"Date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
_CLOSE_SECONDS = 0.02
"""After which a gateway has seen that its kept connections to the origin were closed."""
_CROWD_SECONDS = 0.0625
"""Before a crowd: at the very time of an answer, and whole seconds later, no bytes stay right for any time."""
_QUIET_TURNS = 5
"""So many turns of the loop nothing may happen: a task that was woken runs in the next one, and wakes another."""


@dataclass(slots=True)
class Served:
    """One connection as the gateway sees it."""

    protocol: RequestHandler
    received: int = 0

    @property
    def is_closed(self) -> bool:
        return self.protocol.transport is None or self.protocol.transport.is_closing()

    @property
    def is_quiet(self) -> bool:
        """Whether no request is being answered. Messages may wait: behind a body that aiohttp drains for seconds."""
        protocol = self.protocol
        waiter = protocol._waiter
        woken = waiter is not None and waiter.done()
        is_forwarding = isinstance(protocol, FastPathProtocol) and protocol.is_forwarding
        return self.is_closed or not (protocol._request_in_progress or woken or is_forwarding)


@dataclass(slots=True)
class Watch:
    """Every connection of every gateway in this process, by the ports of both ends."""

    served: dict[tuple[int, int], Served] = field(default_factory=dict)

    def made(self, protocol: RequestHandler) -> None:
        transport = protocol.transport
        assert transport is not None
        ports = transport.get_extra_info("sockname")[1], transport.get_extra_info("peername")[1]
        self.served[ports] = Served(protocol)

    def received(self, protocol: RequestHandler, data: bytes, sign: int = 1) -> None:
        for served in self.served.values():
            if served.protocol is protocol:
                served.received += sign * len(data)


@asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    """Look over aiohttp's shoulder."""
    watch = Watch()
    made = RequestHandler.connection_made
    ordinary, fast, go_on = RequestHandler.data_received, FastPathProtocol.data_received, ForwardPathProtocol._go_on

    def connection_made(self: RequestHandler, transport: asyncio.BaseTransport) -> None:
        made(self, transport)
        watch.made(self)

    def through(way: Callable[..., None], kind: type[RequestHandler]) -> Callable[[RequestHandler, bytes], None]:
        def data_received(self: RequestHandler, data: bytes) -> None:
            if type(self) is kind:
                watch.received(self, data)
            way(self, data)

        return data_received

    def _go_on(self: ForwardPathProtocol) -> None:
        for data in self._held:
            watch.received(self, data, sign=-1)  # it was read once, and comes a second time
        go_on(self)

    with (
        mock.patch.object(ForwardPathProtocol, "_go_on", _go_on),
        mock.patch.object(RequestHandler, "connection_made", connection_made),
        mock.patch.object(RequestHandler, "data_received", through(ordinary, OrdinaryProtocol)),
        mock.patch.object(FastPathProtocol, "data_received", through(fast, ForwardPathProtocol)),
        mock.patch.object(connections, "LINGER_SECONDS", 0.0),
        mock.patch.object(turn, "LONE_HITS", 1),
    ):
        yield watch


@dataclass(slots=True)
class ClientConnection:
    """The client's end: what came back, and whether the gateway closed."""

    client: socket.socket
    served: Served
    sent: int = 0
    answers: bytes = b""
    closed: bool = False

    def read(self) -> None:
        """Take all that has arrived."""
        while not self.closed:
            try:
                data = self.client.recv(1 << 20)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            self.closed = not data
            self.answers += data

    @property
    def seen(self) -> tuple[bytes, bool]:
        """What must be the same with and without the fast path.

        The Date of what is answered to malformed requests is that of the real clock, each origin names its answers, and
        which of several clients that ask at once is served first is nobody's concern.
        """
        assert len(_DATE.findall(self.answers)) == len(_DATE_SHAPE.findall(self.answers))
        answers = _ORIGIN_ID.sub(b"x-mbx-uuid:", _DATE.sub(b"Date:", self.answers))
        return _LED.sub(b"", _ADDRESS.sub(b"", answers)), self.closed


@dataclass(slots=True)
class Twin:
    """One gateway with its own origin, and the clients' connections to it."""

    origin: Simulator
    app: Application
    watch: Watch
    connections: dict[int, ClientConnection] = field(default_factory=dict)
    begun: Counter[tuple[str, ...]] = field(default_factory=Counter)

    @property
    def fast_answers(self) -> int:
        """How many answers the fast path gave."""
        return sum(tally.count for tally in self.app.metrics.requests._tallies.values() if tally.fast)

    def counted(self) -> Counter[tuple[str, ...]]:
        """The series about answers that do not depend on how fast they were, since the transcript began."""
        return self._totals() - self.begun

    def begin(self, document: Document) -> None:
        """As new, but for the clock."""
        self.origin.clear_fault()
        self.origin.replace_document(document)
        self.origin.limits.reset()
        self.origin.reset_counters()
        self.app.draining = False
        self.begun = self._totals()

    def _totals(self) -> Counter[tuple[str, ...]]:
        samples = (sample for family in self.app.metrics.requests.collect() for sample in family.samples)
        kept = (sample for sample in samples if not sample.name.endswith(("_sum", "_bucket")))
        return Counter({(sample.name, *sample.labels.values()): int(sample.value) for sample in kept})

    def reached(self) -> list[tuple[object, ...]]:
        """What the origin got, but for its own address."""
        return [
            (seen.method, seen.target, tuple(h for h in seen.raw_headers if h[0] != b"Host"), seen.body, seen.status)
            for seen in self.origin.requests
        ]

    def told(self) -> dict[tuple[str, ...], float]:
        """Every counter and the used weight, as far as they do not depend on how fast something was."""
        samples = (sample for family in self.app.metrics.registry.collect() for sample in family.samples)
        return {
            (sample.name, *(value for name, value in sample.labels.items() if name != "host")): sample.value
            for sample in samples
            if sample.name.startswith("binance_sidecar_") and sample.name.endswith(("_total", "_weight", "_used"))
        }

    async def connection(self, number: int) -> ClientConnection:
        known = self.connections.get(number)
        if known is None or known.closed:
            await self.leave(number)
            known = self.connections[number] = await self._connect()
        return known

    async def _connect(self) -> ClientConnection:
        host, port = self.app.addresses[0]
        client = socket.socket()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(client, (host, port))
        ports = port, client.getsockname()[1]
        await until(lambda: ports in self.watch.served)
        return ClientConnection(client, self.watch.served[ports])

    async def send(self, number: int, parts: tuple[bytes, ...], *, hurried: bool) -> None:
        connection = await self.connection(number)
        # Once, since the faster gateway's answer to one hurried part may be here before the next one leaves.
        tag = (_ETAG.findall(connection.answers) or [b'"none"'])[-1]
        for part in parts:
            await self._deliver(connection, _signed(part.replace(TAG, tag), self.app.clock.wall()))
            if not hurried:
                await self.settle()
        await self.settle()

    async def crowd(self, request: bytes) -> None:
        """All connections send before the gateway reads."""
        crowd = [await self.connection(number) for number in range(CONNECTIONS)]
        await self.settle()
        tag = (_ETAG.findall(crowd[0].answers) or [b'"none"'])[-1]
        data = _signed(request.replace(TAG, tag), self.app.clock.wall())
        for connection in crowd:
            if not connection.served.is_closed:
                connection.sent += connection.client.send(data)
        await until(lambda: all(one.served.received >= one.sent or one.served.is_closed for one in crowd))
        await self.settle()

    async def _deliver(self, connection: ClientConnection, data: bytes) -> None:
        """Until the gateway has read it, or never will."""
        if connection.closed or connection.served.is_closed:
            return
        connection.sent += len(data)
        try:
            await asyncio.get_running_loop().sock_sendall(connection.client, data)
        except (BrokenPipeError, ConnectionResetError):
            return
        served = connection.served

        def is_read() -> bool:
            connection.read()
            return served.received >= connection.sent or served.is_closed

        await until(is_read)

    async def settle(self) -> None:
        """Until every request was answered and read, and every fill has ended."""
        quiet = 0
        while quiet < _QUIET_TURNS:
            await until(lambda: all(one.served.is_quiet for one in self.connections.values()))
            await self.app.fills.drain(10.0)
            await asyncio.sleep(0)
            quiet = quiet + 1 if all(one.served.is_quiet for one in self.connections.values()) else 0
            for one in self.connections.values():
                one.read()

    async def leave(self, number: int) -> None:
        connection = self.connections.pop(number, None)
        if connection is not None:
            connection.client.close()
            protocol = connection.served.protocol
            await until(lambda: protocol.transport is None)
            served = self.watch.served
            for ports in [ports for ports, one in served.items() if one.protocol is protocol]:
                del served[ports]

    async def play(self, step: Send | Crowd | Leave | Spend | Status | Event | Trouble) -> None:
        """What happens to one gateway."""
        match step:
            case Send(connection=number, parts=parts, hurried=hurried):
                await self.send(number, parts, hurried=hurried)
            case Crowd(request=request):
                for number in range(CONNECTIONS):
                    await self.send(number, (request,) * (1 if number else 3), hurried=False)
                await self.crowd(request)
            case Leave(connection=number):
                await self.leave(number)
            case Spend(weight=weight):
                self.origin.spend(weight)
            case Status(symbol=symbol, status=status):
                self.origin.set_status(symbol, status)
            case Trouble(fault=fault):
                self.origin.set_fault(fault, retry_after=None if fault is Fault.DOWN else 7)
                if fault is Fault.DOWN:
                    await asyncio.sleep(_CLOSE_SECONDS)
            case Event():
                await self.happen(step)
            case _:
                assert_never(step)

    async def happen(self, event: Event) -> None:
        match event:
            case Event.ORIGIN_FAILS:
                self.origin.set_fault(Fault.INTERNAL_500)
            case Event.ORIGIN_WORKS:
                self.origin.clear_fault()
            case Event.DRAINING | Event.SERVING:
                self.app.draining = event is Event.DRAINING
            case Event.REFRESH:
                with suppress(SidecarError):
                    await self.app.fills.refresh()
            case _:
                assert_never(event)


@dataclass(slots=True)
class Twins:
    """Both, by one clock."""

    clock: Clock
    document: Document
    """What both origins serve at the beginning of a transcript."""
    fast: Twin
    ordinary: Twin

    @property
    def both(self) -> tuple[Twin, Twin]:
        return self.fast, self.ordinary

    async def play(self, step: Step) -> None:
        """Do the same to both."""
        if isinstance(step, Push):
            self.clock.push(step.seconds)
            return
        if isinstance(step, Crowd):
            self.clock.push(_CROWD_SECONDS)
        for twin in self.both:
            await twin.play(step)

    async def agree(self) -> None:
        """What came back is the same, and what the origins saw. What is still under way gets a second to arrive."""
        for number in range(CONNECTIONS):
            pair = [twin.connections.get(number) for twin in self.both]
            assert (pair[0] is None) == (pair[1] is None)
            one, other = pair
            if one is None or other is None:
                continue
            for _ in range(100):
                one.read()
                other.read()
                if one.seen == other.seen:
                    break
                await asyncio.sleep(0.01)
            assert one.seen == other.seen
        for _ in range(100):
            if self.fast.origin.counts() == self.ordinary.origin.counts():
                break
            await asyncio.sleep(0.01)
        assert self.fast.origin.counts() == self.ordinary.origin.counts()
        assert self.fast.counted() == self.ordinary.counted()

    async def begin(self) -> None:
        """As new, but for the clock: all that is known has expired long since."""
        for twin in self.both:
            for number in range(CONNECTIONS):
                await twin.leave(number)
            twin.begin(self.document)
        self.clock.now = float(int(self.clock.now) + 3 * 86400)


def _signed(part: bytes, now: float) -> bytes:
    """With a timestamp and a signature, where they stand whole."""

    def sign(found: re.Match[bytes]) -> bytes:
        parameters = b"%btimestamp=%013d" % (found[1], now * 1000)
        signature = hmac.new(HMAC_SECRET.encode(), parameters, hashlib.sha256).hexdigest()
        return b"%b&signature=%b" % (parameters, signature.encode())

    return re.sub(rb"([^?\s]*)" + re.escape(SIGNED.encode()), sign, part)


@asynccontextmanager
async def twins(*, forwards: bool = False) -> AsyncIterator[Twins]:
    """Both running, each before an origin of its own that does as the other's does.

    No work goes to threads: which of two pieces of work ends first must not be left to chance.
    """
    clock, document = Clock(), generate_document(DOCUMENT_SYMBOLS)

    def settings(origin: Simulator) -> dict[str, Any]:
        chosen = {"forward": Forward.ALL, "usd_futures_upstreams": (origin.url,)} if forwards else {}
        return {"shutdown_seconds": 1.0, "log_level": "error", **chosen}

    async with (
        watching() as watch,
        _inline(),
        Simulator(clock=clock, document=document) as one,
        Simulator(clock=clock, document=document) as other,
        gateway(one, clock, **settings(one)) as fast,
        gateway(other, clock, fast_lane=False, **settings(other)) as ordinary,
    ):
        pair = Twins(clock, document, Twin(one, fast, watch), Twin(other, ordinary, watch))
        try:
            yield pair
        finally:
            await pair.begin()


@asynccontextmanager
async def _inline() -> AsyncIterator[None]:
    with mock.patch.object(bodies, "THREAD_BYTES", 1 << 30):
        yield


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until this is so. TimeoutError after ten seconds."""
    loop = asyncio.get_running_loop()
    end, turns = loop.time() + 10.0, 0
    while not condition():
        if loop.time() > end:
            raise TimeoutError
        turns += 1
        await asyncio.sleep(0 if turns < 200 else 0.001)
