"""The composition root: builds every part from the settings, and runs the life cycle.

Owns: which part gets which, start, drain and stop. Must not know: how any part works.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web

from proxy.background import background
from proxy.cache.fill import Filler, Policy
from proxy.cache.fills import Fills
from proxy.cache.local import LocalCache
from proxy.cache.lru import MemoryStore
from proxy.cache.null import NullStore
from proxy.cache.refresher import Refresher
from proxy.cache.shared import RedisStore
from proxy.core.endpoints.catalogue import find
from proxy.core.messages import ClientRequest, Lifetimes
from proxy.core.query.canonical import CanonicalQuery, canonicalize
from proxy.core.quota.replicas import ReplicaCount
from proxy.core.quota.view import Ratios
from proxy.gateway import Gateway
from proxy.origin.client import Upstream
from proxy.origin.guarded import Origin
from proxy.quota.clock import OriginClock, watch_clock
from proxy.quota.heartbeat import Heartbeat
from proxy.quota.local import MemoryLedger
from proxy.quota.scripts import domain_key
from proxy.quota.shared import RedisLedger
from proxy.redis_client.connection import RedisConnection, connect
from proxy.redis_client.embedded import EmbeddedValkey
from proxy.server.api import Headers, Traffic
from proxy.server.connection import Server
from proxy.server.fast_path import FastPathServer, missing_private_names
from proxy.server.fast_path_table import FastPathTable
from proxy.server.ops import Ops
from proxy.settings import Settings
from proxy.telemetry.metrics import Metrics, measure_lag
from proxy.telemetry.status import StatusReport

log = structlog.get_logger(__name__)

REQUESTS_SHARE = 1 / 2
"""Of SIDECAR_SHUTDOWN_SECONDS: how long requests under way may still take."""
FILLS_SHARE = 1 / 6
"""Of SIDECAR_SHUTDOWN_SECONDS: how long fills that nobody waits for may still take."""
FAST_PATH_SHARE = 1 / 2
"""Of SIDECAR_MEMORY_BYTES: for the fast path."""
_GRACE_SECONDS = 3.0
"""Beyond the deadline of the origin: what a fill may take before those who wait for it give up."""


@dataclass(slots=True)
class Application:
    """A running gateway: where it listens, and what a test or the command wants of it."""

    local: LocalCache
    fills: Fills
    refresher: Refresher
    metrics: Metrics
    clock: OriginClock
    addresses: list[tuple[str, int]]
    ops_addresses: list[tuple[str, int]]
    draining: bool = False

    @property
    def url(self) -> str:
        """The base URL of the traffic listener."""
        return _url(self.addresses[0])

    @property
    def ops_url(self) -> str:
        """The base URL under which probes, metrics and status are."""
        return _url((self.ops_addresses or self.addresses)[0])


@asynccontextmanager
async def run_gateway(settings: Settings, *, clock: OriginClock | None = None) -> AsyncIterator[Application]:
    """Run a gateway for as long as the context lasts; leaving it drains and stops.

    Raises OSError when a port is taken, EmbeddedUnavailable, or ValueError for a Redis URL that cannot be used.
    """
    clock = clock or OriginClock(monotonic=time.monotonic)
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        replica_count = ReplicaCount()
        connection = await _redis(settings, metrics, clock, replica_count, stack)
        ledger = _ledger(settings, connection, clock, replica_count, metrics)
        upstream = await stack.enter_async_context(
            Upstream(
                settings.upstreams,
                connect_seconds=settings.upstream_connect_seconds,
                total_seconds=settings.upstream_seconds,
                max_body_bytes=settings.max_body_bytes,
                observer=metrics,
                wall=clock.wall,
            )
        )
        origin = Origin(upstream, ledger, clock, observer=metrics, total_seconds=settings.upstream_seconds)
        local = LocalCache(
            MemoryStore(round(settings.memory_bytes * (1 - _fast_path_share(settings)))),
            document=_document_query(),
            use_snapshot=settings.snapshot,
            observer=metrics,
        )
        patience = settings.upstream_connect_seconds + settings.upstream_seconds + _GRACE_SECONDS
        filler = Filler(
            origin,
            local,
            RedisStore(connection, max_body_bytes=settings.max_body_bytes) if connection else NullStore(),
            venue=settings.venue_name,
            policy=_policy(settings),
            clock=clock,
            observer=metrics,
            wait_seconds=patience,
        )
        fills = Fills(filler, local, clock, timeout_seconds=patience)
        gateway = Gateway(origin, fills, local, clock)
        refresher = Refresher(
            fills, local, keep_warm=settings.keep_warm, fresh_seconds=settings.fresh_seconds, wall=clock.origin
        )
        app = Application(local, fills, refresher, metrics, clock, [], [])
        report = StatusReport(
            settings=settings,
            ledger=ledger,
            local=local,
            upstream=upstream,
            clock=clock,
            connection=connection,
            replica_count=replica_count,
        )
        metrics.read_at_scrape(report.samples)
        headers = Headers(ledger.used_weight, clock.wall)
        fast_path = _fast_path(settings, app, local, ledger, headers)
        traffic = Traffic(
            gateway.handle,
            headers=headers,
            observer=metrics,
            closing=lambda: app.draining,
            fast_path=fast_path,
        )
        ops = Ops(
            warmed=refresher.started.is_set,
            draining=lambda: app.draining,
            exposition=metrics.exposition,
            status=report.status,
        )
        stack.push_async_callback(fills.drain, settings.shutdown_seconds * FILLS_SHARE)
        await _listen(settings, app, traffic, ops, fast_path=fast_path, stack=stack)
        background(refresher.run(), stack)
        background(measure_lag(metrics), stack)
        background(watch_clock(clock), stack)
        stack.push_async_callback(_drain, app)
        yield app


async def _redis(
    settings: Settings, metrics: Metrics, clock: OriginClock, replica_count: ReplicaCount, stack: AsyncExitStack
) -> RedisConnection | None:
    """The connection that the URL asks for, tried once; None for `memory:`. A Redis that is away is no fault."""
    url = settings.redis_url.get_secret_value()
    if url.startswith("memory:"):
        return None
    if url.startswith("embedded:"):
        embedded = await EmbeddedValkey.start()
        stack.push_async_callback(embedded.stop)
        url = embedded.url
    connection = connect(url, prefix=settings.redis_prefix, deadline_seconds=settings.redis_seconds, observer=metrics)
    stack.push_async_callback(connection.close)
    heartbeat = Heartbeat(connection, clock, replica_count, domain_key=_domain(settings))
    await heartbeat.beat()
    background(heartbeat.run(), stack)
    return connection


def _ledger(
    settings: Settings,
    connection: RedisConnection | None,
    clock: OriginClock,
    replica_count: ReplicaCount,
    metrics: Metrics,
) -> MemoryLedger | RedisLedger:
    ratios = Ratios(
        budget=settings.budget_ratio,
        refresh=settings.refresh_budget_ratio,
        local=settings.local_budget_ratio,
        client=settings.client_ratio,
    )
    if connection is None:
        return MemoryLedger(clock=clock, ratios=ratios, observer=metrics)
    return RedisLedger(
        connection,
        domain_key=_domain(settings),
        clock=clock,
        ratios=ratios,
        replica_count=replica_count,
        observer=metrics,
    )


def _domain(settings: Settings) -> str:
    return domain_key(settings.redis_prefix, settings.venue_name, settings.quota_domain)


def _policy(settings: Settings) -> Policy:
    return Policy(
        positive=Lifetimes(
            fresh_seconds=settings.fresh_seconds,
            stale_while_revalidate_seconds=settings.stale_while_revalidate_seconds,
            stale_if_error_seconds=settings.stale_if_error_seconds,
        ),
        negative=Lifetimes(fresh_seconds=settings.negative_seconds),
    )


def _document_query() -> CanonicalQuery:
    """The bare exchangeInfo query: its answer is the full document."""
    path = "/api/v3/exchangeInfo"
    endpoint = find(path)
    assert endpoint is not None
    query = canonicalize(endpoint, ClientRequest(method="GET", path=path))
    assert isinstance(query, CanonicalQuery)
    return query


def _fast_path_share(settings: Settings) -> float:
    """Of the memory: for answers as they are sent. What they share with the entries is counted in both places."""
    return FAST_PATH_SHARE if settings.fast_lane else 0.0


def _fast_path(
    settings: Settings, app: Application, local: LocalCache, ledger: MemoryLedger | RedisLedger, headers: Headers
) -> FastPathTable | None:
    """The fast path, unless it is switched off or this aiohttp is not the one it was made for."""
    if not settings.fast_lane:
        return None
    missing = missing_private_names()
    if missing:
        log.warning("fast_path_off", reason="aiohttp has changed", missing=missing)
        return None
    return FastPathTable(
        local,
        clock=app.clock,
        counters=ledger.local_view,
        life=app,
        headers=headers,
        tally=lambda reply: app.metrics.requests.tally(reply, fast=True),
        max_bytes=round(settings.memory_bytes * _fast_path_share(settings)),
    )


async def _listen(
    settings: Settings,
    app: Application,
    traffic: Traffic,
    ops: Ops,
    *,
    fast_path: FastPathTable | None,
    stack: AsyncExitStack,
) -> None:
    """Open the traffic listener, and the ops listener where it is one of its own."""
    handler: Traffic | _Both = traffic if settings.ops_port is not None else _Both(traffic, ops)
    server = Server(handler) if fast_path is None else FastPathServer(handler, fast_path=fast_path)
    if settings.ops_port is not None:
        ops_host = settings.ops_host or settings.host
        app.ops_addresses = await _serve(Server(ops), ops_host, settings.ops_port, settings, stack)
    app.addresses = await _serve(server, settings.host, settings.port, settings, stack)


@dataclass(frozen=True, slots=True)
class _Both:
    """Traffic and ops on one listener."""

    traffic: Traffic
    ops: Ops

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = self.ops.paths.get(request.path)
        return await (handler or self.traffic)(request)


async def _serve(
    server: web.Server, host: str, port: int, settings: Settings, stack: AsyncExitStack
) -> list[tuple[str, int]]:
    runner = web.ServerRunner(server, shutdown_timeout=settings.shutdown_seconds * REQUESTS_SHARE)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, host, port, backlog=1024).start()
    return [(str(address[0]), int(address[1])) for address in runner.addresses]


async def _drain(app: Application) -> None:
    """From now on every answer closes its connection, and the readiness probe says no."""
    app.draining = True


def _url(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
