"""Free ports for servers that must be told theirs. Owns that and nothing else."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from random import SystemRandom

_PORTS = range(10_000, 32_768)
"""Below those that Linux and macOS give to connections by themselves: a connection of another test could take
one of these between the probe and the server's start."""
_TRIES = 1000


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listened on a moment ago, all different. RuntimeError when there are too few.

    They are drawn by chance, so that test processes that look at the same moment find different ones.
    """
    chance = SystemRandom()
    with ExitStack() as stack:
        found: list[int] = []
        for port in chance.sample(_PORTS, _TRIES):
            if len(found) == count:
                return found
            if _bind(stack.enter_context(socket.socket()), port):
                found.append(port)
    raise RuntimeError(f"fewer than {count} free ports")


def free_port() -> int:
    """One of them."""
    (port,) = free_ports(1)
    return port


def _bind(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
