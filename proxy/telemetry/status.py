"""The state of a running gateway for operators: the status page and the gauges, read from its parts.

Owns: the format of the state. Must not know: how the state changes. Nothing here does I/O or shows a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from proxy import __version__
from proxy.cache.local import SELECTION, LocalCache
from proxy.core.endpoints.endpoint import Api
from proxy.core.quota.replicas import ReplicaCount
from proxy.core.quota.view import LeaseState
from proxy.origin.client import Upstream
from proxy.quota.clock import OriginClock
from proxy.quota.pools import PoolLedgers
from proxy.redis_client.connection import RedisConnection
from proxy.redis_client.refusals import Part
from proxy.redis_client.url import masked
from proxy.server.bounds import Connections
from proxy.server.tls import Certificate
from proxy.settings import Settings
from proxy.telemetry.documents import documents
from proxy.telemetry.events import Journal
from proxy.telemetry.metrics import Metrics, Sample
from proxy.telemetry.spending import spending
from proxy.telemetry.summary import summary

_SHOWN_ENTRIES = 100
KEYS_IN_CLEAR = "Signed requests cross the network in clear: listen on loopback, or put TLS before this gateway."


class StatusReport:
    """Reads the parts at each call."""

    def __init__(  # noqa: PLR0913 - every part that it reports
        self,
        *,
        settings: Settings,
        ledgers: PoolLedgers,
        local: LocalCache,
        upstreams: Mapping[Api, Upstream],
        clock: OriginClock,
        connection: RedisConnection | None,
        replica_count: ReplicaCount,
        metrics: Metrics,
        journal: Journal,
        phase: Callable[[], str],
    ) -> None:
        """`phase`: `starting` until the first warm-up attempt has ended, then `ready`; `draining` while it stops."""
        self._settings = settings
        self._ledgers = ledgers
        self._local = local
        self._upstreams_of = upstreams
        self._clock = clock
        self._connection = connection
        self._replica_count = replica_count
        self._metrics = metrics
        self._journal = journal
        self._phase = phase
        self._started_at = clock.wall()

    def status(self) -> dict[str, Any]:
        """The status page as JSON values. Times are seconds since the epoch, by the origin's clock."""
        status = self._figures()
        return {"summary": summary(status), **status}

    def _figures(self) -> dict[str, Any]:
        blocks = self._blocks()
        return {
            "version": __version__,
            "phase": self._phase(),
            "now": round(self._clock.origin(), 3),
            "uptime_seconds": round(max(0.0, self._clock.wall() - self._started_at), 3),
            "venue": self._settings.venue_name,
            "quota_domain": self._settings.quota_domain,
            "windows": self._windows(),
            "leases": self._leases(),
            "blocked": blocks[0] if blocks else None,
            "blocks": blocks,
            "warnings": [KEYS_IN_CLEAR] if self._settings.carries_keys_in_clear else [],
            "clock_offset_seconds": round(self._clock.offset.seconds, 3),
            "document": self._document(),
            "entries": self._entries(),
            "redis": self._redis(),
            "upstreams": self._upstreams(),
            "documents": documents(self._local, self._clock.origin()),
            "changes": self._journal.changes(),
            "events": self._journal.events(),
            **spending(self._metrics),
        }

    def _windows(self) -> list[dict[str, Any]]:
        """The windows of every pool, spot first."""
        return [
            {
                "pool": pool,
                "window": window.name,
                "used": window.used,
                "leased": window.leased,
                "pending": window.pending,
                "budget": window.budget,
                "limit": window.limit,
                "reset": window.reset,
            }
            for pool, view in self._ledgers.views()
            for window in view.windows
        ]

    def _leases(self) -> dict[str, str]:
        """Of each pool whose weight is taken ahead of need, whether it is now."""
        return {pool: view.leases.value for pool, view in self._ledgers.views() if view.leases is not None}

    def _blocks(self) -> list[dict[str, Any]]:
        """The pools that are blocked, spot first."""
        return [
            {"pool": pool, "reason": view.block.reason.value, "until": view.block.until}
            for pool, view in self._ledgers.views()
            if view.block is not None
        ]

    def _upstreams(self) -> list[dict[str, Any]]:
        """The hosts of the origin, and the HTTP proxy on the way to each, without its credentials."""
        return [
            {"api": api.value, "host": host, "healthy": healthy, "proxy": upstream.proxy_of(host)}
            for api, upstream in self._upstreams_of.items()
            for host, healthy in upstream.health().items()
        ]

    def _document(self) -> dict[str, Any] | None:
        loaded = self._local.loaded
        if loaded is None:
            return None
        return {
            "symbols": loaded.snapshot.symbols_count if loaded.snapshot is not None else None,
            "age_seconds": round(loaded.entry.age(self._clock.origin()), 3),
            "bytes": len(loaded.entry.body),
            "gzip_bytes": len(loaded.entry.gzip or b""),
            "selections": self._local.memory.counted(SELECTION)[0],
        }

    def _entries(self) -> list[dict[str, Any]]:
        """The entries used most recently, at most 100, the latest last."""
        now = self._clock.origin()
        items = [item for item in self._local.memory.items() if not item[0].startswith(SELECTION)]
        return [
            {
                "key": key,
                "status": entry.status,
                "age_seconds": round(entry.age(now), 3),
                "fresh_seconds": entry.lifetimes.fresh_seconds,
                "bytes": len(entry.body),
            }
            for key, entry in items[-_SHOWN_ENTRIES:]
        ]

    def _redis(self) -> dict[str, Any]:
        url = masked(self._settings.redis_url.get_secret_value())
        has_redis = self._connection is not None
        quota_shared, cache_shared = self._shares(Part.QUOTA), self._shares(Part.CACHE)
        return {
            "url": url,
            "up": quota_shared and cache_shared if has_redis else None,
            "cache_shared": cache_shared if has_redis else None,
            "quota_shared": quota_shared if has_redis else None,
            "replicas": self._replica_count.replicas,
            "counts_alone": self._ledgers.spot.view().local or (has_redis and not quota_shared),
            "caches_alone": has_redis and not cache_shared,
        }

    def _shares(self, part: Part) -> bool:
        """Whether Redis does this part for all replicas."""
        return self._connection is not None and self._connection.shares(part)

    def samples(self) -> Iterable[Sample]:
        """The gauges, read at scrape time."""
        yield from self._window_samples()
        yield from self._entry_samples()
        if self._connection is not None:
            text = "Gateways on this Redis and quota domain, as last counted."
            yield Sample("replicas", text, self._replica_count.replicas)
            cache_shared, quota_shared = self._shares(Part.CACHE), self._shares(Part.QUOTA)
            text = "Whether Redis takes entries and reservations (1) or not (0)."
            yield Sample("redis_up", text, cache_shared and quota_shared)
            yield Sample("cache_shared", "Whether Redis takes entries (1) or not (0).", cache_shared)
            yield Sample("quota_shared", "Whether Redis takes reservations (1) or not (0).", quota_shared)
        yield Sample("clock_offset_seconds", "The origin's clock less ours, as estimated.", self._clock.offset.seconds)

    def _window_samples(self) -> Iterable[Sample]:
        for pool, view in self._ledgers.views():
            for window in view.windows:
                labels = ("pool", pool), ("window", window.name)
                yield Sample("window_used", "Used in the window: weight or requests.", window.used, labels)
                yield Sample("window_leased", "Taken ahead of need and not spent.", window.leased, labels)
                yield Sample("window_pending", "Sent in the window and not yet answered.", window.pending, labels)
                yield Sample("window_budget", "How much may be used before sending is refused.", window.budget, labels)
                yield Sample("window_limit", "The origin's limit.", window.limit, labels)
                yield Sample("window_reset_timestamp_seconds", "When the window ends.", window.reset, labels)
            for state in () if view.leases is None else LeaseState:
                text = "Whether requests are sent from leases: 1 for the state that holds, 0 for the others."
                yield Sample("leases", text, view.leases is state, (("pool", pool), ("state", state.value)))
            for reason in ("back-off", "ban", "pause"):
                until = view.block.until if view.block is not None and view.block.reason.value == reason else 0.0
                text = "Until when nothing is sent, by reason; 0: not blocked."
                labels = ("pool", pool), ("reason", reason)
                yield Sample("blocked_until_timestamp_seconds", text, until, labels)

    def _entry_samples(self) -> Iterable[Sample]:
        memory, loaded = self._local.memory, self._local.loaded
        selections, selected_bytes = memory.counted(SELECTION)
        text = "Entries in this process."
        yield Sample("entries", text, len(memory) - selections, (("kind", "answer"),))
        yield Sample("entries", text, selections, (("kind", "selection"),))
        yield Sample("entries", text, 1 if loaded else 0, (("kind", "document"),))
        text = "Bytes of the entries in this process."
        yield Sample("entries_bytes", text, memory.bytes - selected_bytes, (("kind", "answer"),))
        yield Sample("entries_bytes", text, selected_bytes, (("kind", "selection"),))
        yield Sample("entries_bytes", text, loaded.entry.size_bytes if loaded else 0, (("kind", "document"),))
        if loaded is not None:
            yield Sample("document_age_seconds", "Age of the full document.", loaded.entry.age(self._clock.origin()))
            symbols = loaded.snapshot.symbols_count if loaded.snapshot is not None else 0
            yield Sample("document_symbols", "Symbols in the full document.", symbols)


def certificate_samples(certificate: Certificate | None) -> Iterable[Sample]:
    """The gauge of the traffic listener's certificate, read at scrape time."""
    text = "Whether the files hold the certificate in use (1), or do not fit each other (0)."
    yield Sample("certificate_current", text, certificate is None or certificate.is_current)


def connection_samples(room: Connections) -> Iterable[Sample]:
    """The gauges of the traffic listener, read at scrape time."""
    yield Sample("connections", "Open connections of clients.", room.count)
    if room.most is not None:
        yield Sample("connections_limit", "How many there may be.", room.most)
    yield Sample("requests_under_way", "Requests that wait for their answer.", room.requests)
