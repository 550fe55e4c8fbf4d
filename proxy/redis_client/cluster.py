"""The client of a cluster.

Owns: how our connections get into it. Must not know: how a URL is written, keys, the breaker.
"""

from __future__ import annotations

from redis.asyncio.cluster import ClusterNode, RedisCluster

from proxy.redis_client.clients import OpenedClient, connection_options, options_of
from proxy.redis_client.driver import TcpConnection, TlsConnection
from proxy.redis_client.url import RedisTarget


def open_cluster(target: RedisTarget, deadline_seconds: float) -> OpenedClient:
    """The client for the nodes of a URL. Raises what redis-py does."""
    # One retry: the client of a cluster needs a failure to learn that a node is gone, and does not check idle
    # connections. So an operation may be sent twice; then the quota counts too much, never too little.
    nodes = [ClusterNode(host, port) for host, port in target.addresses]
    client = RedisCluster(startup_nodes=nodes, **options_of(target, deadline_seconds, retries=1))
    # It takes no class of connections. All that it knows so far are the nodes of the URL, and it makes the others
    # with these options.
    ours = connection_options(target, TcpConnection, TlsConnection)
    client.connection_kwargs |= ours
    client.nodes_manager.connection_kwargs |= ours
    for node in client.nodes_manager.startup_nodes.values():
        node.connection_kwargs |= ours
        node.connection_class = node.connection_kwargs.pop("connection_class")
    return OpenedClient(client=client, connections=target.connections, close=(client.aclose,))
