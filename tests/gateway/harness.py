"""What the transcripts need: a clock to push, a gateway in front of the stand-in, and a client that hides nothing.

Owns: `Clock`, `Stage`, `Answer`. Must not know: what any test expects.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import orjson
from redis.asyncio import Redis
from yarl import URL

from proxy.app import Application, run_gateway
from proxy.configuration.kinds import SecretStr
from proxy.quota.clock import OriginClock
from proxy.settings import Settings
from tests.environment import settings_of
from tests.simulator import ApiName, Simulator

INFO = "/api/v3/exchangeInfo"
NOON = 1_800_000_000.0 - 1_800_000_000.0 % 86400 + 43200 + 5.5
"""Far from the edge of any rate-limit window, and half a second from the whole ones that Date headers tell: the middle
of what such a header leaves open is then the very time."""


@dataclass(slots=True)
class Clock:
    """Wall time for the gateway and the origin alike; it moves when it is pushed."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now

    def push(self, seconds: float) -> None:
        self.now += seconds


async def age_block(redis_url: str, seconds: float) -> None:
    """Let so much time pass for the block in Redis, which counts it down by its own clock."""
    if redis_url == "memory:":
        return
    key = "binance-sidecar:{spot:default}:block"
    async with Redis.from_url(redis_url) as redis:
        left_ms = await redis.pttl(key)
        if left_ms > 0:
            await redis.pexpire(key, max(1, round(left_ms - seconds * 1000)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client saw: header names in lower case, the body as it was on the wire."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> bytes:
        return gzip.decompress(self.raw) if self.headers.get("content-encoding") == "gzip" else self.raw

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def cache_status(self) -> str:
        return self.headers["cache-status"]


@dataclass(slots=True)
class Client:
    """Sends exactly what it is told, and decodes nothing."""

    session: aiohttp.ClientSession
    url: str

    async def ask(self, target: str = INFO, method: str = "GET", url: str | None = None, **headers: str) -> Answer:
        """`target` goes on the request line as it stands; `headers` with `_` for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        exact = URL(f"{url or self.url}{target}", encoded=True)
        async with self.session.request(method, exact, headers=sent) as answer:
            raw = await answer.read()
            names = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, names, raw)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    """A client that does not decompress and asks for no compression by itself."""
    connector = aiohttp.TCPConnector(limit=0)
    skip = ("Accept-Encoding",)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False, skip_auto_headers=skip) as session:
        yield Client(session, url)


class Located(Protocol):
    """An origin."""

    @property
    def url(self) -> str:
        """Where it is."""


PATIENT: dict[str, Any] = {"redis_seconds": 30.0, "upstream_connect_seconds": 30.0, "upstream_seconds": 60.0}
"""Settings of a gateway that gets hundreds of requests at once: none is too late, however busy this machine is."""


def settings(simulator: Located, **changed: Any) -> Settings:
    """Settings for a gateway in front of the stand-in, on a free port, that asks nothing by itself."""
    redis_url = changed.pop("redis_url", "memory:")
    chosen: dict[str, Any] = {
        "port": 0,
        "upstreams": (simulator.url,),
        "venue": "spot",
        "keep_warm": "never",
        "log_level": "error",
        "redis_url": SecretStr(redis_url),
        "redis_seconds": 10.0,  # only a Redis that hangs takes so long
    }
    return settings_of(**(chosen | changed))


@dataclass(slots=True)
class Stage:
    """The origin, one gateway, one client, one clock."""

    origin: Simulator
    app: Application
    client: Client
    clock: Clock = field(default_factory=Clock)

    async def ask(self, target: str = INFO, method: str = "GET", **headers: str) -> Answer:
        """What the client sees."""
        return await self.client.ask(target, method, **headers)

    def asked(self, path: str | None = None) -> int:
        """How many requests the origin saw."""
        return self.origin.count(path)

    def metric(self, name: str, **labels: str) -> float:
        """One series of the gateway, 0 where there is none yet."""
        value = self.app.metrics.registry.get_sample_value(f"binance_sidecar_{name}", labels)
        return 0.0 if value is None else value


@asynccontextmanager
async def gateway(simulator: Located, clock: Clock | None = None, **changed: Any) -> AsyncIterator[Application]:
    """A running gateway; with a clock, all its times come from there."""
    async with run_gateway(settings(simulator, **changed), clock=OriginClock(clock) if clock else None) as app:
        await app.refresher.started.wait()
        yield app


@asynccontextmanager
async def stage(
    *, clock: Clock | None = None, origin: dict[str, Any] | None = None, **changed: Any
) -> AsyncIterator[Stage]:
    """The stand-in with 100 symbols, a gateway before it, a client before that, all by one clock."""
    clock = clock or Clock()
    async with (
        Simulator(clock=clock, **(origin or {})) as simulator,
        gateway(simulator, clock, **changed) as app,
        client(app.url) as asking,
    ):
        yield Stage(simulator, app, asking, clock)


def hosts(simulator: Simulator, spot_hosts: int = 1) -> dict[str, Any]:
    """Each API at its own address, as Binance has it."""
    return {
        "upstreams": (simulator.url_of(ApiName.SPOT), simulator.url)[:spot_hosts],
        "usd_futures_upstreams": (simulator.url_of(ApiName.USD_FUTURES),),
        "coin_futures_upstreams": (simulator.url_of(ApiName.COIN_FUTURES).replace("127.0.0.1", "localhost"),),
        "options_upstreams": (simulator.url_of(ApiName.OPTIONS),),
    }


@asynccontextmanager
async def market(
    clock: Clock | None = None, origin: dict[str, Any] | None = None, *, spot_hosts: int = 1, **changed: Any
) -> AsyncIterator[Stage]:
    """A gateway before every API. `spot_hosts`: 1, or 2 addresses of the same stand-in."""
    clock = clock or Clock()
    async with (
        Simulator(clock=clock, **(origin or {})) as simulator,
        gateway(simulator, clock, **(hosts(simulator, spot_hosts) | changed)) as app,
        client(app.url) as asking,
    ):
        yield Stage(simulator, app, asking, clock)
