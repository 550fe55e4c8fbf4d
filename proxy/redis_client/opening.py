"""The redis-py client that a URL asks for.

Owns: which client that is, the client of one server, what is said where redis-py refuses an option. Must not know:
keys, the breaker. The clients of Sentinel and Cluster are in modules of their own, because redis-py's are large.
"""

from __future__ import annotations

from redis.exceptions import RedisClusterException, RedisError

from proxy.redis_client.clients import OpenedClient, connection_options, options_of
from proxy.redis_client.driver import TcpConnection, TlsConnection, UnixConnection
from proxy.redis_client.password_file import PasswordFile
from proxy.redis_client.pool import Pool, SingleClient
from proxy.redis_client.url import RedisTarget, Topology, masked, parse


def open_client(url: str, *, deadline_seconds: float) -> OpenedClient:
    """The client for a URL. Does not connect yet.

    Raises ValueError for the URL, and OSError for a file that it names. Neither shows the password.
    """
    target = parse(url)
    _check_password_file(url, target.options.get("credential_provider"))
    try:
        match target.topology:
            case Topology.SINGLE:
                return _single(target, deadline_seconds)
            case Topology.SENTINEL:
                from proxy.redis_client.sentinel import open_sentinel  # noqa: PLC0415 - no other URL needs it

                return open_sentinel(target, deadline_seconds)
            case Topology.CLUSTER:
                from proxy.redis_client.cluster import open_cluster  # noqa: PLC0415 - no other URL needs it

                return open_cluster(target, deadline_seconds)
    except OSError as error:  # also ssl.SSLError
        raise OSError(f"the certificates of {masked(url)} cannot be used: {error}") from None
    except (TypeError, ValueError, RedisError, RedisClusterException):
        raise ValueError(f"{masked(url)} is not a Redis URL: redis-py refuses one of its options") from None


def _check_password_file(url: str, file: PasswordFile | None) -> None:
    try:
        if file is not None:
            file.password()
    except (OSError, ValueError) as error:
        raise OSError(f"the password file of {masked(url)} cannot be used: {error}") from None


def _single(target: RedisTarget, deadline_seconds: float) -> OpenedClient:
    # No retry: an operation is sent at most once, because reserving weight twice charges it twice. The pool notices
    # and replaces a connection that broke while it was idle.
    plain = UnixConnection if "path" in target.options else TcpConnection
    options = options_of(target, deadline_seconds, retries=0) | connection_options(target, plain, TlsConnection)
    pool = Pool(**options)
    pool.make_connection()  # type: ignore[no-untyped-call]  # TypeError for an unknown option; no I/O
    client = SingleClient.from_pool(pool)
    return OpenedClient(client=client, connections=target.connections, close=(client.aclose,))
