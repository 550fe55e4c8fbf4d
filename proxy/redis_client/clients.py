"""redis-py's clients.

Owns: the options of every connection. Must not know: keys, the breaker, how a URL is written, which client it asks for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from proxy.redis_client.driver import tls_context
from proxy.redis_client.url import TLS_PREFIX, RedisTarget

if TYPE_CHECKING:
    from redis.asyncio.client import Redis
    from redis.asyncio.cluster import RedisCluster

_HEALTH_CHECK_SECONDS = 30
# The number of connections is bounded in one place, before the pools (RedisConnection): at their bound, the
# pools of Sentinel and Cluster refuse instead of waiting, and so does redis-py's default pool at 100.
_POOL_CONNECTIONS = 1 << 20

Client: TypeAlias = "Redis | RedisCluster"


class OpenedClient(Struct, frozen=True, kw_only=True):
    """A client that has not connected yet, and the functions that close all of its connections."""

    client: Client
    connections: int
    close: tuple[Callable[[], Awaitable[None]], ...]


def is_cluster(client: Client) -> bool:
    """Whether it is the client of a cluster."""
    return hasattr(client, "nodes_manager")


def options_of(target: RedisTarget, deadline_seconds: float, *, retries: int) -> dict[str, Any]:
    """The options of a client, which sends each operation `retries` times more if need be."""
    return {
        "socket_timeout": deadline_seconds,
        "socket_connect_timeout": deadline_seconds,
        "health_check_interval": _HEALTH_CHECK_SECONDS,
        "protocol": 2,
        "driver_info": None,  # one round trip less for each connection
        **{name: value for name, value in target.options.items() if not name.startswith(TLS_PREFIX)},
        "client_name": None,  # our connections give it
        "decode_responses": False,
        "retry": Retry(NoBackoff(), retries),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "max_connections": _POOL_CONNECTIONS,
    }


def connection_options(
    target: RedisTarget, plain: type[AbstractConnection], tls: type[AbstractConnection]
) -> dict[str, Any]:
    """What makes a pool open our connections."""
    if not target.tls:
        return {"connection_class": plain, "address_map": target.address_map}
    options = {name: value for name, value in target.options.items() if name.startswith(TLS_PREFIX)}
    return {"connection_class": tls, "address_map": target.address_map, "tls": tls_context(options)}
