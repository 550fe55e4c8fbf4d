"""The stand-in itself: its socket, its counters, its faults, the way of a request through them.

Owns what happens between a request and its answer. Must not know how a query is read or a body made.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from aiohttp import web

from tests.simulator import control, rules, wire
from tests.simulator.api import Api, Asked
from tests.simulator.document import Document
from tests.simulator.faults import ActiveFault, Fault, active_fault, error_body, forge
from tests.simulator.generation import generate_document, invent_symbol
from tests.simulator.limits import Admitted, Banned, Limits, TooMany, Verdict
from tests.simulator.listener import Listener
from tests.simulator.wire import Answer, Body

_REMEMBERED_REQUESTS = 10_000


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that reached the socket as HTTP. `status` is 0 when a fault leaves it without an answer."""

    at: float
    method: str
    path: str
    raw_query: str
    headers: Mapping[str, str]
    status: int
    weight: int


class Simulator:
    """Binance's general endpoints on a loopback socket, for one public IP.

    `clock` gives seconds since the epoch and rules every date, window and ban; only delays are real.
    Without a `document` one of `symbols` symbols is generated.
    """

    def __init__(
        self,
        *,
        document: Document | None = None,
        symbols: int = 100,
        clock: Callable[[], float] = time.time,
        weight_limit: int = 6000,
        raw_limit: int = 300_000,
        ban_after: int = 5,
        ban_seconds: int = 120,
    ) -> None:
        self.limits = Limits(
            clock=clock, weight=weight_limit, raw=raw_limit, ban_after=ban_after, ban_seconds=ban_seconds
        )
        self.answer_delay_seconds = 0.0
        self._clock = clock
        self._api = Api(self._limited(document or generate_document(symbols)))
        self._fault: ActiveFault | None = None
        self._arrived = asyncio.Event()
        self._listener: Listener | None = None
        self._server: web.Server | None = None
        self.reset_counters()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen (port 0: a free one). OSError if the port is taken."""
        self._server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._listener = Listener(self._server, host=host, port=port)
        self._listener.listen()

    async def stop(self) -> None:
        """Close the socket and cut every connection."""
        listener, self._listener = self._listener, None
        server, self._server = self._server, None
        if listener is not None and server is not None:
            listener.close()
            _cut(server)
            await server.shutdown(1.0)

    async def __aenter__(self) -> Simulator:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        if self._listener is None:
            raise RuntimeError("the simulator is not started")
        return self._listener.port

    @property
    def url(self) -> str:
        """`http://host:port`, without a slash at the end."""
        port = self.port
        host = self._listener.host if self._listener else ""
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def fault(self) -> Fault | None:
        return None if self._fault is None else self._fault.fault

    def set_fault(
        self,
        fault: Fault,
        *,
        times: int | None = None,
        paths: Collection[str] | None = None,
        delay_seconds: float = 1.0,
        retry_after: int | None = None,
    ) -> None:
        """Misbehave from now on, in place of any other fault. ValueError for DOWN with `times` or `paths`.

        `times`: for so many requests (None: until cleared). `paths`: only there. `delay_seconds` is for SLOW,
        `retry_after` (seconds; None: no header) for TOO_MANY_429 and TEAPOT_418.
        """
        active = active_fault(fault, times=times, paths=paths, delay_seconds=delay_seconds, retry_after=retry_after)
        self.clear_fault()
        self._fault = active
        if fault is Fault.DOWN and self._listener is not None and self._server is not None:
            self._listener.refuse()
            _cut(self._server)

    def clear_fault(self) -> None:
        """Behave from now on. Requests that hang go on hanging."""
        self._fault = None
        if self._listener is not None:
            self._listener.listen()

    @property
    def document(self) -> Document:
        return self._api.document

    def replace_document(self, document: Document) -> None:
        """Serve another document from now on, with this simulator's limits in it."""
        self._api.document = self._limited(document)

    def set_status(self, symbol: str, status: str) -> None:
        """KeyError if there is no such symbol."""
        self._api.document = self._api.document.with_status(symbol, status)

    def add_symbol(self, name: str) -> None:
        """List a new SPOT symbol, last."""
        self._api.document = self._api.document.with_symbol(invent_symbol(name))

    def remove_symbol(self, name: str) -> None:
        """KeyError if there is no such symbol."""
        self._api.document = self._api.document.without_symbol(name)

    def spend(self, weight: int) -> None:
        """Another program on the same IP spends this weight."""
        self.limits.spend(weight)

    @property
    def used_weight(self) -> int:
        """The IP's weight in this minute, other programs' included."""
        return self.limits.used_weight

    def count(self, path: str | None = None) -> int:
        """How many requests reached the socket as HTTP, those that a fault struck included."""
        return self._counted.total() if path is None else self._counted[path]

    def counts(self) -> dict[str, int]:
        """Requests by path."""
        return dict(self._counted)

    async def wait_for(self, count: int, path: str | None = None) -> None:
        """Wait until so many requests have reached the socket since the counters were reset."""
        while self.count(path) < count:
            self._arrived.clear()
            await self._arrived.wait()

    def reset_counters(self) -> None:
        """Forget the requests seen. The windows and a ban stay: `limits.reset()` is for those."""
        self.requests: deque[Seen] = deque(maxlen=_REMEMBERED_REQUESTS)
        self.weight_spent = 0
        self.answers_429 = 0
        self.answers_418 = 0
        self._counted: Counter[str] = Counter()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, raw_query = request.raw_path.partition("?")
        if path.startswith(control.PREFIX):
            return await control.respond(self, request, path)
        headers: dict[str, str] = {}
        for name, value in request.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        asked = Asked(self._clock(), request.method, path, raw_query, headers)
        active = self._struck_by(path)
        answer = self._decide(asked, active)
        if self.answer_delay_seconds:
            await asyncio.sleep(self.answer_delay_seconds)
        return await _send(request, asked, answer, active)

    def _struck_by(self, path: str) -> ActiveFault | None:
        active = self._fault
        if active is None or not active.strikes(path):
            return None
        if active.times is not None:
            self._fault = replace(active, times=active.times - 1) if active.times > 1 else None
        return active

    def _decide(self, asked: Asked, active: ActiveFault | None) -> Answer:
        """Charge, choose the answer and count, all at the moment the request comes."""
        pairs = rules.parse_query(asked.raw_query)
        at_edge = (active is not None and active.fault.is_at_edge) or not asked.path.startswith("/api/")
        is_banned = active is not None and active.fault is Fault.TEAPOT_418
        weight = 0 if at_edge or is_banned else rules.weight(asked.path, pairs)
        verdict = self.limits.charge(weight) if weight else Admitted()
        if isinstance(verdict, Banned):
            weight = 0
        answer = self._forged(asked, active) or self._judged(asked, pairs, verdict)
        answer = replace(answer, used_weight=None if at_edge else self.used_weight)
        self._remember(asked, _status_seen(answer, active), weight)
        return answer

    def _forged(self, asked: Asked, active: ActiveFault | None) -> Answer | None:
        if active is None:
            return None
        limits = self.limits
        forged = forge(active, now=asked.at, weight_limit=limits.weight.limit, ban_seconds=limits.ban_seconds)
        if forged is None:
            return None
        refusing = active.fault in (Fault.TOO_MANY_429, Fault.TEAPOT_418)
        return Answer(
            forged.status,
            Body(forged.body),
            content_type=forged.content_type,
            retry_after=active.retry_after if refusing else None,
        )

    def _judged(self, asked: Asked, pairs: rules.Pairs, verdict: Verdict) -> Answer:
        match verdict:
            case Admitted():
                return self._api.answer(asked, pairs)
            case TooMany(retry_after_seconds=seconds, text=text):
                return Answer(429, Body(error_body(-1003, text)), retry_after=seconds)
            case Banned(retry_after_seconds=seconds, text=text):
                return Answer(418, Body(error_body(-1003, text)), retry_after=seconds)
            case _:
                assert_never(verdict)

    def _remember(self, asked: Asked, status: int, weight: int) -> None:
        self._counted[asked.path] += 1
        self.weight_spent += weight
        self.answers_429 += status == 429
        self.answers_418 += status == 418
        seen = Seen(asked.at, asked.method, asked.path, asked.raw_query, asked.headers, status, weight)
        self.requests.append(seen)
        self._arrived.set()

    def _limited(self, document: Document) -> Document:
        return document.with_limits(weight=self.limits.weight.limit, raw=self.limits.raw.limit)


def _status_seen(answer: Answer, active: ActiveFault | None) -> int:
    silent = (Fault.DOWN, Fault.HANG, Fault.RESET, Fault.GARBAGE)
    return 0 if active is not None and active.fault in silent else answer.status


async def _send(
    request: web.BaseRequest, asked: Asked, answer: Answer, active: ActiveFault | None
) -> web.StreamResponse:
    transport = request.transport
    fault = None if active is None else active.fault
    if transport is None:
        return web.Response()  # the client left; nobody reads this
    match fault:
        case Fault.HANG:
            await asyncio.Event().wait()  # ends when the client leaves
        case Fault.SLOW if active is not None:
            await asyncio.sleep(active.delay_seconds)
        case Fault.RESET | Fault.DOWN:
            wire.reset(transport)
        case Fault.TRUNCATED:
            wire.cut_short(transport, answer, now=asked.at)
        case Fault.GARBAGE:
            wire.send_garbage(transport)
        case _:
            pass  # an answer that arrives whole
    return wire.response(answer, asked=asked.headers, now=asked.at)


def _cut(server: web.Server) -> None:
    for connection in server.connections:
        if connection.transport is not None:
            connection.transport.abort()
