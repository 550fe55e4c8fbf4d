"""The cache that the settings ask for.

Owns: which setting goes where. Must not know: how a fill works, what is stored.
"""

from __future__ import annotations

from proxy.cache.document_stores import LocalDocuments, SharedDocuments
from proxy.cache.documents import DOCUMENTS, FeedObserver, Publisher
from proxy.cache.feed_demand import FeedDemand
from proxy.cache.fill import Filler
from proxy.cache.fills import Fills
from proxy.cache.lifetimes import Policy
from proxy.cache.local import LocalCache, LocalCacheObserver
from proxy.cache.lru import MemoryStore
from proxy.cache.null import NullStore
from proxy.cache.shared import RedisStore
from proxy.cache.sharing import Sharing
from proxy.core.endpoints.catalogue import Catalogue
from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.log import Bounds, ChangeLog, News
from proxy.core.feed.position import Mark
from proxy.core.messages import Lifetimes
from proxy.feed.hub import Hub, NullSource
from proxy.feed.stream import ChangeStreams, document_keys
from proxy.origin.origins import Origins
from proxy.ports import Clock, Observer
from proxy.redis_client.connection import RedisConnection
from proxy.settings import KeepWarm, Settings

_DOCUMENT = DOCUMENTS[Api.SPOT]
"""The query whose answer is the full document."""
_GRACE_SECONDS = 1.5
"""A fill may take this much longer than the origin's deadline before its waiters give up: before clients do."""


def build_local_cache(settings: Settings, observer: LocalCacheObserver, *, max_bytes: int) -> LocalCache:
    """The entries of this process, in so many bytes besides the full document."""
    return LocalCache(MemoryStore(max_bytes), document=_DOCUMENT, use_snapshot=settings.snapshot, observer=observer)


def build_fills(  # noqa: PLR0913 - the parts that they join
    settings: Settings,
    origins: Origins,
    local: LocalCache,
    connection: RedisConnection | None,
    *,
    clock: Clock,
    observer: Observer,
    publisher: Publisher,
) -> Fills:
    """The fills; shared with the other replicas if there is a connection to Redis."""
    timeout_seconds = settings.upstream_seconds + _GRACE_SECONDS
    store = RedisStore(connection, max_body_bytes=settings.max_body_bytes) if connection else NullStore()
    policy = _policy(settings)
    filler = Filler(
        origins,
        local,
        store,
        learn=origins.learn,
        venue=settings.venue_name,
        policy=policy,
        clock=clock,
        observer=observer,
        wait_seconds=timeout_seconds,
        sharing=Sharing(store, publisher, history=policy.history, history_bytes=settings.history_bytes),
    )
    return Fills(
        filler, local, clock, timeout_seconds=timeout_seconds, stale_after_seconds=settings.stale_after_seconds
    )


def build_feed(
    settings: Settings, connection: RedisConnection | None, *, clock: Clock, observer: FeedObserver
) -> tuple[Hub, Publisher]:
    """The feed, and what writes into it: of all replicas if there is a connection to Redis."""
    bounds = Bounds(changes=settings.feed_changes, bytes=settings.feed_bytes)
    keys = {api: query.key for api, query in DOCUMENTS.items() if api in settings.apis}
    changes = ChangeLog(bounds)
    if connection is not None:
        streams = ChangeStreams(connection, document_keys(settings.venue_name, keys), bounds)
        hub = Hub(changes, streams, now=clock.origin, max_readers=settings.feed_readers)
        return hub, Publisher(SharedDocuments(streams, hub), observer)
    hub = Hub(changes, NullSource(), now=clock.origin, max_readers=settings.feed_readers)
    epoch = Mark(round(clock.origin() * 1000), 0)
    changes.add([News(api, epoch, is_continued=False) for api in keys], now=clock.origin())
    return hub, Publisher(LocalDocuments(hub), observer)


def build_feed_demand(settings: Settings, hub: Hub, fills: Fills, local: LocalCache, clock: Clock) -> FeedDemand:
    """What keeps the documents new for readers of the feed, of the APIs that the mode and the settings include."""
    catalogue = Catalogue(settings.forward, apis=settings.apis)
    served = [api for api, query in DOCUMENTS.items() if api in settings.apis and catalogue.forwards(query.endpoint)]
    return FeedDemand(hub, fills, local, clock, apis=() if settings.keep_warm is KeepWarm.NEVER else served)


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
