"""What we count for a request is what the simulator charges for it, whatever is asked and whatever its headers say.

The simulator has tables of its own, from the same documents: it must not import the gateway.
"""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Protocol
from urllib.parse import urlencode

import aiohttp
import pytest
from msgspec import structs

from proxy.core.endpoints.catalogue import TABLES
from proxy.core.endpoints.endpoint import Api, Endpoint, Security
from proxy.core.query.market import read_parameters
from proxy.core.quota.pools import default_windows, pools_of
from proxy.quota.limits import KnownLimits
from proxy.quota.local import MemoryLedger
from proxy.quota.pools import PoolLedgers
from tests import simulator
from tests.gateway.harness import Stage, market
from tests.quota.doubles import RATIOS, ManualClock
from tests.simulator import ApiName, Simulator, Sizes
from tests.simulator.endpoints import Endpoints
from tests.sizes import sized

pytestmark = pytest.mark.no_cover
"""They ask for hundreds of windows that other tests cover."""

LINES = tuple(line for table in TABLES.values() for line in table)
PUBLIC = tuple(line for line in LINES if line.security is Security.PUBLIC)
LONGEST_WINDOW_SECONDS = 300.0
REQUESTS = sized(quick=500, usual=500, long=5000)
THROUGH = sized(quick=200, usual=200, long=5000)
"""Requests that go through a gateway."""
ENDLESS = 10**9
HOSTS = {
    Api.SPOT: ApiName.SPOT,
    Api.USD_FUTURES: ApiName.USD_FUTURES,
    Api.COIN_FUTURES: ApiName.COIN_FUTURES,
    Api.OPTIONS: ApiName.OPTIONS,
}
LIMITS = ("1", "5", "7", "10", "50", "99", "100", "101", "499", "500", "501", "1000", "1001", "1500", "5000", "9999")
EITHER = (("symbol", "symbols"), ("preventedMatchId", "orderId"))
"""Of these a request names one: what the origin charges for both is not known."""
LENGTHS = (1, 2, 19, 20, 21, 49, 50, 51, 99, 100, 101, 130)
WORDS: Mapping[str, tuple[str, ...]] = {
    "limit": LIMITS,
    "symbol": ("BTCUSDT", "NOSUCH", "BTCUSD_PERP", "BTC-261225-100000-C"),
    "symbolStatus": ("TRADING", "HALT"),
    "computeCommissionRates": ("true", "false"),
    "interval": ("1m", "1h"),
    "period": ("5m", "1d"),
    "contractType": ("PERPETUAL", "CURRENT_QUARTER"),
    "type": ("FULL", "MINI"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request for one endpoint."""

    endpoint: Endpoint
    query: str

    @property
    def target(self) -> str:
        return f"{self.endpoint.path}?{self.query}" if self.query else self.endpoint.path


class Way(Protocol):
    """How a request goes to the origin, and who counts it."""

    async def count(self, request: Request) -> Mapping[str, int]:
        """Send the request. Returns what our side counted for it by pool; pools with nothing may be left out."""


class Straight:
    """To the simulator, charged in ledgers in memory: what they have used is the count."""

    def __init__(self, origin: Simulator, session: aiohttp.ClientSession, clock: ManualClock) -> None:
        self._origin = origin
        self._session = session
        self._ledgers = endless_ledgers(clock)

    async def count(self, request: Request) -> Mapping[str, int]:
        endpoint = request.endpoint
        ledger, before = self._ledgers.of(endpoint), self._used()
        parameters = read_parameters(request.query)
        weight = endpoint.weight.dearest if parameters is None else endpoint.weight.of(parameters)
        reservation = await ledger.reserve(weight)
        url = self._origin.url_of(HOSTS[endpoint.api]) + request.target
        async with self._session.request(endpoint.method, url) as response:
            await response.read()
            headers = {name.lower(): value for name, value in response.headers.items()}
        await ledger.reconcile(reservation, headers if endpoint.has_used_weight else {}, ok=response.ok)
        used = self._used()
        used.subtract(before)
        return used

    def _used(self) -> Counter[str]:
        """What is used of the first window of each pool."""
        return Counter({pool: view.windows[0].used for pool, view in self._ledgers.views()})


class Through:
    """Through a running gateway, whose status page tells the count. Each request has windows of its own."""

    def __init__(self, on: Stage) -> None:
        self._on = on

    async def count(self, request: Request) -> Mapping[str, int]:
        self._on.clock.push(LONGEST_WINDOW_SECONDS)
        answer = await self._on.ask(request.target, request.endpoint.method)
        assert answer.status in (200, 400), (request.target, answer.raw)
        windows = (await self._on.ask("/status")).json["windows"]
        return {window["pool"]: window["used"] for window in reversed(windows)}  # of spot's two the weight


def endless_ledgers(clock: ManualClock) -> PoolLedgers:
    """One for each pool, with limits that no request passes."""

    def make(pool: str) -> MemoryLedger:
        windows = tuple(structs.replace(window, limit=ENDLESS) for window in default_windows(pool))
        limits = KnownLimits(refresh_ratio=RATIOS.refresh, fetch_weight=1, windows=windows)
        return MemoryLedger(clock=clock, ratios=RATIOS, limits=limits)

    return PoolLedgers(make, pools_of(Api, lambda _: True))


def generated(dice: Random, endpoint: Endpoint) -> Request:
    """A request that names some of the endpoint's parameters."""
    named = [name for name in endpoint.parameters if dice.random() < 0.6]
    for pair in EITHER:
        if set(pair) <= set(named):
            named.remove(dice.choice(pair))
    if endpoint.takes_one_parameter:  # the origin refuses more; what it then charges is not known
        named = named[:1]
    return Request(endpoint, urlencode([(name, value_of(dice, name)) for name in named]))


def value_of(dice: Random, name: str) -> str:
    if name == "symbols":
        return json.dumps([f"S{number}" for number in range(dice.choice(LENGTHS))], separators=(",", ":"))
    return dice.choice(WORDS.get(name, ("1", "17", "1785050100000")))


def plan(seed: int, of: tuple[Endpoint, ...] = LINES) -> list[Request]:
    """Each endpoint at least once, then any."""
    dice = Random(seed)
    lines = [*of, *dice.choices(of, k=max(0, REQUESTS - len(of)))]
    return [generated(dice, line) for line in lines]


def spent(origin: Simulator) -> Counter[str]:
    """What the simulator has charged, by our names of the pools."""
    return Counter({pool.replace("futures/data/", "futures-data-"): weight for pool, weight in origin.spent.items()})


async def differences(origin: Simulator, way: Way, requests: list[Request]) -> list[str]:
    """The requests that are counted otherwise than the simulator charges."""
    found = []
    for request in requests:
        before = spent(origin)
        counted = Counter(await way.count(request))
        charged = spent(origin)
        charged.subtract(before)
        if +counted != +charged:
            place = f"{request.endpoint.api.value} {request.endpoint.method} {request.target[:200]}"
            found.append(f"{place}: counted {dict(+counted)}, charged {dict(+charged)}")
    return found


def without_headers(origin: Simulator) -> None:
    """From now on no answer tells the used weight."""
    origin.endpoints = Endpoints(replace(endpoint, tells_weight=False) for endpoint in origin.endpoints)


def endless_simulator(clock: ManualClock) -> Simulator:
    """One that never says no, so that every request is charged."""
    sizes = Sizes(futures=ENDLESS, options=ENDLESS, funding=ENDLESS, futures_data=ENDLESS)
    return Simulator(clock=clock, sizes=sizes, weight_limit=ENDLESS, raw_limit=ENDLESS)


@pytest.mark.parametrize("has_headers", [True, False])
@pytest.mark.parametrize("seed", range(sized(quick=1, usual=1, long=10)))
async def test_five_hundred_requests_are_counted_as_they_are_charged(seed: int, has_headers: bool) -> None:
    clock = ManualClock()
    async with endless_simulator(clock) as origin, aiohttp.ClientSession() as session:
        if not has_headers:
            without_headers(origin)
        assert await differences(origin, Straight(origin, session, clock), plan(seed)) == []
        assert origin.count() == REQUESTS
        assert origin.answers_429 == origin.answers_418 == 0


@pytest.mark.parametrize("has_headers", [True, False])
async def test_what_goes_through_the_gateway_is_counted_as_it_is_charged(has_headers: bool) -> None:
    async with market() as on:
        if not has_headers:
            without_headers(on.origin)
        assert await differences(on.origin, Through(on), plan(3, PUBLIC)[:THROUGH]) == []
        assert on.origin.answers_429 == on.origin.answers_418 == 0


def test_every_endpoint_and_every_parameter_that_a_weight_depends_on_is_asked() -> None:
    assert {request.endpoint for request in plan(0)} == set(LINES)
    asked = [request for seed in range(4) for request in plan(seed)]  # a new endpoint moves what each of them draws
    names = {pair.partition("=")[0] for request in asked for pair in request.query.split("&")}
    assert {"symbol", "symbols", "limit", "orderId", "preventedMatchId", "computeCommissionRates"} <= names


def test_the_simulator_has_its_weights_from_nobody_here() -> None:
    folder = Path(simulator.__file__).parent
    for module in folder.glob("[!t]*.py"):  # its tests may know both
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.partition(".")[0] == "proxy"], module.name
