"""The cache that the settings ask for.

Owns: which setting goes where. Must not know: how a fill works, what is stored.
"""

from __future__ import annotations

from proxy.cache.fill import Filler
from proxy.cache.fills import Fills
from proxy.cache.lifetimes import Policy
from proxy.cache.local import LocalCache, LocalCacheObserver
from proxy.cache.lru import MemoryStore
from proxy.cache.null import NullStore
from proxy.cache.shared import RedisStore
from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.messages import Lifetimes
from proxy.core.query.canonical import CanonicalQuery
from proxy.origin.origins import Origins
from proxy.ports import Clock, Observer
from proxy.redis_client.connection import RedisConnection
from proxy.settings import Settings

_DOCUMENT = CanonicalQuery(endpoint=ENDPOINTS["/api/v3/exchangeInfo"])
"""The query whose answer is the full document."""
_GRACE_SECONDS = 1.5
"""A fill may take this much longer than the origin's deadline before its waiters give up: before clients do."""


def build_local_cache(settings: Settings, observer: LocalCacheObserver, *, max_bytes: int) -> LocalCache:
    """The entries of this process, in so many bytes besides the full document."""
    return LocalCache(MemoryStore(max_bytes), document=_DOCUMENT, use_snapshot=settings.snapshot, observer=observer)


def build_fills(
    settings: Settings,
    origins: Origins,
    local: LocalCache,
    connection: RedisConnection | None,
    *,
    clock: Clock,
    observer: Observer,
) -> Fills:
    """The fills; shared with the other replicas if there is a connection to Redis."""
    timeout_seconds = settings.upstream_seconds + _GRACE_SECONDS
    filler = Filler(
        origins,
        local,
        RedisStore(connection, max_body_bytes=settings.max_body_bytes) if connection else NullStore(),
        learn=origins.learn,
        venue=settings.venue_name,
        policy=_policy(settings),
        clock=clock,
        observer=observer,
        wait_seconds=timeout_seconds,
        history_bytes=settings.history_bytes,
    )
    return Fills(
        filler, local, clock, timeout_seconds=timeout_seconds, stale_after_seconds=settings.stale_after_seconds
    )


def _policy(settings: Settings) -> Policy:
    return Policy(
        positive=Lifetimes(
            fresh_seconds=settings.fresh_seconds,
            stale_while_revalidate_seconds=settings.stale_while_revalidate_seconds,
            stale_if_error_seconds=settings.stale_if_error_seconds,
        ),
        negative=Lifetimes(fresh_seconds=settings.negative_seconds),
        market=Lifetimes(fresh_seconds=settings.market_fresh_seconds),
        history=Lifetimes(fresh_seconds=settings.history_seconds),
    )
