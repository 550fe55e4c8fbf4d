"""The composition root: builds every part from the settings, and runs the life cycle.

Owns: which part gets which, start, drain and stop. Must not know: how any part works.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from msgspec import Struct, field

from proxy.background import background
from proxy.cache.answers import CachedAnswers
from proxy.cache.build import build_feed, build_feed_demand, build_fills, build_local_cache
from proxy.cache.fills import Fills
from proxy.cache.local import LocalCache
from proxy.cache.probe import EntryProbe
from proxy.cache.refresher import Refresher
from proxy.core.endpoints.catalogue import Forward
from proxy.core.endpoints.endpoint import Api
from proxy.core.quota.replicas import ReplicaCount
from proxy.direct.ways import Ways, build_ways
from proxy.event_log import log
from proxy.feed.hub import Hub
from proxy.origin.build import build_upstreams
from proxy.origin.client import Upstream
from proxy.origin.origins import Origins
from proxy.quota.build import build_ledgers
from proxy.quota.clock import OriginClock, watch_clock
from proxy.quota.heartbeat import Heartbeat
from proxy.quota.pools import PoolLedgers
from proxy.quota.scripts import domain_key
from proxy.redis_client.connection import RedisConnection, connect
from proxy.server.api import Headers, Traffic
from proxy.server.bounds import Connections, keep_deadlines
from proxy.server.build import (
    build_certificate,
    build_fast_path,
    build_ops_room,
    build_own_pages,
    build_peers,
    build_room,
    build_server,
    entries_bytes,
)
from proxy.server.fast_path import release_outdated
from proxy.server.forward_path_table import ForwardPathTable
from proxy.server.listeners import TrafficAndOps, base_url, listen
from proxy.server.ops import Ops
from proxy.server.tls import Certificate
from proxy.settings import Settings
from proxy.telemetry.events import Journal
from proxy.telemetry.feed import feed_samples
from proxy.telemetry.metrics import Metrics, measure_lag
from proxy.telemetry.status import StatusReport, certificate_samples, connection_samples
from proxy.telemetry.watch import DocumentObserver, Watch

REQUESTS_SHARE = 1 / 2
"""The part of SIDECAR_SHUTDOWN_SECONDS that requests under way may still take."""
FILLS_SHARE = 1 / 6
"""The part of SIDECAR_SHUTDOWN_SECONDS that fills without a waiting client may still take."""


class Application(Struct):
    """A running gateway: its addresses, and the parts that the command and the tests use."""

    local: LocalCache
    fills: Fills
    refresher: Refresher
    metrics: Metrics
    clock: OriginClock
    hub: Hub
    room: Connections
    """The connections of the traffic listener."""
    certificate: Certificate | None
    addresses: list[tuple[str, int]] = field(default_factory=list)
    ops_addresses: list[tuple[str, int]] = field(default_factory=list)
    draining: bool = False

    @property
    def phase(self) -> str:
        """Where the gateway is in its life: `starting`, `ready` or `draining`."""
        if self.draining:
            return "draining"
        return "ready" if self.refresher.started.is_set() else "starting"

    @property
    def url(self) -> str:
        """The base URL of the traffic listener."""
        return base_url(self.addresses[0], is_secure=self.certificate is not None)

    @property
    def ops_url(self) -> str:
        """The base URL of probes, metrics and status."""
        return base_url(self.ops_addresses[0]) if self.ops_addresses else self.url


@asynccontextmanager
async def run_gateway(settings: Settings, *, clock: OriginClock | None = None) -> AsyncIterator[Application]:
    """Run a gateway for as long as the context lasts; leaving it drains and stops.

    Raises OSError for a port, a file or an embedded Valkey that cannot be used, ValueError for a bad Redis URL.
    """
    clock = clock or OriginClock(monotonic=time.monotonic)
    if settings.carries_keys_in_clear:
        log.warning("keys_in_clear", host=settings.host)
    async with AsyncExitStack() as stack:
        metrics, replica_count = Metrics(), ReplicaCount()
        connection = await _connect_redis(settings, metrics, clock, replica_count, stack)
        ledgers = build_ledgers(
            settings, connection, clock=clock, replica_count=replica_count, observer_of=metrics.of_pool
        )
        upstreams = build_upstreams(settings, metrics, clock)
        await _open(upstreams, stack)
        origins = Origins(
            upstreams,
            ledgers,
            clock,
            observer=metrics,
            refusals_of=metrics.of_pool,
            total_seconds=settings.upstream_seconds,
        )
        journal = Journal(clock.origin)
        told = DocumentObserver(metrics, journal, Api.SPOT.value)
        local = build_local_cache(settings, told, max_bytes=entries_bytes(settings))
        hub, publisher = build_feed(settings, connection, clock=clock, observer=metrics)
        fills = build_fills(settings, origins, local, connection, clock=clock, observer=metrics, publisher=publisher)
        refresher = Refresher(
            fills, local, keep_warm=settings.keep_warm, fresh_seconds=settings.fresh_seconds, wall=clock.origin
        )
        listener = build_room(settings, metrics), build_certificate(settings, metrics)
        app = Application(local, fills, refresher, metrics, clock, hub, *listener)
        report = StatusReport(
            settings=settings,
            ledgers=ledgers,
            local=local,
            upstreams=upstreams,
            clock=clock,
            connection=connection,
            replica_count=replica_count,
            metrics=metrics,
            journal=journal,
            phase=lambda: app.phase,
        )
        ways = build_ways(settings, origins, fills, CachedAnswers(fills, local, clock), clock)
        await _start(settings, app, ways, ledgers, report, stack)
        background(Watch(journal, ledgers=ledgers, upstreams=upstreams, connection=connection).run(), stack)
        yield app


async def _open(upstreams: Mapping[Api, Upstream], stack: AsyncExitStack) -> None:
    for upstream in upstreams.values():
        await stack.enter_async_context(upstream)


async def _start(
    settings: Settings,
    app: Application,
    ways: Ways,
    ledgers: PoolLedgers,
    report: StatusReport,
    stack: AsyncExitStack,
) -> None:
    """Load from Redis, listen, then start the work in the background. Stopping takes these steps in reverse order."""
    app.metrics.read_at_scrape(report.samples)
    app.metrics.read_at_scrape(lambda: feed_samples(app.hub))
    app.metrics.read_at_scrape(partial(certificate_samples, app.certificate))
    stack.push_async_callback(app.fills.drain, settings.shutdown_seconds * FILLS_SHARE)
    await app.refresher.load()
    await _listen(settings, app, ways, ledgers, report, stack)
    background(app.refresher.run(), stack)
    if app.certificate is not None:
        background(app.certificate.watch(), stack)
    background(app.hub.run(), stack)
    background(build_feed_demand(settings, app.hub, app.fills, app.local, app.clock).run(), stack)
    background(measure_lag(app.metrics), stack)
    background(watch_clock(app.clock, ledgers.keep_blocks), stack)
    background(ledgers.watch_blocks(), stack)
    if settings.state_dir is not None:
        background(ledgers.watch_kept(), stack)
    stack.push_async_callback(_drain, app)


async def _drain(app: Application) -> None:
    """From now on every answer closes its connection, and the readiness probe says no."""
    app.draining = True
    app.hub.close()


async def _connect_redis(
    settings: Settings, metrics: Metrics, clock: OriginClock, replica_count: ReplicaCount, stack: AsyncExitStack
) -> RedisConnection | None:
    """Connect to the Redis of the URL, and keep its heartbeat running; None for `memory:`.

    A Redis that does not answer is no error: the gateway starts without it.
    """
    url = settings.redis_url.get_secret_value()
    if url.startswith("memory:"):
        return None
    if url.startswith("embedded:"):
        from proxy.redis_client.embedded import EmbeddedValkey  # noqa: PLC0415 - no other URL needs it

        embedded = await EmbeddedValkey.start()
        stack.push_async_callback(embedded.stop)
        background(embedded.keep_running(), stack)
        url = embedded.url
    connection = connect(url, prefix=settings.redis_prefix, deadline_seconds=settings.redis_seconds, observer=metrics)
    stack.push_async_callback(connection.close)
    write_entry = EntryProbe(connection).write
    heartbeat = Heartbeat(connection, clock, replica_count, domain_key=_domain(settings), write_entry=write_entry)
    await heartbeat.ping()
    background(heartbeat.run(), stack)
    return connection


def _domain(settings: Settings) -> str:
    return domain_key(settings.redis_prefix, settings.venue_name, settings.quota_domain)


def _ops(settings: Settings, app: Application, report: StatusReport) -> Ops:
    return Ops(
        warmed=app.refresher.started.is_set,
        draining=lambda: app.draining,
        exposition=app.metrics.exposition,
        status=report.status,
        hosts=settings.upstream_hosts,
    )


async def _listen(
    settings: Settings,
    app: Application,
    ways: Ways,
    ledgers: PoolLedgers,
    report: StatusReport,
    stack: AsyncExitStack,
) -> None:
    """Open the traffic listener, and a second one for operations if the settings ask for it."""
    headers = Headers(ledgers.used_weight, app.clock.wall, settings.keep_alive_seconds)
    room, peers, shutdown_seconds = app.room, build_peers(settings), settings.shutdown_seconds * REQUESTS_SHARE
    app.metrics.read_at_scrape(partial(connection_samples, room))
    fast_path = build_fast_path(
        settings,
        app.local,
        clock=app.clock,
        usage_of=ledgers.local_view,
        life_cycle=app,
        beside=headers.beside,
        tally=lambda reply: app.metrics.requests.tally(reply, fast=True),
    )
    traffic = Traffic(
        ways.ordinary.handle,
        headers=headers,
        hosts=settings.upstream_hosts,
        observer=app.metrics,
        room=room,
        peers=peers,
        via=settings.via,
        closing=lambda: app.draining,
        forwards_keyed=settings.forward is Forward.ALL,
        fast_path=fast_path,
        own=build_own_pages(settings, app.hub, app.metrics),
    )
    ops = _ops(settings, app, report)
    handler = traffic if settings.ops_port is not None else TrafficAndOps(traffic, ops)
    forward_path = ForwardPathTable(ways.direct, headers=headers, peers=peers, observer=app.metrics, life_cycle=app)
    server = build_server(
        settings, handler, room, fast_paths=(fast_path, forward_path), peers=peers, certificate=app.certificate
    )
    ops_server = build_server(settings, ops, build_ops_room(settings, app.metrics))
    if settings.ops_port is not None:
        ops_address = (settings.ops_host or settings.host, settings.ops_port)
        app.ops_addresses = await listen(ops_server, ops_address, stack, shutdown_seconds=shutdown_seconds)
    app.addresses = await listen(server, (settings.host, settings.port), stack, shutdown_seconds=shutdown_seconds)
    background(release_outdated(fast_path), stack)
    background(keep_deadlines(room, ops_server.room), stack)
