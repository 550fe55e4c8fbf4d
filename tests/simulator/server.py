"""The stand-in itself: its counters, its faults, the way of a request through them.

Owns what happens between a request and its answer. Must not know how a query is read or a body made.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import lru_cache
from typing import assert_never

from aiohttp import web

from tests.simulator import control, delivery, rules
from tests.simulator.account import Account, OrderSizes
from tests.simulator.api import Asked
from tests.simulator.derivatives import World
from tests.simulator.document import Document
from tests.simulator.endpoints import FUTURES_POOL, SAPI, SPOT_POOL, ApiName, Endpoint, api_of
from tests.simulator.faults import ActiveFault, Fault, active_fault, error_body, forge
from tests.simulator.generation import generate_document, invent_symbol
from tests.simulator.hosts import Hosts
from tests.simulator.limits import Admitted, Banned, Limits, TooMany, Verdict
from tests.simulator.origin import Origin
from tests.simulator.pools import Pools, Sizes
from tests.simulator.record import Record, Seen
from tests.simulator.tables import all_endpoints
from tests.simulator.wire import Answer, Body

_WRONG_BY = 1000  # what an inaccurate header tells too much

_generated = lru_cache(maxsize=8)(generate_document)
"""Documents never change, and the tests start hundreds of simulators with the same one."""


class Simulator:
    """Binance's API on loopback sockets, for one public IP and one account.

    `clock` gives seconds since the epoch and rules every date, window and ban; only delays are real.
    Without a `document` one of `symbols` symbols is generated. `sizes` are the pools' limits; those of spot come from
    `weight_limit` and `raw_limit`. `futures_retry_after`: whether the derivatives' 429 and 418 have a Retry-After.
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
        sizes: Sizes | None = None,
        order_sizes: OrderSizes | None = None,
        contracts: tuple[int, int] = (40, 20),
        seed: int = 0,
        futures_retry_after: bool = False,
    ) -> None:
        sizes = replace(sizes or Sizes(), spot=weight_limit, raw=raw_limit)
        orders = order_sizes or OrderSizes()
        self.pools = Pools(clock=clock, sizes=sizes, ban_after=ban_after, ban_seconds=ban_seconds)
        self.account = Account(clock=clock, sizes=orders)
        self.endpoints = all_endpoints()
        self.answer_delay_seconds = 0.0
        self.record = Record()
        self._clock = clock
        self._futures_retry_after = futures_retry_after
        world = World(*contracts, int(clock() * 1000), seed, sizes, orders)
        served = self._limited(document or _generated(symbols))
        self._origin = Origin(document=served, endpoints=self.endpoints, account=self.account, world=world)
        self._fault: ActiveFault | None = None
        self._hosts: Hosts | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen (port 0: a free one). OSError if the port is taken."""
        self._hosts = Hosts(self._handle, host, port)

    async def stop(self) -> None:
        """Close the sockets and cut every connection."""
        hosts, self._hosts = self._hosts, None
        if hosts is not None:
            await hosts.close()

    async def __aenter__(self) -> Simulator:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        return self._started().port()

    @property
    def url(self) -> str:
        """Serves every API: `http://host:port`, without a slash at the end."""
        return self._started().url()

    def url_of(self, api: ApiName) -> str:
        """Serves this API alone, as its own host does."""
        return self._started().url(api)

    def _started(self) -> Hosts:
        if self._hosts is None:
            raise RuntimeError("the simulator is not started")
        return self._hosts

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
        pools: Collection[str] | None = None,
    ) -> None:
        """Misbehave from now on, in place of any other fault. ValueError for DOWN with `times`, `paths` or `pools`.

        `times`: for so many requests (None: until cleared). `paths`, `pools`: only there. `delay_seconds` is for SLOW,
        `retry_after` (seconds; None: no header) for TOO_MANY_429 and TEAPOT_418.
        """
        active = active_fault(
            fault, times=times, paths=paths, delay_seconds=delay_seconds, retry_after=retry_after, pools=pools
        )
        self.clear_fault()
        self._fault = active
        if fault is Fault.DOWN and self._hosts is not None:
            self._hosts.refuse()

    def clear_fault(self) -> None:
        """Behave from now on. Requests that hang go on hanging."""
        self._fault = None
        if self._hosts is not None:
            self._hosts.listen()

    @property
    def document(self) -> Document:
        return self._origin.general.document

    def replace_document(self, document: Document) -> None:
        """Serve another document from now on, with this simulator's limits in it."""
        self._origin.general.document = self._limited(document)

    def set_status(self, symbol: str, status: str) -> None:
        """KeyError if there is no such symbol."""
        self._origin.general.document = self.document.with_status(symbol, status)

    def add_symbol(self, name: str) -> None:
        """List a new SPOT symbol, last."""
        self._origin.general.document = self.document.with_symbol(invent_symbol(name))

    def remove_symbol(self, name: str) -> None:
        """KeyError if there is no such symbol."""
        self._origin.general.document = self.document.without_symbol(name)

    def spend(self, weight: int, pool: str = SPOT_POOL) -> None:
        """Another program on the same IP spends this weight."""
        self.pools[pool].spend(weight)

    @property
    def limits(self) -> Limits:
        """Those of spot."""
        return self.pools[SPOT_POOL]

    @property
    def used_weight(self) -> int:
        """The IP's weight on spot in this minute, other programs' included."""
        return self.limits.used_weight

    @property
    def weight_spent(self) -> int:
        """By the requests seen, on spot."""
        return self.record.weight_spent

    @property
    def spent(self) -> Counter[str]:
        """Weight (or requests, where a pool counts these) by pool, of the requests seen."""
        return self.record.spent

    @property
    def requests(self) -> deque[Seen]:
        """The newest ones."""
        return self.record.requests

    @property
    def answers_429(self) -> int:
        """In all pools. An account's own 429 (-1015) is not one."""
        return self.record.answers_429

    @property
    def answers_418(self) -> int:
        return self.record.answers_418

    def count(self, path: str | None = None) -> int:
        """How many requests reached the socket as HTTP, those that a fault struck included."""
        return self.record.count(path)

    def counts(self) -> dict[str, int]:
        """Requests by path."""
        return dict(self.record.by_path)

    async def wait_for(self, count: int, path: str | None = None) -> None:
        """Wait until so many requests have reached the socket since the counters were reset."""
        await self.record.wait_for(count, path)

    def reset_counters(self) -> None:
        """Forget the requests seen. The windows and bans stay: `pools.reset()` is for those."""
        self.record.reset()

    async def _handle(self, host: ApiName | None, request: web.BaseRequest) -> web.StreamResponse:
        path, _, _ = request.raw_path.partition("?")
        if path.startswith(control.PREFIX):
            return await control.respond(self, request, path)
        asked = await delivery.read(request, host, self._clock)
        api = api_of(path, host)
        endpoint = None if api is None else self.endpoints.find(api, asked.method, path)
        active = self._struck_by(path, endpoint)
        answer = self._decide(asked, endpoint, active)
        return await delivery.send(request, asked, answer, active, delay_seconds=self.answer_delay_seconds)

    def _struck_by(self, path: str, endpoint: Endpoint | None) -> ActiveFault | None:
        active = self._fault
        if active is None or not active.strikes(path, None if endpoint is None else endpoint.pool):
            return None
        if active.times is not None:
            self._fault = replace(active, times=active.times - 1) if active.times > 1 else None
        return active

    def _decide(self, asked: Asked, endpoint: Endpoint | None, active: ActiveFault | None) -> Answer:
        """Charge, choose the answer and count, all at the moment the request comes."""
        if endpoint is None or (active is not None and active.fault.is_at_edge):
            return self._at_edge(asked, active)
        limits = self.pools[endpoint.pool]
        pairs = delivery.parameters(asked)
        is_banned = active is not None and active.fault is Fault.TEAPOT_418
        weight = 0 if is_banned else endpoint.weigh(dict(pairs))
        verdict: Verdict = Admitted() if is_banned else limits.charge(weight)
        if isinstance(verdict, Banned):
            weight = 0
        forged = self._forged(asked, active, limits)
        answer = forged or self._judged(asked, endpoint, pairs, verdict)
        if endpoint.is_refunded and answer.status == 200 and weight:
            limits.refund(weight)
            weight = 0
        is_accounts = answer.status == 429 and forged is None and isinstance(verdict, Admitted)
        status = delivery.status_seen(answer, active)
        self.record.add(asked, status=status, weight=weight, pool=endpoint.pool, is_accounts=is_accounts)
        return self._told(answer, endpoint)

    def _at_edge(self, asked: Asked, active: ActiveFault | None) -> Answer:
        """No API is reached: nothing is charged, and the used weight is not told."""
        host = asked.host or ApiName.SPOT
        answer = self._forged(asked, active, self.limits) or self._origin.missing(asked, host)
        self.record.add(asked, status=delivery.status_seen(answer, active), weight=0, pool=None, is_accounts=False)
        return replace(answer, is_spot=host.is_spot)

    def _told(self, answer: Answer, endpoint: Endpoint) -> Answer:
        """With the header of the used weight: of the path itself on `sapi`, else of the API's minute."""
        if endpoint.path.startswith(SAPI):
            used = str(self.pools[endpoint.pool].used_weight)
            return replace(answer, extra=(*answer.extra, ("x-sapi-used-ip-weight-1m", used)))
        pool = FUTURES_POOL if endpoint.api is ApiName.USD_FUTURES else endpoint.pool
        told = self.pools[pool].used_weight + (0 if endpoint.tells_true_weight else _WRONG_BY)
        return replace(answer, used_weight=told if endpoint.tells_weight else None, is_spot=endpoint.api.is_spot)

    def _forged(self, asked: Asked, active: ActiveFault | None, limits: Limits) -> Answer | None:
        forged = None if active is None else forge(active, now=asked.at, limits=limits)
        if active is None or forged is None:
            return None
        refusing = active.fault in (Fault.TOO_MANY_429, Fault.TEAPOT_418)
        retry_after = active.retry_after if refusing else None
        return Answer(forged.status, Body(forged.body), content_type=forged.content_type, retry_after=retry_after)

    def _judged(self, asked: Asked, endpoint: Endpoint, pairs: rules.Pairs, verdict: Verdict) -> Answer:
        tells_when = endpoint.api.is_spot or self._futures_retry_after
        match verdict:
            case Admitted():
                return self._origin.answer(asked, endpoint, pairs)
            case TooMany(retry_after_seconds=seconds, text=text):
                body = Body(error_body(-1003, text))
                return Answer(429, body, retry_after=seconds if tells_when else None)
            case Banned(retry_after_seconds=seconds, text=text):
                body = Body(error_body(-1003, text))
                return Answer(418, body, retry_after=seconds if tells_when else None)
            case _:
                assert_never(verdict)

    def _limited(self, document: Document) -> Document:
        return document.with_limits(weight=self.limits.weight.limit, raw=self.limits.raw.limit)
