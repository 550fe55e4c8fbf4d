"""Sentinels and clusters for the troubles, and what it takes to wait for them.

Owns: how the servers are joined. Must not know: what happens to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from redis.exceptions import RedisError

from tests.ports import free_ports
from tests.redis_client.valkey import START_SECONDS, Valkey

FAILOVER_MS = 500
"""After so long Sentinels and Cluster nodes take a silent server for dead."""


def sentinel(servers: list[Valkey]) -> tuple[str, Valkey]:
    """The URL and the master of one with one replica, and a Sentinel that decides alone.

    The old master comes back as a replica.
    """
    port, other_port, sentinel_port = free_ports(3)
    master = _add(servers, "--port", str(port))
    follower = _add(servers, "--port", str(other_port), "--replicaof", f"127.0.0.1 {port}")
    wait(partial(_follows, follower))
    watch = Valkey("--sentinel", "--port", str(sentinel_port))
    servers.append(watch)
    configuration = Path(watch.folder) / "sentinel.conf"
    configuration.write_text(
        f"sentinel monitor main 127.0.0.1 {port} 1\n"
        f"sentinel down-after-milliseconds main {FAILOVER_MS}\n"
        "sentinel failover-timeout main 3000\n"
    )
    watch.options = (str(configuration), *watch.options)
    watch.start()
    wait(lambda: str(other_port) in str(watch.admin("SENTINEL", "REPLICAS", "main")))
    return f"redis+sentinel://127.0.0.1:{sentinel_port}/main", master


def cluster(servers: list[Valkey]) -> tuple[str, Valkey]:
    """The URL of three masters with a replica each, and the one that has the ledger's counters."""
    nodes = [_node(servers) for _ in range(6)]
    ids = [_text(server.admin("CLUSTER", "MYID")) for server, _ in nodes]
    first, first_port = nodes[0]
    for server, _ in nodes[1:]:
        server.admin("CLUSTER", "MEET", "127.0.0.1", str(first_port), _bus(first))
    for i, (start, end) in enumerate(((0, 5460), (5461, 10922), (10923, 16383))):
        nodes[i][0].admin("CLUSTER", "ADDSLOTSRANGE", str(start), str(end))
    for i in range(3):
        follower = nodes[3 + i][0]
        wait(partial(_knows, follower, ids[i]))
        follower.admin("CLUSTER", "REPLICATE", ids[i])
    for server, _ in nodes:
        server.wait_for_cluster()
    for server, _ in nodes[3:]:
        wait(partial(_follows, server))
    slot = int(str(first.admin("CLUSTER", "KEYSLOT", "{spot:default}")))
    victim = nodes[0 if slot <= 5460 else 1 if slot <= 10922 else 2][0]
    hosts = ",".join(f"127.0.0.1:{port}" for _, port in nodes)
    return f"redis+cluster://{hosts}", victim


def single_node(servers: list[Valkey]) -> tuple[str, Valkey]:
    """The URL of one server, which is really a node of a cluster. It has all slots, and may lose some."""
    server, port = _node(servers, "--cluster-require-full-coverage", "no")
    server.admin("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    server.wait_for_cluster()
    return f"redis://127.0.0.1:{port}", server


def _node(servers: list[Valkey], *more: str) -> tuple[Valkey, int]:
    port, bus = free_ports(2)
    options = ("--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus))
    return _add(servers, *options, "--cluster-node-timeout", str(FAILOVER_MS), *more), port


def _bus(server: Valkey) -> str:
    return server.options[server.options.index("--cluster-port") + 1]


def _add(servers: list[Valkey], *options: str) -> Valkey:
    server = Valkey(*options)
    servers.append(server)
    return server.start()


def _follows(server: Valkey) -> bool:
    return "'master_link_status': 'up'" in str(server.admin("INFO", "replication"))


def _knows(server: Valkey, node: str) -> bool:
    return node in str(server.admin("CLUSTER", "NODES"))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def wait(is_so: Callable[[], bool]) -> None:
    """Return when it is so. An error of Redis means that it is not."""
    give_up_at = time.monotonic() + START_SECONDS
    while True:
        with suppress(RedisError):
            if is_so():
                return
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
