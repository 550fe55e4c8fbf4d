"""A master that a Sentinel names, and a cluster of one node, for tests that reach them by another address.

Owns: their start. Must not know: who reaches them, and how.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_ports
from tests.redis_client.fixtures import StartValkey
from tests.redis_client.valkey import START_SECONDS, Valkey


@dataclass(frozen=True, slots=True)
class Places:
    """Where a server is."""

    server: Valkey
    port: int
    """As the servers tell it."""
    entrance: int | None = None
    """The Sentinel's port; None: the server is asked directly."""
    watch: Valkey | None = None
    """The Sentinel."""
    path: str = ""
    """Of the URL."""


async def serve(form: str, start_valkey: StartValkey, folder: Path) -> Places:
    """Start what a URL of this form names."""
    return await asyncio.to_thread(_sentinel if "sentinel" in form else _cluster, start_valkey, folder)


def _cluster(start_valkey: StartValkey, _: Path) -> Places:
    port, bus = free_ports(2)
    server = start_valkey("--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus))
    server.admin("CONFIG", "SET", "cluster-announce-ip", "127.0.0.1")
    server.admin("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    server.wait_for_cluster()
    return Places(server, port)


def _sentinel(start_valkey: StartValkey, folder: Path) -> Places:
    port, sentinel_port = free_ports(2)
    master = start_valkey("--port", str(port))
    configuration = folder / "sentinel.conf"
    configuration.write_text(f"sentinel monitor main 127.0.0.1 {port} 1\n")
    watch = start_valkey(str(configuration), "--sentinel", "--port", str(sentinel_port))
    give_up_at = time.monotonic() + START_SECONDS
    while str(port) not in str(watch.admin("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")):
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
    return Places(master, port, sentinel_port, watch, "/main")
